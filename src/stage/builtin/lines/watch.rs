//! What of the folders' events matters to the files that are followed, gathered for the worker.

use super::search::Names;
use crate::file_watch::{FileWatch, What, above};
use crate::stage::Failure;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Watch {
    files: FileWatch,
    shared: Arc<Shared>,
    /// The folders that are watched: device and inode tell one from another that took its name.
    folders: BTreeMap<PathBuf, (u64, u64)>,
}

struct Shared {
    /// Readable while there are changes.
    wakeup: EventFd,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    names: BTreeMap<PathBuf, Names>,
    /// The folders that are watched, and those above them.
    above: BTreeSet<PathBuf>,
    files: HashSet<PathBuf>,
    changes: Changes,
}

/// What happened since the last look.
#[derive(Default)]
pub(super) struct Changes {
    /// Files that changed, by where they are.
    pub files: HashSet<PathBuf>,
    /// Files that were removed.
    pub removed: HashSet<PathBuf>,
    /// Names may lead to other files than before.
    pub names: bool,
    /// Anything may have happened anywhere.
    pub anything: bool,
    /// Folders that are another one now, or none.
    replaced: BTreeSet<PathBuf>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.names && !self.anything
    }
}

impl Watch {
    pub(super) fn new() -> Result<Watch, Failure> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wakeup = EventFd::from_value_and_flags(0, flags);
        let wakeup = wakeup.map_err(|error| Failure::fatal(format!("can't watch files: {error}")))?;
        let shared = Arc::new(Shared { wakeup, inner: Mutex::default() });
        let to = Arc::clone(&shared);
        let files = FileWatch::new("files that are followed are", move |path, what| to.note(path, what));
        Ok(Watch { files, shared, folders: BTreeMap::new() })
    }

    /// Watches these folders and no others. True if one was not watched before: then what happened in it a moment ago
    /// may have gone by unseen.
    pub(super) fn aim(
        &mut self,
        names: BTreeMap<PathBuf, Names>,
        faults: &mut Vec<(PathBuf, io::Error)>,
    ) -> bool {
        let replaced = std::mem::take(&mut self.shared.inner().changes.replaced);
        let above = above(names.keys().map(PathBuf::as_path));
        let around: BTreeSet<PathBuf> =
            above.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        let is_wanted = |folder: &Path| names.contains_key(folder) || around.contains(folder);
        self.folders.retain(|folder, _| is_wanted(folder) && !replaced.contains(folder));
        self.files.keep(is_wanted);
        let folders: Vec<PathBuf> = names.keys().cloned().collect();
        let around: Vec<PathBuf> = around.into_iter().filter(|folder| !names.contains_key(folder)).collect();
        {
            let mut inner = self.shared.inner();
            (inner.names, inner.above) = (names, above);
        }
        let mut is_new = false;
        for folder in around {
            let about = folder.metadata().map(|about| (about.dev(), about.ino())).ok();
            if let Some(about) = about
                && self.folders.get(&folder) != Some(&about)
            {
                self.files.watch_if_notified(&folder);
                self.folders.insert(folder, about);
                is_new = true;
            }
        }
        for folder in folders {
            match folder.metadata() {
                Ok(about) if self.folders.get(&folder) == Some(&(about.dev(), about.ino())) => {}
                Ok(about) => match self.files.watch(&folder) {
                    Ok(_) => {
                        is_new = true;
                        self.folders.insert(folder, (about.dev(), about.ino()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => is_new = true,
                    Err(error) => faults.push((folder, error)),
                },
                Err(_) => drop(self.folders.remove(&folder)),
            }
        }
        is_new
    }

    /// The files whose content matters, by where they are.
    pub(super) fn follow(&mut self, files: HashSet<PathBuf>) {
        self.shared.inner().files = files;
    }

    /// Whether some folder tells nothing by itself.
    pub(super) fn is_polling(&self) -> bool {
        self.files.is_polling()
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.shared.inner().changes.is_empty()
    }

    /// What happened since the last call.
    pub(super) fn changes(&mut self) -> Changes {
        let mut inner = self.shared.inner();
        let _ = self.shared.wakeup.read(); // not rung: nothing to take back
        let replaced = inner.changes.replaced.clone();
        std::mem::replace(&mut inner.changes, Changes { replaced, ..Changes::default() })
    }

    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.shared.wakeup.as_fd()
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the thread of the events.
    fn note(&self, path: &Path, what: What) {
        let mut inner = self.inner();
        let was_empty = inner.changes.is_empty();
        inner.note(path, what);
        if was_empty && !inner.changes.is_empty() {
            // It can only be full, and is readable then.
            let _: Result<usize, Errno> = self.wakeup.write(1);
        }
    }
}

impl Inner {
    fn note(&mut self, path: &Path, what: What) {
        let is_followed = self.files.contains(path);
        match what {
            What::Anything => {
                self.changes.anything = true;
                self.changes.replaced.extend(self.names.keys().cloned());
                return;
            }
            What::Content if is_followed => {
                self.changes.files.insert(path.to_owned());
                return;
            }
            What::Content => return,
            What::Removed if is_followed => drop(self.changes.removed.insert(path.to_owned())),
            What::Attributes | What::Appeared | What::MovedAway | What::Removed => {}
        }
        let is_folder = self.names.contains_key(path) || self.above.contains(path);
        let is_folder = is_folder && (what != What::Attributes || self.names.contains_key(path));
        if is_folder && what != What::Attributes {
            self.changes.replaced.insert(path.to_owned());
        }
        if is_followed {
            self.changes.files.insert(path.to_owned());
        }
        let names = path.parent().and_then(|folder| self.names.get(folder));
        let is_meant = path.file_name().is_some_and(|name| names.is_some_and(|names| names.contain(name)));
        self.changes.names |= is_folder || is_followed || is_meant;
    }
}
