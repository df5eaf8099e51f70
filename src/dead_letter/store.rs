//! The file that letters are appended to: its lock, its bounds.

use super::letters::regular;
use super::rewrite::{living_bytes, rewrite};
use crate::sys::fd;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long a writer waits for the lock before it says so: others hold it for one line.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// `flock` can't wait with a limit, so it is tried again and again.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// What a writer of dead letters has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Store {
    /// Whether letters are kept at all: else none is written.
    pub keeps: bool,
    /// Their file; empty where none is kept.
    pub path: PathBuf,
    /// The pipeline file that they belong to.
    pub pipeline: String,
    /// The most bytes that the file may have.
    pub max_size: u64,
    /// What a letter does that finds no room.
    pub when_full: WhenFull,
}

/// What a letter does that finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenFull {
    /// Wait: the item stays leased.
    Block,
    /// Take the place of the oldest ones.
    DropOld,
}

impl Store {
    /// The default of `max_size`.
    pub(crate) const MAX_SIZE: u64 = 1 << 30;

    /// With the default bounds.
    pub(crate) fn at(path: PathBuf, pipeline: &Path) -> Store {
        let pipeline = pipeline.to_string_lossy().into_owned();
        Store { keeps: true, path, pipeline, max_size: Store::MAX_SIZE, when_full: WhenFull::Block }
    }
}

/// A letter was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Older letters that had to go for it.
    pub dropped: u64,
}

/// A letter was not written, and nothing of it is there.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// Another process has the file's lock.
    Busy(PathBuf),
    /// The letters have as many bytes as they may.
    Full { path: PathBuf, bytes: u64, max_size: u64 },
    /// The disk has no room.
    NoRoom(PathBuf, io::Error),
    /// The system says no.
    Failed(PathBuf, io::Error),
}

impl Unwritten {
    /// Whether another process or a person can end that.
    pub(crate) fn passes(&self) -> bool {
        !matches!(self, Unwritten::Failed(..))
    }

    fn of(path: &Path, error: io::Error) -> Unwritten {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Unwritten::NoRoom(path.to_owned(), error),
            Some(Errno::EWOULDBLOCK) => Unwritten::Busy(path.to_owned()),
            _ => Unwritten::Failed(path.to_owned(), error),
        }
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritten::Busy(path) => {
                let path = path.display();
                write!(
                    f,
                    "{path}: another process holds its lock and does not let go: is it stopped? (`fuser {path}` names it)"
                )
            }
            Unwritten::Full { path, bytes, max_size } => write!(
                f,
                "{}: {bytes} bytes, and [dead_letters] max_size is {max_size}: `mprun dead retry` or `mprun dead drop` \
                 makes room",
                path.display()
            ),
            Unwritten::NoRoom(path, error) | Unwritten::Failed(path, error) => {
                write!(f, "{}: {error}", path.display())
            }
        }
    }
}

/// Appends the line of one dead letter ([`DeadLetter::line`](super::DeadLetter::line)); the file and its folders (mode
/// 0700) are made when they are not there yet.
///
/// Once this returns, the whole line is in the file, and if `safe`, on the disk. After an error nothing of it is, so the
/// item can stay leased or go back. It takes 2 seconds at most, unless the disk itself stalls.
pub(crate) fn append_line(store: &Store, line: Vec<u8>, safe: bool) -> Result<Appended, Unwritten> {
    if !store.keeps {
        return Ok(Appended::default());
    }
    let path = &store.path;
    let describe = |error: io::Error| Unwritten::of(path, error);
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(describe)?;
    }
    let mut file = locked(path, true, LOCK_TIMEOUT).map_err(describe)?;
    let mut dropped = 0;
    let mut length = file.metadata().map_err(describe)?.len();
    let needed = line.len() as u64;
    // A single letter may be larger: it would never fit.
    if length > 0 && length + needed > store.max_size {
        (file, dropped) = make_room(store, file, needed)?;
        length = file.metadata().map_err(describe)?.len();
    }
    file.seek(SeekFrom::Start(length)).map_err(describe)?;
    write_line(&mut file, length, line)
        .and_then(|()| if safe { sync(&file, path) } else { Ok(()) })
        .map_err(describe)?;
    Ok(Appended { dropped })
}

