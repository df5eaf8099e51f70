//! Changes of files and folders: by the kernel (inotify) where that can be had, else by polling.
//!
//! The kernel is asked through `notify`, which has no event masks: it reports everything in a watched folder. So events
//! are filtered on its thread, by the handler that the owner of a [`FileWatch`] gives; an event that does not matter wakes
//! no other thread.
//!
//! Where inotify is used up, is not there, or does not see what other machines write, [`FileWatch::watch`] returns
//! [`How::Polled`]: the owner polls by itself every [`POLL_INTERVAL`], or lets [`FileWatch::poll`] do it.
//!
//! A crash leaves nothing behind here: watches belong to the process and end with it.

mod chain;
mod file_system;
mod pattern;

pub(crate) use chain::{above, chain};
pub(crate) use pattern::{FilePattern, has_wildcard};

use crate::sys::threads::without_signals;
use notify::event::{
    AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RemoveKind, RenameMode,
};
use notify::{Config, ErrorKind, INotifyWatcher, PollWatcher, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Between two polls where the kernel does not notify.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// `MPRUN_WATCH=poll` in the environment: the kernel is not asked at all, for file systems that hide what they are.
const MODE_VARIABLE: &str = "MPRUN_WATCH";

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Its content changed, or a program that had it open for writing closed it.
    Content,
    /// Its permissions, owner, times or number of links changed.
    Attributes,
    /// It appeared, or another file took its name.
    Appeared,
    /// It was renamed away.
    MovedAway,
    /// It was removed.
    Removed,
    /// Events were lost: anything may have happened anywhere. The path is empty.
    Anything,
}

/// How changes of a path are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The kernel notifies.
    Notified,
    /// Only by polling.
    Polled,
}

type Handler = Arc<dyn Fn(&Path, What) + Send + Sync>;

/// Watches on folders, or on single files.
pub(crate) struct FileWatch {
    handler: Handler,
    kernel: Option<INotifyWatcher>,
    poller: Option<PollWatcher>,
    /// The same for what is in folders, by its names, sizes and times alone.
    name_poller: Option<PollWatcher>,
    watched: BTreeMap<PathBuf, How>,
    /// For the log: what is watched here.
    subject: &'static str,
    /// The log has that something must be polled.
    is_reported: bool,
}

impl FileWatch {
    /// `handler` gets what happens, on a thread of its own: it must be quick. `subject`: what the log says is watched.
    pub(crate) fn new(
        subject: &'static str,
        handler: impl Fn(&Path, What) + Send + Sync + 'static,
    ) -> FileWatch {
        let handler: Handler = Arc::new(handler);
        let (watched, is_reported) = (BTreeMap::new(), false);
        let (kernel, poller, name_poller) = (None, None, None);
        let mut watch = FileWatch { handler, kernel, poller, name_poller, watched, subject, is_reported };
        if std::env::var_os(MODE_VARIABLE).as_deref() == Some(OsStr::new("poll")) {
            watch.say(&format!("{MODE_VARIABLE}=poll is in the environment"));
            return watch;
        }
        let to = Arc::clone(&watch.handler);
        match without_signals(|| INotifyWatcher::new(move |event| pass_on(event, &*to), Config::default())) {
            Ok(kernel) => watch.kernel = Some(kernel),
            Err(error) => watch.say(&cause(&error)),
        }
        watch
    }

    /// Watches what happens to a path, and in it if it is a folder. A path that is watched already is watched anew: the
    /// folder of that name may be another one by now.
    ///
    /// # Errors
    /// The path is not there, or may not be read.
    pub(crate) fn watch(&mut self, path: &Path) -> io::Result<How> {
        let how = self.begin(path)?;
        self.watched.insert(path.to_owned(), how);
        Ok(how)
    }

    /// Watches a folder if the kernel can notify of it: it is not worth polling.
    pub(crate) fn watch_if_notified(&mut self, folder: &Path) {
        let Some(kernel) = &mut self.kernel else { return };
        if self.watched.get(folder) == Some(&How::Notified) {
            let _ = kernel.unwatch(folder); // the watch may have ended with its folder
        }
        self.watched.remove(folder);
        if kernel.watch(folder, RecursiveMode::NonRecursive).is_ok() {
            self.watched.insert(folder.to_owned(), How::Notified);
        }
    }

