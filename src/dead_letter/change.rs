//! Letters that are marked, crossed out or dropped. Each of these has the file's lock for its time.

use super::letters::{self, Entry, GONE, Letter, Letters, MARKED, WAITS};
use super::rewrite::{Dropped, living_bytes, rewrite};
use super::store::locked;
use nix::fcntl::Flock;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// A person at a terminal waits a little longer than a worker does.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Marks a letter: its item is about to be put back. Or takes the mark away. False if it isn't there any more.
///
/// # Errors
/// When it can't be written, or the lock can't be had.
pub(crate) fn mark(path: &Path, letter: &Letter, marked: bool) -> io::Result<bool> {
    let first = if marked { MARKED } else { WAITS };
    change(path, letter, |file, at| file.write_all_at(&[first], at.offset))
}

/// Takes a letter out of the file; false if it isn't there any more.
///
/// # Errors
/// When it can't be written, or the lock can't be had.
pub(crate) fn cross_out(path: &Path, letter: &Letter) -> io::Result<bool> {
    // One byte decides; `tidy` and the next rewriting take the rest away.
    change(path, letter, |file, at| file.write_all_at(&[GONE, b' '], at.offset))
}

fn change(
    path: &Path,
    letter: &Letter,
    act: impl FnOnce(&File, &Letter) -> io::Result<()>,
) -> io::Result<bool> {
    let Some(file) = locked_if_there(path)? else { return Ok(false) };
    let found = match letters::at(&file, letter.number, letter.offset)? {
        Some(found) => Some(found),
        // Rewritten since it was read.
        None => search(&file, letter.number)?,
    };
    found.map_or(Ok(false), |found| act(&file, &found).map(|()| true))
}

/// The letter of this key, and how far it is from where the key saw it. `moved`: how far the last one was.
///
/// # Errors
/// When it can't be read.
pub(crate) fn find(path: &Path, key: &str, moved: i64) -> io::Result<Option<(Letter, i64)>> {
    let Some((number, seen, line)) = parse_key(key) else { return Ok(None) };
    let Some(file) = letters::open_if_there(path)? else { return Ok(None) };
    for by in [moved, 0] {
        if let Some(offset) = seen.and_then(|seen| seen.checked_add_signed(by))
            && let Some(mut letter) = letters::at(&file, number, offset)?
        {
            letter.line = line;
            return Ok(Some((letter, by)));
        }
    }
    let found = search(&file, number)?;
    Ok(found.map(|letter| {
        let by = seen.map_or(0, |seen| letter.offset.wrapping_sub(seen).cast_signed());
        (letter, by)
    }))
}

/// Number, where it was seen, line. mprun 0.1.0 gave the number alone.
fn parse_key(key: &str) -> Option<(u64, Option<u64>, u64)> {
    let (number, place) = key.split_once('@').unwrap_or((key, ""));
    let (offset, line) = place.split_once('.').unwrap_or((place, ""));
    let number = u64::from_str_radix(number, 16).ok()?;
    Some((number, u64::from_str_radix(offset, 16).ok(), line.parse().unwrap_or(0)))
}

fn search(file: &File, number: u64) -> io::Result<Option<Letter>> {
    let length = file.metadata()?.len();
    for entry in Letters::of(file.try_clone()?, length)? {
        if let Entry::Letter(letter) = entry?
            && letter.number == number
        {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

fn locked_if_there(path: &Path) -> io::Result<Option<Flock<File>>> {
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
            file.write_all_at(&[GONE, b' '], letter.offset)?;
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
