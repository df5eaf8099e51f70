//! One run of a pipeline at a time: a lock file in the runtime folder, which the kernel ends with its holder, and the
//! socket that it names. Runs with other runtime folders are kept apart by a lock in the state folder ([`run_lock`]).
//!
//! The lock decides, not the socket: a socket stays behind when its run is killed, and to try to connect to it is a race
//! between two runs that start together. Both files change only under a lock on their folder.

mod lock;
mod run_lock;

use super::runtime_folder;
pub(crate) use lock::Holder;
pub(crate) use run_lock::RunLock;

use lock::{Held, Locked, folder_lock, lock, remove};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The identity of a run, and the socket that it wants.
#[derive(Clone, Debug)]
pub(crate) struct ClaimRequest<'a> {
    pub name: &'a str,
    /// Of the supervisor.
    pub pid: u32,
    /// The pipeline file, absolute.
    pub file: &'a Path,
    /// The path that the pipeline file gives for the socket.
    pub socket: Option<&'a Path>,
    /// The listener of the program before this one: clients may wait there.
    pub inherited: Option<&'a UnixListener>,
    /// What it holds of locks, see [`Claim::locks`].
    pub inherited_locks: &'a [OwnedFd],
}

/// The socket of this run, and the right to run. Dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Of the socket.
    pub path: PathBuf,
    listener: Option<UnixListener>,
    held: Vec<Held>,
}

#[derive(Debug)]
pub(crate) enum ClaimError {
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
            // A command line has no file.
            ClaimError::Running(Holder { pid, file, .. }) if !file.exists() => {
                write!(f, "this pipeline runs already: it is process {pid}")
            }
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

/// The folders that name runs of this user, the nearest first: those of sockets, and the one of runs with the same state
/// folder, which may have other folders of sockets.
pub(crate) fn folders_here() -> Vec<PathBuf> {
    let mut folders = runtime_folder::folders_here();
    folders.push(run_lock::folder(&|name| std::env::var(name).ok()));
    folders
}

/// The runs that these folders name, each once; those without a socket are left out. Some may have been killed.
pub(crate) fn known(folders: &[PathBuf]) -> Vec<Holder> {
    let locks = runtime_folder::locks(folders);
    let mut known: Vec<Holder> = Vec::new();
    for holder in locks.iter().filter_map(|path| lock::read(&File::open(path).ok()?)) {
        let is_new = known.iter().all(|other| other.socket != holder.socket);
        if is_new && !holder.socket.as_os_str().is_empty() {
            known.push(holder);
        }
    }
    known
}

impl Claim {
    /// Takes the right to run a pipeline, and its socket. A second pipeline of the same name gets one with its pid in
    /// the name; a second run of the same file gets none.
    ///
    /// # Errors
    /// [`ClaimError::Running`] if the same pipeline runs; else the last folder's fault.
    pub(crate) fn take(request: &ClaimRequest<'_>, folders: &[PathBuf]) -> Result<Claim, ClaimError> {
        let mut fault = ClaimError::Failed(
            "runtime folder".into(),
            io::Error::other("none is known: set XDG_RUNTIME_DIR"),
        );
        for folder in folders {
            if let Err(error) = runtime_folder::prepare(folder) {
                fault = ClaimError::Failed(folder.clone(), error);
                continue;
            }
            match Claim::take_in(folder, folders, request) {
                Err(error @ ClaimError::Failed(..)) if request.socket.is_none() => fault = error,
                result => return result,
            }
        }
        match request.socket {
            // It is not found by its name then.
            Some(path) => Claim::bound(path, None, request),
            None => Err(fault),
        }
    }

    fn take_in(folder: &Path, folders: &[PathBuf], request: &ClaimRequest<'_>) -> Result<Claim, ClaimError> {
        let failed = |error| ClaimError::Failed(folder.to_owned(), error);
        let folder_lock = folder_lock(folder).map_err(failed)?;
        let locks = runtime_folder::locks(folders);
        if let Some(holder) = locks.iter().find_map(|path| lock::holder(path, request.file, request.pid)) {
            return Err(ClaimError::Running(holder));
        }
        lock::sweep(folder, |socket| request.inherited.is_some_and(|listener| is_at(listener, socket)));
        for name in [request.name.to_owned(), format!("{}-{}", request.name, request.pid)] {
            let own = folder.join(format!("{name}.sock"));
            let path = request.socket.unwrap_or(&own);
            let file = folder.join(format!("{name}.lock"));
            match lock(&file, &request.holder(path), request.inherited_locks).map_err(failed)? {
                Locked::Held(_) => {}
                Locked::Mine(lock) => {
                    let held = Held::new(file, lock);
                    if request.socket.is_some() {
                        drop(folder_lock); // the socket's own folder may be the same
                        return Claim::bound(path, Some(held), request);
                    }
                    let listener =
                        bind(path, request).map_err(|error| ClaimError::Failed(path.to_owned(), error))?;
                    let held = vec![held];
                    return Ok(Claim { path: path.to_owned(), listener: Some(listener), held });
                }
            }
        }
        Err(failed(io::Error::other("other runs have this pipeline's name: give it another `name`")))
    }

    /// At a path of the user's choice, which no other run may have.
    fn bound(path: &Path, held: Option<Held>, request: &ClaimRequest<'_>) -> Result<Claim, ClaimError> {
        let failed = |error| ClaimError::Failed(path.to_owned(), error);
        let _lock = folder_lock(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
        let file = path.with_extension("sock.lock");
        match lock(&file, &request.holder(path), request.inherited_locks).map_err(failed)? {
            Locked::Held(holder) => Err(ClaimError::Taken(holder)),
            Locked::Mine(lock) => {
                let listener = bind(path, request).map_err(failed)?;
                let held = held.into_iter().chain([Held::new(file, lock)]).collect();
                Ok(Claim { path: path.to_owned(), listener: Some(listener), held })
            }
        }
    }

    /// For a program that takes over.
    pub(crate) fn locks(&self) -> impl Iterator<Item = io::Result<OwnedFd>> {
        self.held.iter().map(Held::descriptor)
    }

    /// The listening end, once.
    pub(crate) fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl ClaimRequest<'_> {
    /// `socket`: empty for a run that has none.
    pub(crate) fn holder(&self, socket: &Path) -> Holder {
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

/// What lies at the path belongs to a run that is over: its lock was free. Or to the program before this one.
fn bind(path: &Path, request: &ClaimRequest<'_>) -> io::Result<UnixListener> {
    if let Some(listener) = request.inherited.filter(|listener| is_at(listener, path)) {
        return listener.try_clone();
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is there: remove it, or name another `socket` in [control]",
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