/// What is gone goes first; then, if that is asked for, the oldest letters, down to seven eighths: so that not each new one
/// costs a rewriting.
fn make_room(store: &Store, file: Flock<File>, needed: u64) -> Result<(Flock<File>, u64), Unwritten> {
    let path = &store.path;
    let describe = |error: io::Error| Unwritten::of(path, error);
    let before = file.metadata().map_err(describe)?;
    let full = |bytes| Unwritten::Full { path: path.clone(), bytes, max_size: store.max_size };
    if store.when_full == WhenFull::Block && was_found_full(&before) {
        return Err(full(before.len()));
    }
    let living = living_bytes(&file).map_err(describe)?;
    let aim = match store.when_full {
        WhenFull::Block if living + needed > store.max_size => {
            set_found_full(&before);
            return Err(full(living));
        }
        WhenFull::Block => u64::MAX,
        WhenFull::DropOld => (store.max_size / 8 * 7).saturating_sub(needed),
    };
    let mut excess = living.saturating_sub(aim);
    let rewritten = rewrite(file, path, &mut |letter| {
        let stays = excess == 0;
        excess = excess.saturating_sub(letter.length as u64 + 1);
        stays
    });
    let (file, outcome) = rewritten.map_err(describe)?;
    Ok((file, outcome.dropped))
}

/// The file as it was when this process has found no room in it: it need not be read again to see that.
static FOUND_FULL: Mutex<Option<(u64, u64, SystemTime)>> = Mutex::new(None);

fn stamp(about: &std::fs::Metadata) -> (u64, u64, SystemTime) {
    (about.ino(), about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH))
}

fn was_found_full(about: &std::fs::Metadata) -> bool {
    FOUND_FULL.lock().is_ok_and(|found| *found == Some(stamp(about)))
}

fn set_found_full(about: &std::fs::Metadata) {
    if let Ok(mut found) = FOUND_FULL.lock() {
        *found = Some(stamp(about));
    }
}

/// The file, and its name: the item ends after this, and must not be lost in a power cut.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Opens a regular file to write it: a named pipe in its place is not waited for.
fn open(path: &Path, create: bool) -> io::Result<File> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags).create(create).mode(0o600);
    let file = options.open(path)?;
    regular(file)
}

/// The file at `path`, locked for this process alone; `EWOULDBLOCK` when that took longer than `limit`.
pub(super) fn locked(path: &Path, create: bool, limit: Duration) -> io::Result<Flock<File>> {
    let until = Instant::now() + limit;
    loop {
        match Flock::lock(open(path, create)?, FlockArg::LockExclusiveNonblock) {
            // Rewritten while it was waited for: a letter in the old file would be lost.
            Ok(file) if !fd::is_named(&*file, path)? => {}
            Ok(file) => return Ok(file),
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < until => {}
            Err((_, errno)) => return Err(errno.into()),
        }
        thread::sleep(LOCK_INTERVAL);
    }
}

/// One write, so that a process that is killed here leaves all of the line or, now and then, a torn one.
fn write_line(file: &mut File, before: u64, mut line: Vec<u8>) -> io::Result<()> {
    if torn(file, before)? {
        line.insert(0, b'\n');
    }
    let result = file.write_all(&line);
    if result.is_err() {
        // Half a line would look like a dead letter, and spoil the next one.
        file.set_len(before)?;
    }
    result
}

/// Whether the last line has no end: its writer was killed in the middle.
fn torn(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Whether letters could be written there: said at the start of a run, and not when the first one is lost.
///
/// # Errors
/// Why not.
pub(crate) fn probe(path: &Path) -> io::Result<()> {
    match open(path, false) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).map_err(io::Error::from)
        }
        opened => opened.map(drop),
    }
}
