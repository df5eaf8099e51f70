//! The few things that are done to files which must be right after a power cut. All of them pass here, so that a test
//! can cut the power between any two of them, and lose or reorder what was not synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One thing that was done. What is not synced yet a power cut may undo, in any order.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq)]
pub(in crate::queue) enum FileOperation {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncFolder,
}

#[cfg(test)]
thread_local! {
    static DONE: std::cell::RefCell<Vec<FileOperation>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What this thread has done since the last call.
#[cfg(test)]
pub(in crate::queue) fn done() -> Vec<FileOperation> {
    DONE.take()
}

macro_rules! note {
    ($operation:expr) => {
        #[cfg(test)]
        DONE.with_borrow_mut(|done| done.push($operation))
    };
}

/// Puts a file with these bytes in the place of another: after a power cut there is the one or the other, whole. Once it
/// returns it is this one.
///
/// | killed, or cut … | left behind |
/// |---|---|
/// | before the rename | the old one, and a new one half-written beside it, which the next call overwrites |
/// | after the rename, before the folder is synced | the one or the other |
pub(in crate::queue) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, "new");
    if let Err(error) = write(&new, bytes) {
        let _ = fs::remove_file(&new); // on a full disk the half of it would take the room of others
        return Err(error);
    }
    rename(&new, path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = open_new(path, options.write(true).create(true).truncate(true).mode(0o600))?;
    note!(FileOperation::Create(path.to_owned()));
    file.write_all(bytes)?;
    note!(FileOperation::Write(path.to_owned(), bytes.to_vec()));
    file.sync_all()?;
    note!(FileOperation::Sync(path.to_owned()));
    Ok(())
}

/// Opens a file under a name that is there for a new one. A link under that name leads to a file that is none of this pipeline's: the
/// link goes, its file stays as it is.
pub(super) fn open_new(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let found = fs::symlink_metadata(path).ok();
    match &found {
        Some(found) if found.is_symlink() => fs::remove_file(path)?,
        Some(found) if !found.is_file() => {
            return Err(io::Error::other("it is no file: move it away"));
        }
        _ => {}
    }
    let opened = options.custom_flags(libc::O_NOFOLLOW).open(path);
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if found.is_some_and(|found| found.is_file()) => {
            io::Error::other(format!("{error}: if it is another user's, remove it"))
        }
        _ => error,
    })
}

/// Gives a file that is on the disk another's name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    note!(FileOperation::Rename(from.to_owned(), to.to_owned()));
    sync_folder(to)
}

/// The names in a file's folder are there after a power cut.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    File::open(of.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    note!(FileOperation::SyncFolder);
    Ok(())
}

/// `queues.new` for `queues`.
pub(in crate::queue) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
