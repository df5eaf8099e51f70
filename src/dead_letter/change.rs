//! Many letters that are dropped, and what is gone taken away. Each of these has the file's lock for its time.

use super::letters::{Entry, Letter, Letters, cross_out};
use super::rewrite::{Dropped, living_bytes, rewrite};
use super::store::locked;
use nix::fcntl::Flock;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// A person at a terminal waits a little longer than a worker does.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Locks the file of letters, if there is one.
pub(super) fn locked_if_there(path: &Path) -> io::Result<Option<Flock<File>>> {
    match locked(path, false, LOCK_TIMEOUT) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let seconds = LOCK_TIMEOUT.as_secs();
            let why = format!("another process has held its lock for {seconds} s: is it stopped?");
            Err(io::Error::new(ErrorKind::WouldBlock, why))
        }
        file => file.map(Some),
    }
}

/// Drops all that are chosen, in as much memory as the longest letter takes.
///
/// # Errors
/// When it can't be written, or the lock can't be had. Without room for a second file they are crossed out one by one.
pub(crate) fn drop_some(path: &Path, chosen: &mut dyn FnMut(&Letter) -> bool) -> io::Result<Dropped> {
    let Some(file) = locked_if_there(path)? else { return Ok(Dropped::default()) };
    // First in place: that needs no room on a full disk, and is what counts.
    let length = file.metadata()?.len();
    let mut outcome = Dropped::default();
    for entry in Letters::of(file.try_clone()?, length)? {
        let Entry::Letter(letter) = entry? else { continue };
        if chosen(&letter) {
            cross_out(&file, letter.offset)?;
            outcome.dropped += 1;
        } else {
            outcome.left += 1;
        }
    }
    // What is gone takes room until then.
    match rewrite(file, path, &mut |_| true) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {}
        rewritten => drop(rewritten?),
    }
    Ok(outcome)
}

/// Takes away what is gone, where that is worth it: nothing is left, or less than half. `crossed`: bytes that were crossed
/// out since the last time; where they are too few for that the file is not read. False: it was not worth it.
///
/// # Errors
/// When it can't be written.
pub(crate) fn tidy(path: &Path, crossed: u64) -> io::Result<bool> {
    let Some(file) = locked_if_there(path)? else { return Ok(true) };
    let length = file.metadata()?.len();
    if crossed < length / 2 {
        return Ok(false);
    }
    if length > 0 && living_bytes(&file)? <= length / 2 {
        rewrite(file, path, &mut |_| true)?;
    }
    Ok(true)
}
