//! The few things that are done to files which must be right after a power cut. All of them pass here, so that a test
//! can cut the power between any two of them, and lose or reorder what was not synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One thing that was done. What is not synced yet a power cut may undo, in any order.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncFolder,
}

#[cfg(test)]
thread_local! {
    static DONE: std::cell::RefCell<Vec<Deed>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What this thread has done since it was last asked.
#[cfg(test)]
pub(super) fn done() -> Vec<Deed> {
    DONE.take()
}

macro_rules! note {
    ($deed:expr) => {
        #[cfg(test)]
        DONE.with_borrow_mut(|done| done.push($deed))
    };
}

/// Puts a file with these bytes in the place of another: after a power cut there is the one or the other, whole. Once it
/// returns it is this one.
///
/// | killed, or cut … | left behind |
/// |---|---|
/// | before the rename | the old one, and a new one half-written beside it, which the next call overwrites |
/// | after the rename, before the folder is synced | the one or the other |
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, "new");
    if let Err(error) = write(&new, bytes) {
        let _ = fs::remove_file(&new); // on a full disk the half of it would keep others from going on
        return Err(error);
    }
    rename(&new, path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    note!(Deed::Create(path.to_owned()));
    file.write_all(bytes)?;
    note!(Deed::Write(path.to_owned(), bytes.to_vec()));
    file.sync_all()?;
    note!(Deed::Sync(path.to_owned()));
    Ok(())
}

/// Gives a file that is on the disk another's name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    note!(Deed::Rename(from.to_owned(), to.to_owned()));
    sync_folder(to)
}

/// The names in a file's folder are there after a power cut.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    File::open(of.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    note!(Deed::SyncFolder);
    Ok(())
}

/// `queues.new` for `queues`.
pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
