//! Being told by the kernel that files or folders changed (inotify).

use crate::stage::Failure;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Which watch something came from.
pub(super) type Watched = WatchDescriptor;

pub(super) struct Watch {
    inotify: Inotify,
}

/// What happened since the last look.
#[derive(Default)]
pub(super) struct Changes {
    /// Files that changed.
    pub files: Vec<Watched>,
    /// A folder changed, or so much happened that the kernel stopped counting: look at everything.
    pub folders: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.folders
    }
}

fn files() -> AddWatchFlags {
    AddWatchFlags::IN_MODIFY
}

fn folders() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
}

impl Watch {
    pub fn new() -> Result<Watch, Failure> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        let why =
            |error| Failure::fatal(format!("can't watch files: {error} (see fs.inotify.max_user_instances)"));
        inotify.map(|inotify| Watch { inotify }).map_err(why)
    }

    /// Watches the content of a file. Watching it again is no second watch. None if it just vanished.
    pub fn file(&self, path: &Path) -> Result<Option<Watched>, Failure> {
        self.add(path, files())
    }

    /// Watches what comes into a folder and leaves it.
    pub fn folder(&self, path: &Path) -> Result<(), Failure> {
        self.add(path, folders()).map(|_| ())
    }

    fn add(&self, path: &Path, flags: AddWatchFlags) -> Result<Option<Watched>, Failure> {
        match self.inotify.add_watch(path, flags) {
            Ok(watched) => Ok(Some(watched)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => {
                let hint = if error == Errno::ENOSPC { " (see fs.inotify.max_user_watches)" } else { "" };
                Err(Failure::fatal(format!("can't watch `{}`: {error}{hint}", path.display())))
            }
        }
    }

    /// What happened since the last call; nothing, if nothing did.
    pub fn changes(&self) -> Result<Changes, Failure> {
        let mut changes = Changes::default();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(Failure::fatal(format!("can't watch files: {error}"))),
            };
            for event in events {
                match event.mask.contains(AddWatchFlags::IN_MODIFY) {
                    true => changes.files.push(event.wd),
                    false => changes.folders = true,
                }
            }
        }
    }

    pub fn readable(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
