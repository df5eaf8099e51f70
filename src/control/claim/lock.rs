//! Lock files: the holder writes its identity into the file.

use crate::control::runtime_folder;
use crate::sys::proc_table;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For the folder's lock, which another run holds while it makes its claim.
const FOLDER_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// A test of a free lock file holds it for a moment: after this long it is held by a run.
const TEST_TIMEOUT: Duration = Duration::from_millis(50);
const RETRY_INTERVAL: Duration = Duration::from_millis(5);
/// A killed supervisor is in the process table for a moment longer.
const EXIT_TIMEOUT: Duration = Duration::from_millis(250);
/// A killed run holds its lock until the last process that it had begun to start is gone, too.
const CHILD_EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The content of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Of the pipeline.
    pub name: String,
    /// Of the supervisor.
    pub pid: u32,
    /// The pipeline file, absolute.
    #[serde(with = "crate::model::path_bytes")]
    pub file: PathBuf,
    pub socket: PathBuf,
}

impl Holder {
    /// What a pipeline is called by: its socket's name tells two of the same name apart.
    pub(crate) fn label(&self) -> String {
        let namesake = format!("{}-{}", self.name, self.pid);
        let is_namesake = self.socket.file_stem().is_some_and(|stem| stem == namesake.as_str());
        if is_namesake { namesake } else { self.name.clone() }
    }

    /// What `mprun service install --name` has called it, if it is one of the system's services.
    pub(crate) fn service(&self) -> Option<&str> {
        let folder = self.socket.parent()?;
        let is_service = folder.parent() == Some(Path::new(runtime_folder::ROOT_FOLDER));
        folder.file_name().filter(|_| is_service)?.to_str()
    }

    /// Else the lock is about to be free.
    fn lives(&self) -> bool {
        proc_table::started(self.pid).is_some()
    }
}

pub(super) enum Locked {
    /// By this run.
    Mine(Flock<File>),
    /// By another run.
    Held(Holder),
}

/// A lock file of this run.
#[derive(Debug)]
pub(super) struct Held {
    pub path: PathBuf,
    lock: Flock<File>,
}

impl Held {
    pub(super) fn new(path: PathBuf, lock: Flock<File>) -> Held {
        Held { path, lock }
    }

    /// A program that takes over from this one holds the lock by it, so that it is free at no moment.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.lock.as_fd().try_clone_to_owned()
    }
}

/// Without the folder's lock it stays: the next run finds the file's lock free, and removes it.
pub(super) fn remove(path: &Path) {
    if let Ok(_lock) = folder_lock(path.parent().unwrap_or(Path::new("/"))) {
        let _ = std::fs::remove_file(path);
    }
}

/// The right to make and remove sockets in a folder.
pub(super) fn folder_lock(folder: &Path) -> io::Result<Flock<File>> {
    exclusive(File::open(folder)?, FOLDER_LOCK_TIMEOUT)?.map_err(|_| io::ErrorKind::WouldBlock.into())
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
                std::thread::sleep(RETRY_INTERVAL);
            }
        }
    }
}

/// Takes a lock file. `inherited`: those that the program before this one holds for it.
pub(super) fn lock(path: &Path, me: &Holder, inherited: &[OwnedFd]) -> io::Result<Locked> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path)?;
    let file = inherited_of(&file, inherited)?.unwrap_or(file);
    let mut lock = match exclusive(file, TEST_TIMEOUT)? {
        Ok(lock) => lock,
        Err(file) => {
            let unknown = || io::Error::other(format!("{} is locked by another program", path.display()));
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

/// The same file, as the program before this one has locked it.
fn inherited_of(file: &File, inherited: &[OwnedFd]) -> io::Result<Option<File>> {
    let sought = file.metadata()?;
    for fd in inherited {
        let file = File::from(fd.try_clone()?);
        let found = file.metadata()?;
        if (found.dev(), found.ino()) == (sought.dev(), sought.ino()) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The other run of a pipeline file that holds a lock file; `None`: there is none. What is left of a killed one is waited for.
pub(super) fn holder(path: &Path, of: &Path, own_pid: u32) -> Option<Holder> {
    let file = OpenOptions::new().read(true).open(path).ok()?;
    let (file, _) = Flock::lock(file, FlockArg::LockSharedNonblock).err()?;
    let holder = read(&file).filter(|holder| holder.file == of && holder.pid != own_pid)?;
    let is_free = matches!(once_dead(file, &holder), Ok(Some(_)));
    (!is_free).then_some(holder)
}

/// The lock, if its holder is dead or dying; `None`: it lives.
fn once_dead(file: File, holder: &Holder) -> io::Result<Option<Flock<File>>> {
    match exclusive(file, EXIT_TIMEOUT)? {
        Ok(lock) => Ok(Some(lock)),
        Err(_) if holder.lives() => Ok(None),
        Err(file) => Ok(exclusive(file, CHILD_EXIT_TIMEOUT)?.ok()),
    }
}

/// Removes what runs have left in a folder that were killed, except sockets that are still listened on: a program that
/// takes over has the listener of the one before it, whose locks are free by then. The caller holds the folder's lock.
pub(super) fn sweep(folder: &Path, is_in_use: impl Fn(&Path) -> bool) {
    for path in runtime_folder::locks_in(folder) {
        if is_in_use(&path.with_extension("sock")) {
            continue;
        }
        let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) else {
            continue;
        };
        if let Ok(_stale) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            if is_of_a_line(&path) {
                // No other run will have this name and find them.
                let _ = std::fs::remove_dir_all(path.with_extension("logs"));
            }
            let _ = std::fs::remove_file(path.with_extension("sock"));
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Whether the run is one of `mprun do` without a name: `do-PID`.
fn is_of_a_line(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.strip_prefix("do-")
        .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The holder, now or last.
pub(super) fn read(file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.take(64 * 1024).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
