//! Lock files: who holds one writes into it who that is.

use super::Holder;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another run may take over its own claim.
const PATIENCE: Duration = Duration::from_secs(5);
/// A look at a free lock file holds it for a moment: one that is held for longer is really held.
const GLANCE: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_millis(5);
/// A killed run's supervisor seems to live for a moment longer.
const DYING: Duration = Duration::from_millis(250);
/// A killed run holds its lock until the last process that it had begun to start is gone, too.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// A lock file that was asked for.
pub enum Locked {
    /// It is this run's now.
    Mine(Flock<File>),
    /// It is somebody else's.
    Held(Holder),
}

/// The folder's lock: who has it may make and remove sockets there.
pub fn turn(folder: &Path) -> io::Result<Flock<File>> {
    exclusive(File::open(folder)?, PATIENCE)?.map_err(|_| io::ErrorKind::WouldBlock.into())
}

/// The inner error gives the file back: it is held for longer than `limit`.
fn exclusive(mut file: File, limit: Duration) -> io::Result<Result<Flock<File>, File>> {
    let limit = Instant::now() + limit;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Ok(lock)),
            Err((_, errno)) if errno != nix::errno::Errno::EWOULDBLOCK => return Err(errno.into()),
            Err((back, _)) if Instant::now() >= limit => return Ok(Err(back)),
            Err((back, _)) => {
                file = back;
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// Takes a lock file.
pub fn lock(path: &Path, me: &Holder) -> io::Result<Locked> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let mut lock = match exclusive(options.open(path)?, GLANCE)? {
        Ok(lock) => lock,
        Err(file) => {
            let unknown = || io::Error::other(format!("{} is locked by a stranger", path.display()));
            let holder = read(&file).ok_or_else(unknown)?;
            match once_dead(file, &holder)? {
                Some(lock) => lock,
                None => return Ok(Locked::Held(holder)),
            }
        }
    };
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(&serde_json::to_vec(me)?)?;
    Ok(Locked::Mine(lock))
}

/// The run of a pipeline file that holds a lock file; `None`: there is none. What is left of a killed one is waited for.
pub fn holder(path: &Path, of: &Path) -> Option<Holder> {
    let file = OpenOptions::new().read(true).open(path).ok()?;
    let (file, _) = Flock::lock(file, FlockArg::LockSharedNonblock).err()?;
    let holder = read(&file).filter(|holder| holder.file == of)?;
    let is_free = matches!(once_dead(file, &holder), Ok(Some(_)));
    (!is_free).then_some(holder)
}

/// The lock, if its holder is dead or dying; `None`: it lives.
fn once_dead(file: File, holder: &Holder) -> io::Result<Option<Flock<File>>> {
    match exclusive(file, DYING)? {
        Ok(lock) => Ok(Some(lock)),
        Err(_) if holder.lives() => Ok(None),
        Err(file) => Ok(exclusive(file, LAST_BREATH)?.ok()),
    }
}

/// Removes what runs have left in a folder that were killed, except sockets that are still listened on: a program that
/// takes over has the listener of the one before it, whose locks are free by then. The turn must be the caller's.
pub fn sweep(folder: &Path, is_in_use: impl Fn(&Path) -> bool) {
    for path in super::place::locks_in(folder) {
        if is_in_use(&path.with_extension("sock")) {
            continue;
        }
        let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) else {
            continue;
        };
        if let Ok(_stale) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            let _ = std::fs::remove_file(path.with_extension("sock"));
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Who holds it, or held it last.
pub fn read(file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.take(64 * 1024).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
