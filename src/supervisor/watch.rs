//! Notices when the pipeline file may have changed: written in place, replaced by a rename, or reached through a
//! symbolic link (of itself or of a folder above it) that now points elsewhere.
//!
//! Folders are watched, not the file: editors and configuration managers replace it, and a watch on an inode would
//! stay with the old one.

use super::inbox::Notice;
use crossbeam_channel::Sender;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The kernel's own limit.
const LINKS_AT_MOST: usize = 40;

/// A watch on all that decides what the file holds.
pub struct Watch {
    file: PathBuf,
    watcher: RecommendedWatcher,
    /// The names that matter; the handler's thread looks them up.
    names: Arc<Mutex<BTreeSet<PathBuf>>>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Begins to watch `file`, and sends a [`Notice::FileTouched`] for every change.
    pub fn new(file: &Path, to: Sender<Notice>) -> notify::Result<Watch> {
        let file = std::path::absolute(file)?;
        let names = Arc::new(Mutex::new(BTreeSet::new()));
        let looked_up = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let names = looked_up.lock().unwrap_or_else(PoisonError::into_inner);
            if matters(&event, &names) {
                let _ = to.send(Notice::FileTouched); // nobody waits any more: the run is over
            }
        })?;
        let mut watch = Watch { file, watcher, names, folders: BTreeSet::new() };
        watch.aim()?;
        Ok(watch)
    }

    /// Looks again which folders matter. A link may be turned while this looks: so until two looks agree.
    pub fn aim(&mut self) -> notify::Result<()> {
        let mut names = chain(&self.file);
        for _ in 0..3 {
            self.watch_folders_of(&names)?;
            let again = chain(&self.file);
            if again == names {
                break;
            }
            names = again;
        }
        Ok(())
    }

    fn watch_folders_of(&mut self, names: &BTreeSet<PathBuf>) -> notify::Result<()> {
        let folders: BTreeSet<PathBuf> =
            names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        // Folders first, so that no change of a new name goes by unseen. Even a folder that is watched already: one
        // that was replaced by another of the same name has lost its watch.
        self.names.lock().unwrap_or_else(PoisonError::into_inner).extend(names.iter().cloned());
        for folder in &folders {
            self.watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        for folder in self.folders.difference(&folders) {
            let _ = self.watcher.unwatch(folder); // it may be gone, and its watch with it
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names.clone();
        self.folders = folders;
        Ok(())
    }
}

/// Opening and reading changes nothing, and the supervisor does it itself after every notice.
fn matters(event: &notify::Result<notify::Event>, names: &BTreeSet<PathBuf>) -> bool {
    let Ok(event) = event else { return true };
    let written = AccessKind::Close(AccessMode::Write);
    let harmless = matches!(event.kind, EventKind::Access(how) if how != written);
    // A folder that is itself moved or removed is told under its own name.
    let known = |path: &PathBuf| names.contains(path) || names.iter().any(|name| name.parent() == Some(path));
    !harmless && (event.need_rescan() || event.paths.iter().any(known))
}

/// The names that lead to `file`: the file's own, in its real folder, and that of every symbolic link on the way. Where
/// something is missing, its name is the last one.
fn chain(file: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut real = PathBuf::new();
    let mut left: Vec<PathBuf> = parts(file);
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            real.pop();
            continue;
        }
        let path = real.join(&part);
        match fs::read_link(&path) {
            Ok(target) if links < LINKS_AT_MOST => {
                links += 1;
                names.insert(path);
                left.extend(parts(&target));
                if target.is_absolute() {
                    real = PathBuf::new();
                }
            }
            Ok(_) | Err(_) => {
                let last = left.is_empty();
                if last || !path.exists() {
                    names.insert(path);
                    break;
                }
                real = path;
            }
        }
    }
    names
}

/// The components of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let wanted = |component: &Component| *component != Component::CurDir;
    path.components().rev().filter(wanted).map(|component| PathBuf::from(component.as_os_str())).collect()
}

#[cfg(test)]
mod tests;
