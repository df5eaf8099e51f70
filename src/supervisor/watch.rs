//! Notices when the pipeline file may have changed: written in place, replaced by a rename, or reached through a
//! symbolic link (of itself or of a folder above it) that now points elsewhere.
//!
//! Folders are watched, not the file: editors and configuration managers replace it, and a watch on an inode would
//! stay with the old one. Only what comes, goes or is closed wakes anybody here: a pipeline may well write its output
//! beside its file. What is written to the file itself, and not closed, is seen by a watch on its inode.

mod names;

use super::inbox::{Notice, SMALL_STACK, Sender};
use names::chain;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// In a folder.
const COMES_AND_GOES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// A watch on all that decides what the file holds.
pub struct Watch {
    file: PathBuf,
    shared: Arc<Shared>,
}

/// What the thread looks at, too.
struct Shared {
    inotify: Inotify,
    aim: Mutex<Aim>,
}

#[derive(Default)]
struct Aim {
    /// The names that matter.
    names: BTreeSet<PathBuf>,
    folders: BTreeMap<WatchDescriptor, PathBuf>,
    /// The file itself, if it is there.
    content: Option<WatchDescriptor>,
    is_over: bool,
}

impl Watch {
    /// Begins to watch `file`, and sends a [`Notice::FileTouched`] for every change.
    pub fn new(file: &Path, to: Sender) -> io::Result<Watch> {
        let file = std::path::absolute(file)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let shared = Arc::new(Shared { inotify, aim: Mutex::default() });
        let mut watch = Watch { file, shared: Arc::clone(&shared) };
        watch.aim()?;
        let thread = thread::Builder::new().name("watch".to_owned()).stack_size(SMALL_STACK);
        thread.spawn(move || shared.tell(&to))?;
        Ok(watch)
    }

    /// Looks again which folders matter. A link may be turned while this looks: so until two looks agree.
    pub fn aim(&mut self) -> io::Result<()> {
        let mut names = chain(&self.file);
        for _ in 0..3 {
            self.shared.watch_folders_of(&names)?;
            let again = chain(&self.file);
            if again == names {
                break;
            }
            names = again;
        }
        self.shared.watch_content_of(&self.file);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut aim = self.shared.aim();
        aim.is_over = true;
        // The end of a watch wakes the thread.
        aim.folders.keys().for_each(|&folder| self.shared.unwatch(folder));
    }
}

impl Shared {
    fn aim(&self) -> MutexGuard<'_, Aim> {
        self.aim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch_folders_of(&self, names: &BTreeSet<PathBuf>) -> io::Result<()> {
        let mut aim = self.aim();
        let mut folders = BTreeMap::new();
        // Folders first, so that no change of a new name goes by unseen. Even a folder that is watched already: one
        // that was replaced by another of the same name has lost its watch.
        for folder in names.iter().filter_map(|name| name.parent()) {
            folders.insert(self.inotify.add_watch(folder, COMES_AND_GOES)?, folder.to_owned());
        }
        aim.folders.keys().filter(|old| !folders.contains_key(old)).for_each(|&old| self.unwatch(old));
        aim.folders = folders;
        aim.names.clone_from(names);
        Ok(())
    }

    fn watch_content_of(&self, file: &Path) {
        let now = self.inotify.add_watch(file, AddWatchFlags::IN_MODIFY).ok(); // it may be missing
        let before = std::mem::replace(&mut self.aim().content, now);
        before.filter(|_| before != now).into_iter().for_each(|old| self.unwatch(old));
    }

    fn unwatch(&self, watched: WatchDescriptor) {
        let _ = self.inotify.rm_watch(watched); // it may be gone, and its watch with it
    }

    /// Until the watch is dropped, or nobody wants notices any more.
    fn tell(&self, to: &Sender) {
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                Err(error) => return log::warn!(target: "mprun", "the file is not watched any more: {error}"),
            };
            let aim = self.aim();
            if aim.is_over {
                return;
            }
            let touched = events.iter().any(|event| aim.matters(event));
            drop(aim);
            if touched && !to.send(Notice::FileTouched) {
                return;
            }
        }
    }
}

impl Aim {
    fn matters(&self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) || Some(event.wd) == self.content {
            return !event.mask.contains(AddWatchFlags::IN_IGNORED);
        }
        let Some(folder) = self.folders.get(&event.wd) else { return false };
        match &event.name {
            Some(name) => self.names.contains(&folder.join(name)),
            // The folder itself was moved or removed.
            None => true,
        }
    }
}

#[cfg(test)]
mod tests;
