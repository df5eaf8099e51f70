//! One run of a pipeline at a time: a lock file in the runtime folder, which the kernel ends with its holder, and the
//! socket that it names.
//!
//! The lock decides, not the socket: a socket stays behind when its run is killed, and to ask whether anybody answers
//! there is a race between two runs that start together. Both files change only under a lock on their folder.

mod lock;

use super::place;
use crate::sys::proc_table;
use lock::{Locked, lock, turn};
use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Who runs what, and where it is asked: what a lock file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The pipeline's name.
    pub name: String,
    /// The supervisor's process.
    pub pid: u32,
    /// The pipeline file, absolute.
    pub file: PathBuf,
    /// Its control socket.
    pub socket: PathBuf,
}

impl Holder {
    /// Whether its supervisor does: else the lock is about to be free.
    fn lives(&self) -> bool {
        proc_table::started(self.pid).is_some()
    }
}

/// What a run asks for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The pipeline's name.
    pub name: &'a str,
    /// The process that asks.
    pub pid: u32,
    /// The pipeline file, absolute.
    pub file: &'a Path,
    /// The path that the pipeline file gives for the socket.
    pub socket: Option<&'a Path>,
    /// What a program before this one has listened with: clients may wait there.
    pub inherited: Option<&'a UnixListener>,
}

/// A socket of this run's own, and the right to run. Dropped, they are gone.
#[derive(Debug)]
pub struct Claim {
    /// The path of the socket.
    pub path: PathBuf,
    listener: Option<UnixListener>,
    held: Vec<Held>,
}

/// A file that goes with the claim.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    _lock: Flock<File>,
}

/// Why there is none.
#[derive(Debug)]
pub enum ClaimError {
    /// This pipeline runs already.
    Running(Holder),
    /// Another pipeline has the socket that the file names.
    Taken(Holder),
    /// It could not be made.
    Failed(PathBuf, io::Error),
}

impl std::fmt::Display for ClaimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClaimError::Running(Holder { pid, file, .. }) => {
                write!(f, "this pipeline runs already: process {pid} runs {}", file.display())
            }
            ClaimError::Taken(Holder { pid, file, socket, .. }) => {
                let (socket, file) = (socket.display(), file.display());
                write!(f, "the control socket {socket} is taken: process {pid} runs {file}")
            }
            ClaimError::Failed(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// What runs, as far as these folders know. One that was killed may be among it: nobody answers there.
pub fn known(folders: &[PathBuf]) -> Vec<Holder> {
    place::locks(folders).iter().filter_map(|path| lock::read(&File::open(path).ok()?)).collect()
}

impl Claim {
    /// Takes the right to run a pipeline, and its socket. A second pipeline of the same name gets one with its pid in
    /// the name; a second run of the same file gets none.
    ///
    /// # Errors
    /// [`ClaimError::Running`] if the same pipeline runs; else the last folder's fault.
    pub fn take(wish: &Wish<'_>, folders: &[PathBuf]) -> Result<Claim, ClaimError> {
        let mut fault = ClaimError::Failed("".into(), io::Error::other("there is no runtime folder"));
        for folder in folders {
            if let Err(error) = place::prepare(folder) {
                fault = ClaimError::Failed(folder.clone(), error);
                continue;
            }
            match Claim::take_in(folder, folders, wish) {
                Err(error @ ClaimError::Failed(..)) if wish.socket.is_none() => fault = error,
                result => return result,
            }
        }
        match wish.socket {
            // It does without being found by its name.
            Some(path) => Claim::bound(path, None, wish),
            None => Err(fault),
        }
    }

    fn take_in(folder: &Path, folders: &[PathBuf], wish: &Wish<'_>) -> Result<Claim, ClaimError> {
        let failed = |error| ClaimError::Failed(folder.to_owned(), error);
        let turn = turn(folder).map_err(failed)?;
        let locks = place::locks(folders);
        if let Some(holder) = locks.iter().find_map(|path| lock::holder(path, wish.file)) {
            return Err(ClaimError::Running(holder));
        }
        lock::sweep(folder, |socket| wish.inherited.is_some_and(|listener| is_at(listener, socket)));
        for name in [wish.name.to_owned(), format!("{}-{}", wish.name, wish.pid)] {
            let own = folder.join(format!("{name}.sock"));
            let path = wish.socket.unwrap_or(&own);
            let file = folder.join(format!("{name}.lock"));
            match lock(&file, &wish.holder(path)).map_err(failed)? {
                Locked::Held(_) => {}
                Locked::Mine(lock) => {
                    let held = Held { path: file, _lock: lock };
                    if wish.socket.is_some() {
                        drop(turn); // the socket's own folder may be the same
                        return Claim::bound(path, Some(held), wish);
                    }
                    let listener =
                        bind(path, wish).map_err(|error| ClaimError::Failed(path.to_owned(), error))?;
                    let held = vec![held];
                    return Ok(Claim { path: path.to_owned(), listener: Some(listener), held });
                }
            }
        }
        Err(failed(io::Error::other("all names are taken")))
    }

    /// At a path of the user's choice, which must be nobody else's.
    fn bound(path: &Path, held: Option<Held>, wish: &Wish<'_>) -> Result<Claim, ClaimError> {
        let failed = |error| ClaimError::Failed(path.to_owned(), error);
        let _turn = turn(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
        let file = path.with_extension("sock.lock");
        match lock(&file, &wish.holder(path)).map_err(failed)? {
            Locked::Held(holder) => Err(ClaimError::Taken(holder)),
            Locked::Mine(lock) => {
                let listener = bind(path, wish).map_err(failed)?;
                let held = held.into_iter().chain([Held { path: file, _lock: lock }]).collect();
                Ok(Claim { path: path.to_owned(), listener: Some(listener), held })
            }
        }
    }

    /// The listening end, once.
    pub fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Wish<'_> {
    fn holder(&self, socket: &Path) -> Holder {
        let (name, file) = (self.name.to_owned(), self.file.to_owned());
        Holder { name, pid: self.pid, file, socket: socket.to_owned() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        remove(&self.path);
        self.held.iter().for_each(|held| remove(&held.path));
    }
}

/// Without a turn it stays: whoever comes next knows it for stale, as the lock is free.
fn remove(path: &Path) {
    if let Ok(_turn) = turn(path.parent().unwrap_or(Path::new("/"))) {
        let _ = fs::remove_file(path);
    }
}

/// What lies at the path belongs to a run that is over: its lock was free. Or to the program before this one.
fn bind(path: &Path, wish: &Wish<'_>) -> io::Result<UnixListener> {
    if let Some(listener) = wish.inherited.filter(|listener| is_at(listener, path)) {
        return listener.try_clone();
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is there",
            ));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn is_at(listener: &UnixListener, path: &Path) -> bool {
    path.exists() && listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(path))
}

#[cfg(test)]
mod tests;
