//! Log files that many processes append to, and that are rotated by size and age.
//!
//! Each line is one write to a file that is open for appending, so lines never mix, and what is written is in the
//! kernel's hands: it stays when the worker is killed the moment after. A process that finds the file too large or too
//! old renames it and begins a new one; a lock on the file, which the kernel releases at a process's end, lets only one
//! do so. A process that was stopped with the lock holds up no other: after some tries they write without it. The others
//! notice the rotation at their next check: after a second, or after [`CHECK_BYTES`]. So a fast writer pays one system
//! call a line, and no other process is woken for it.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | in a write | the line, or, across two pages of the file, its beginning | the next line follows it |
//! | (alive, but the disk is full in a write) | the beginning of the line | the next one that can be written begins a new line |
//! | holding the lock | nothing | the kernel gives it to the next |
//! | between two renames | a gap in the numbers, nothing lost | the next rotation fills it |
//! | after the last rename | no file | the next writer makes it |

use crate::sys::fd;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// After this many bytes a writer checks whether the file is still the one in use.
const CHECK_BYTES: u64 = 4096;
/// And after this time.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The lock is held for some system calls. There is no wait for it that has an end.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// Others may rotate faster than this process can open.
const OPEN_TRIES: u32 = 16;
/// Bytes of the time at the start of each line: `2026-11-24T02:29:01.123Z`.
pub(super) const TIME_BYTES: usize = 24;

/// Where lines go, and when a new file is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The file.
    pub path: PathBuf,
    /// A new one before it would be longer, in bytes.
    pub max_size: u64,
    /// A new one once its first line is older.
    pub max_age: Option<Duration>,
    /// How many old ones are kept, as `path.1` (the newest), `path.2`, …
    pub keep: u32,
}

impl LogFile {
    /// An old file; 0 is the one in use.
    pub fn generation(&self, n: u32) -> PathBuf {
        generation(&self.path, n)
    }
}

/// The file `path.n`, or `path` itself for 0.
fn generation(path: &Path, n: u32) -> PathBuf {
    match n {
        0 => path.to_owned(),
        n => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        }
    }
}

/// A log file as one process writes it.
#[derive(Debug)]
pub(super) struct RotatingFile {
    spec: LogFile,
    file: Option<File>,
    /// How old the file was at some moment.
    begun: Option<(Duration, Instant)>,
    unchecked_bytes: u64,
    checked: Instant,
    /// A full disk took a part of the last line: its end is missing.
    torn: bool,
}

impl RotatingFile {
    /// Opens nothing yet.
    pub(super) fn new(spec: LogFile) -> RotatingFile {
        RotatingFile {
            spec,
            file: None,
            begun: None,
            unchecked_bytes: 0,
            checked: Instant::now(),
            torn: false,
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.spec.path
    }

    /// Adds a line, which ends with a line end and starts with its time.
    ///
    /// # Errors
    /// When the file can't be opened or written: the next line tries again.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.unchecked_bytes += line.len() as u64;
        if self.file.is_none()
            || self.unchecked_bytes > CHECK_BYTES
            || self.checked.elapsed() > CHECK_INTERVAL
        {
            self.check(line.len() as u64)?;
        }
        match self.torn {
            true => self.write(&[b"\n", line].concat()),
            false => self.write(line),
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(mut file) = self.file.as_ref() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut left = line;
        while !left.is_empty() {
            match file.write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn |= left.len() < line.len();
                    return Err(error);
                }
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Makes sure that the file is the one in use, and has room. Where others rotate it faster than this process can
    /// open, the line goes into the file that was in use a moment ago.
    fn check(&mut self, more: u64) -> io::Result<()> {
        for tries_left in (0..OPEN_TRIES).rev() {
            let file = match self.file.take() {
                Some(file) => file,
                None => {
                    self.torn = false;
                    open(&self.spec.path)?
                }
            };
            if !file.metadata()?.is_file() {
                // A pipe or a device is neither rotated nor replaced.
                (self.unchecked_bytes, self.checked, self.file) = (0, Instant::now(), Some(file));
                return Ok(());
            }
            let Some(lock) = lock(&file)? else {
                self.file = Some(file);
                return Ok(());
            };
            if tries_left == 0 {
                self.file = Some(file);
            } else if !fd::is_named(&*lock, &self.spec.path)? {
                self.begun = None;
            } else if self.is_over(&lock, more)? {
                self.rotate()?;
                self.begun = None;
            } else {
                (self.unchecked_bytes, self.checked, self.file) = (0, Instant::now(), Some(file));
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_over(&mut self, file: &File, more: u64) -> io::Result<bool> {
        let size = file.metadata()?.len();
        if size == 0 {
            return Ok(false);
        }
        if size.saturating_add(more) > self.spec.max_size {
            return Ok(true);
        }
        let Some(max_age) = self.spec.max_age else { return Ok(false) };
        let Some(first) = first_time(file) else { return Ok(false) };
        let (wall, now) = (SystemTime::now(), Instant::now());
        let Some(by_wall) = age(first, wall) else { return Ok(true) };
        let (then, at) = *self.begun.get_or_insert((by_wall, now));
        Ok(by_wall.max(then + now.saturating_duration_since(at)) >= max_age)
    }

    fn rotate(&self) -> io::Result<()> {
        if self.spec.keep == 0 {
            return if_there(fs::remove_file(&self.spec.path)).map(drop);
        }
        for n in (0..self.spec.keep).rev() {
            if_there(fs::rename(self.spec.generation(n), self.spec.generation(n + 1)))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    let mut options = OpenOptions::new();
    // A named pipe that has no reader is an error then, not a wait; and so is a reader that does not read.
    options
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits());
    let is_pipe = fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo());
    options.read(!is_pipe).open(path)
}

/// `None`: a process that was stopped while it had the lock keeps it. The line finds its place without it, too.
fn lock(file: &File) -> io::Result<Option<Flock<File>>> {
    let mut copy = file.try_clone()?;
    for _ in 0..LOCK_TRIES {
        match Flock::lock(copy, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((again, Errno::EWOULDBLOCK)) => copy = again,
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(None)
}

/// The age of what began then. `None`: unknown, since the wall clock has gone back. (By less than a second it goes back
/// all the time, where several processes write.)
fn age(begun: SystemTime, wall: SystemTime) -> Option<Duration> {
    match wall.duration_since(begun) {
        Ok(age) => Some(age),
        Err(ahead) => (ahead.duration() < CHECK_INTERVAL).then_some(Duration::ZERO),
    }
}

fn first_time(file: &File) -> Option<SystemTime> {
    let mut time = [0; TIME_BYTES];
    file.read_exact_at(&mut time, 0).ok()?;
    humantime::parse_rfc3339(std::str::from_utf8(&time).ok()?).ok()
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// The file in use and the newest old one, as far as they are there. A file that is renamed meanwhile is not taken twice.
pub(super) fn newest_two(path: &Path) -> io::Result<[Option<File>; 2]> {
    let newest = if_there(File::open(path))?;
    let mut older = if_there(File::open(generation(path, 1)))?;
    if let (Some(newest), Some(second)) = (&newest, &older)
        && newest.metadata()?.ino() == second.metadata()?.ino()
    {
        older = None;
    }
    Ok([newest, older])
}

#[cfg(test)]
mod tests;
