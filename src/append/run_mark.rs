//! Which run over several machines a file was emptied for: a mark that lasts with the file, as an extended attribute. Machines
//! whose stages write to one file, on storage that they share, begin at different times, and only the first may empty it.
//!
//! # Crash table
//!
//! | killed … | left behind | what the next machine does |
//! |---|---|---|
//! | holding the lock | nothing: the kernel frees it | the same from the start |
//! | before the file is emptied | the file, with no run's mark | empties it |
//! | after that, before the mark | an empty file with no run's mark | empties it again: no machine can have begun in between |
//! | after the mark | an empty file that is the run's | adds to it |

use super::claim;
use nix::unistd::ftruncate;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const NAME: &str = "user.mprun.run";
const NO_RUN: u64 = 0;
/// How long another machine may hold the lock: it does four system calls meanwhile, or stands still.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What became of a file that a machine begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Emptied,
    /// Another machine of the run has begun with it.
    BegunElsewhere,
    /// Whether one has can't be seen: the file system has no marks, or the lock is not to be had.
    Unknown,
}

/// Empties a file that is open for writing, unless a machine of this run has.
pub(super) fn empty_once<F: AsFd>(file: &F, run: u64) -> io::Result<Start> {
    let end = Instant::now() + LONGEST_WAIT;
    let _lock = loop {
        match claim::lock_beginning(file) {
            Ok(Some(lock)) => break lock,
            Ok(None) if Instant::now() < end => std::thread::sleep(RETRY_INTERVAL),
            // Without a lock two machines could begin at once.
            Ok(None) | Err(_) => return Ok(Start::Unknown),
        }
    };
    let mut mark = [0; 16];
    match fgetxattr(file, NAME, &mut mark) {
        Ok(_) if mark == *text(run).as_bytes() => return Ok(Start::BegunElsewhere),
        Ok(_) | Err(Errno::NODATA | Errno::RANGE) => {}
        Err(_) => return Ok(Start::Unknown),
    }
    let set = |run| fsetxattr(file, NAME, text(run).as_bytes(), XattrFlags::empty());
    // Where there can be no mark, nothing may be thrown away.
    if set(NO_RUN).is_err() {
        return Ok(Start::Unknown);
    }
    ftruncate(file, 0)?;
    set(run)?;
    Ok(Start::Emptied)
}

fn text(run: u64) -> String {
    format!("{run:016x}")
}

#[cfg(test)]
mod tests {
    use super::super::{Appender, Beginning, Begun, UndoLog};
    use super::*;
    use std::fs::{self, OpenOptions};

    #[test]
    fn of_all_machines_of_a_run_the_first_empties_a_file() {
        let path = std::env::temp_dir().join(format!("mprun-run-{:x}", fastrand::u64(..)));
        fs::write(&path, "of an earlier run").unwrap();
        let begin = |run| {
            let file = OpenOptions::new().append(true).read(true).open(&path).unwrap();
            // A machine has an undo log of its own.
            let machine = Appender::new(file, UndoLog::create().unwrap()).unwrap();
            machine.begin_run(Beginning::EmptyOnce(run), b"name").unwrap()
        };
        assert_eq!(begin(7), Begun::Emptied(17));
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        fs::write(&path, "of this run").unwrap();
        assert_eq!(begin(7), Begun::Elsewhere);
        assert_eq!(fs::read_to_string(&path).unwrap(), "of this run\n");
        assert_eq!(begin(8), Begun::Emptied(12));
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn who_begins_meanwhile_waits_for_the_lock() {
        let path = std::env::temp_dir().join(format!("mprun-run-{:x}", fastrand::u64(..)));
        fs::write(&path, "of an earlier run").unwrap();
        let open = || OpenOptions::new().append(true).read(true).open(&path).unwrap();
        let first = open();
        let lock = claim::lock_beginning(&first).unwrap().unwrap();
        let second = open();
        let waits = std::thread::spawn(move || empty_once(&second, 7).unwrap());
        assert!(claim::lock_beginning(&open()).unwrap().is_none());
        fsetxattr(&first, NAME, text(7).as_bytes(), XattrFlags::empty()).unwrap();
        drop(lock);
        assert_eq!(waits.join().unwrap(), Start::BegunElsewhere);
        fs::remove_file(&path).unwrap();
    }
}
