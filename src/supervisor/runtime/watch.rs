//! Notices when the pipeline file may have changed: written in place, replaced by a rename, or reached through a
//! symbolic link (of itself or of a folder above it) that now points elsewhere.
//!
//! Folders are watched, not the file: editors and configuration managers replace it, and a watch on an inode would
//! stay with the old one. A pipeline may well write its output beside its file, so what happens to other names ends on
//! the watching thread.

use super::inbox::{Notice, Sender};
use crate::file_watch::{FileWatch, How, What, above, chain};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A watch on all that decides what the file holds.
pub(crate) struct Watch {
    file: PathBuf,
    files: FileWatch,
    aim: Arc<Mutex<Aim>>,
    /// The file itself is looked at, too: some of its folders tell nothing.
    is_polled: bool,
}

#[derive(Default)]
struct Aim {
    /// The names that matter.
    names: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// Folders above these: whether they are there, or others of their name, is all that matters.
    above: BTreeSet<PathBuf>,
}

impl Watch {
    /// Begins to watch `file`, and sends a [`Notice::FileTouched`] for every change.
    pub(crate) fn new(file: &Path, to: Sender) -> io::Result<Watch> {
        let file = std::path::absolute(file)?;
        let aim: Arc<Mutex<Aim>> = Arc::default();
        let shared = Arc::clone(&aim);
        let files = FileWatch::new("the pipeline file is", move |path, what| {
            if locked(&shared).matters(path, what) {
                to.send(Notice::FileTouched); // false once the run is over: so is this watch soon
            }
        });
        let mut watch = Watch { file, files, aim, is_polled: false };
        watch.aim()?;
        Ok(watch)
    }

    /// Looks again which folders matter. A link may be turned while this looks: so until two looks agree.
    pub(crate) fn aim(&mut self) -> io::Result<()> {
        let mut names = chain(&self.file);
        for _ in 0..3 {
            self.watch_folders_of(&names)?;
            let again = chain(&self.file);
            if again == names {
                break;
            }
            names = again;
        }
        if self.files.is_polling() && !self.is_polled {
            self.files.poll(&self.file)?;
            self.is_polled = true;
        }
        Ok(())
    }

    fn watch_folders_of(&mut self, names: &BTreeSet<PathBuf>) -> io::Result<()> {
        let folders: BTreeSet<PathBuf> =
            names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        let above = above(folders.iter().map(PathBuf::as_path));
        let around: BTreeSet<PathBuf> =
            above.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        *locked(&self.aim) = Aim { names: names.clone(), folders: folders.clone(), above };
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
            What::Content => self.names.contains(path),
            What::Attributes => self.names.contains(path) || self.folders.contains(path),
            // A folder itself was moved or removed, or one above it.
            What::Appeared | What::MovedAway | What::Removed => {
                self.names.contains(path) || self.folders.contains(path) || self.above.contains(path)
            }
        }
    }
}

#[cfg(test)]
mod tests;