    fn begin(&mut self, path: &Path) -> io::Result<How> {
        let Some(kernel) = &mut self.kernel else {
            return path.metadata().map(|_| How::Polled);
        };
        if let Some(remote) = file_system::remote(path)? {
            self.say(&format!("`{}` is on {remote}", path.display()));
            return Ok(How::Polled);
        }
        if self.watched.get(path) == Some(&How::Notified) {
            let _ = kernel.unwatch(path); // the watch may have ended with its folder
        }
        match kernel.watch(path, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(How::Notified),
            Err(error) => match error.kind {
                ErrorKind::PathNotFound => Err(io::ErrorKind::NotFound.into()),
                // What is in it can be looked at by name all the same.
                ErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    path.metadata()?;
                    self.say(&format!("`{}` may not be read: {error}", path.display()));
                    Ok(How::Polled)
                }
                ErrorKind::Io(error) if is_of_the_path(&error) => Err(error),
                _ => {
                    self.say(&cause(&error));
                    Ok(How::Polled)
                }
            },
        }
    }

    /// Ends the watches on all paths but these.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Path) -> bool) {
        let kernel = &mut self.kernel;
        self.watched.retain(|path, how| {
            let keep = wanted(path);
            if let Some(kernel) = kernel
                && !keep
                && *how == How::Notified
            {
                let _ = kernel.unwatch(path); // the watch may have ended with its folder
            }
            keep
        });
    }

    /// Whether anything must be polled.
    pub(crate) fn is_polling(&self) -> bool {
        self.watched.values().any(|how| *how == How::Polled)
    }

    /// Looks at one file every [`POLL_INTERVAL`], its content included, on a thread of its own.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn poll(&mut self, file: &Path) -> io::Result<()> {
        // Of the time of a change it compares the seconds only, hence the contents.
        poll_by(&mut self.poller, true, &self.handler, file)
    }

    /// The same for a folder, whose files may be large: their contents are left alone.
    ///
    /// # Errors
    /// As of [`FileWatch::poll`].
    pub(crate) fn poll_names(&mut self, folder: &Path) -> io::Result<()> {
        poll_by(&mut self.name_poller, false, &self.handler, folder)
    }

    /// Once: the reason holds for the other paths, too.
    fn say(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_reported, true) {
            let seconds = POLL_INTERVAL.as_secs();
            log::warn!("{} not watched by inotify but looked at every {seconds} s: {why}", self.subject);
        }
    }
}

fn poll_by(poller: &mut Option<PollWatcher>, contents: bool, to: &Handler, path: &Path) -> io::Result<()> {
    if poller.is_none() {
        let config = Config::default().with_poll_interval(POLL_INTERVAL).with_compare_contents(contents);
        let to = Arc::clone(to);
        let new = without_signals(|| PollWatcher::new(move |event| pass_on(event, &*to), config));
        *poller = Some(new.map_err(io::Error::other)?);
    }
    match poller {
        Some(poller) => poller.watch(path, RecursiveMode::NonRecursive).map_err(io::Error::other),
        None => Ok(()),
    }
}

/// Errors that say something about the path, not about inotify.
fn is_of_the_path(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// What is in the way of inotify, with the setting that helps.
fn cause(error: &notify::Error) -> String {
    let (watches, instances) = ("fs.inotify.max_user_watches", "fs.inotify.max_user_instances");
    match &error.kind {
        ErrorKind::MaxFilesWatch => format!("this user's watches are used up (see the sysctl {watches})"),
        ErrorKind::Io(error) => match error.raw_os_error() {
            Some(libc::ENOSPC) => format!("this user's watches are used up (see the sysctl {watches})"),
            Some(libc::EMFILE) => {
                format!(
                    "this user's inotify instances are used up (see the sysctl {instances}), or `ulimit -n` is"
                )
            }
            _ => error.to_string(),
        },
        _ => error.to_string(),
    }
}

fn pass_on(event: notify::Result<Event>, handler: &dyn Fn(&Path, What)) {
    let Ok(event) = event else { return handler(Path::new(""), What::Anything) };
    if event.need_rescan() {
        return handler(Path::new(""), What::Anything);
    }
    if let Some(what) = meaning(event.kind) {
        event.paths.iter().for_each(|path| handler(path, what));
    }
}

/// `None`: nothing changed, or another event tells the same.
fn meaning(kind: EventKind) -> Option<What> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Data(_)) => {
            Some(What::Content)
        }
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(What::Attributes),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Some(What::MovedAway),
        EventKind::Create(CreateKind::Any | CreateKind::File | CreateKind::Folder | CreateKind::Other)
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(What::Appeared),
        EventKind::Remove(RemoveKind::Any | RemoveKind::File | RemoveKind::Folder | RemoveKind::Other) => {
            Some(What::Removed)
        }
        EventKind::Modify(ModifyKind::Any | ModifyKind::Other | ModifyKind::Name(_))
        | EventKind::Any
        | EventKind::Other => Some(What::Anything),
    }
}

#[cfg(test)]
mod tests;
