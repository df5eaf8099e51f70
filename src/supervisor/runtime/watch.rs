//! Notices when the pipeline file, or a file that is a part of it, may have changed: written in place, replaced by a
//! rename, or reached through a symbolic link (of itself or of a folder above it) that now points elsewhere. A file that
//! comes under a pattern of `include`, or goes, counts as well.
//!
//! Folders are watched, not the file: editors and configuration managers replace it, and a watch on an inode would
//! stay with the old one. A pipeline may well write its output beside its file, so what happens to other names ends on
//! the watching thread.

use super::inbox::{Notice, Sender};
use crate::config::Watched;
use crate::file_watch::{FilePattern, FileWatch, How, What, above, chain};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the pipeline file, and what else there is, were like at one moment. Of a pattern's folder it is the names in it
/// that count.
#[derive(PartialEq, Eq)]
pub(crate) struct FileStamp(Vec<Option<Attributes>>);

/// Two files with the same ones are the same, unchanged.
#[derive(PartialEq, Eq)]
struct Attributes {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    pub(crate) fn of(file: &Path, watched: &Watched) -> FileStamp {
        let folders = watched.patterns.iter().map(|(folder, _)| folder.as_path());
        let files = watched.files.iter().map(PathBuf::as_path);
        let about = |path: &Path| {
            let about = std::fs::metadata(path).ok()?;
            Some(Attributes {
                device: about.dev(),
                inode: about.ino(),
                bytes: about.len(),
                modified: (about.mtime(), about.mtime_nsec()),
                changed: (about.ctime(), about.ctime_nsec()),
            })
        };
        FileStamp(std::iter::once(file).chain(files).chain(folders).map(about).collect())
    }
}

/// A watch on all that decides what the file holds.
pub(crate) struct Watch {
    file: PathBuf,
    /// What else.
    watched: Watched,
    files: FileWatch,
    aim: Arc<Mutex<Aim>>,
    /// Files that are looked at themselves: some of their folders tell nothing.
    polled: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Aim {
    /// The names that matter.
    names: BTreeSet<PathBuf>,
    /// And those that match.
    patterns: Vec<FilePattern>,
    folders: BTreeSet<PathBuf>,
    /// Folders above these: whether they are there, or others of their name, is all that matters.
    above: BTreeSet<PathBuf>,
}

impl Watch {
    /// Begins to watch `file` and what else there is, and sends a [`Notice::FileTouched`] for every change.
    pub(crate) fn new(file: &Path, watched: Watched, to: Sender) -> io::Result<Watch> {
        let file = std::path::absolute(file)?;
        let aim: Arc<Mutex<Aim>> = Arc::default();
        let shared = Arc::clone(&aim);
        let files = FileWatch::new("the pipeline file is", move |path, what| {
            if locked(&shared).matters(path, what) {
                to.send(Notice::FileTouched); // false once the run is over: so is this watch soon
            }
        });
        let mut watch = Watch { file, watched, files, aim, polled: BTreeSet::new() };
        watch.aim()?;
        Ok(watch)
    }

    /// What else is to be watched: this alone, or this as well. Whether that is another than before.
    pub(crate) fn set(&mut self, mut watched: Watched, is_all: bool) -> io::Result<bool> {
        if !is_all {
            watched.extend(self.watched.clone());
        }
        if watched == self.watched {
            return Ok(false);
        }
        self.watched = watched;
        self.aim().map(|()| true)
    }

    /// Looks again which folders matter. A link may be turned while this looks: so until two looks agree.
    pub(crate) fn aim(&mut self) -> io::Result<()> {
        let mut names = self.names();
        for _ in 0..3 {
            self.watch_folders_of(&names)?;
            let again = self.names();
            if again == names {
                break;
            }
            names = again;
        }
        if self.files.is_polling() {
            self.poll()?;
        }
        Ok(())
    }

    /// All names on the ways to the files, and to the folders of patterns.
    fn names(&self) -> BTreeSet<PathBuf> {
        let folders = self.watched.patterns.iter().map(|(folder, _)| folder);
        [&self.file]
            .into_iter()
            .chain(&self.watched.files)
            .chain(folders)
            .flat_map(|path| chain(path))
            .collect()
    }

    fn poll(&mut self) -> io::Result<()> {
        for file in [&self.file].into_iter().chain(&self.watched.files) {
            if !self.polled.contains(file) {
                self.files.poll(file)?;
                self.polled.insert(file.clone());
            }
        }
        for (folder, _) in &self.watched.patterns {
            if !self.polled.contains(folder) && folder.is_dir() {
                self.files.poll_names(folder)?;
                self.polled.insert(folder.clone());
            }
        }
        Ok(())
    }

    fn watch_folders_of(&mut self, names: &BTreeSet<PathBuf>) -> io::Result<()> {
        let real = |(folder, name): &(PathBuf, String)| FilePattern::of(&folder.canonicalize().ok()?, name);
        let patterns: Vec<FilePattern> = self.watched.patterns.iter().filter_map(real).collect();
        let mut folders: BTreeSet<PathBuf> =
            names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        folders.extend(patterns.iter().map(|pattern| pattern.folder.clone()));
        let above = above(folders.iter().map(PathBuf::as_path));
        let around: BTreeSet<PathBuf> =
            above.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        *locked(&self.aim) = Aim { names: names.clone(), patterns, folders: folders.clone(), above };
        self.files.keep(|path| folders.contains(path) || around.contains(path));
        around.difference(&folders).for_each(|folder| self.files.watch_if_notified(folder));
        // Even a folder that is watched already: one that was replaced by another of the same name has lost its watch.
        folders.iter().try_for_each(|folder| self.files.watch(folder).map(|_: How| ()))
    }
}

fn locked(aim: &Mutex<Aim>) -> MutexGuard<'_, Aim> {
    aim.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Aim {
    fn matters(&self, path: &Path, what: What) -> bool {
        match what {
            What::Anything => true,
            What::Content => self.is_named(path),
            What::Attributes => self.is_named(path) || self.folders.contains(path),
            // A folder itself was moved or removed, or one above it.
            What::Appeared | What::MovedAway | What::Removed => {
                self.is_named(path) || self.folders.contains(path) || self.above.contains(path)
            }
        }
    }

    fn is_named(&self, path: &Path) -> bool {
        let (folder, name) = (path.parent(), path.file_name().unwrap_or_default());
        let matches = |pattern: &FilePattern| folder == Some(&*pattern.folder) && pattern.matches(name);
        self.names.contains(path) || self.patterns.iter().any(matches)
    }
}

#[cfg(test)]
mod tests;
