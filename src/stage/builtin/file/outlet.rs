//! What the lines of a `file` sink go to: opened without waiting, and left when its name means something else.

use crate::append::{Appender, Claim, NO_MARK, UndoLog};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Interval at which the name is checked: it may mean another file by then.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// An open file, pipe or device.
pub(super) struct Outlet {
    pub path: PathBuf,
    pub appender: Appender<File>,
    checked_at: Instant,
    /// Of a file that can be read.
    claim: Option<Claim>,
    /// Of a file that no other stage writes.
    mark: Option<u64>,
}

impl Outlet {
    /// Opens what has this name, or makes a file. Never waits: also a pipe without a reader is an error. `makes_folders`:
    /// those that are missing, too.
    ///
    /// `whose`: the stage and the run, for others to see that they are not alone.
    pub(super) fn open(path: &Path, makes_folders: bool, log: &UndoLog, whose: &[u8]) -> io::Result<Outlet> {
        let opened = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && makes_folders => {
                path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| open(path))
            }
            result => result,
        };
        let appender = Appender::new(opened?, log.clone())?;
        let claim = appender.claim(whose)?;
        Ok(Outlet { path: path.to_owned(), appender, checked_at: Instant::now(), claim, mark: None })
    }

    /// Looks who else writes the file, before the first write of a turn. `known`: the mark that the token names.
    pub(super) fn look_for_others(&mut self, known: u64) -> io::Result<()> {
        self.mark = self.appender.mark(self.claim.as_ref(), known)?;
        Ok(())
    }

    /// What the token is to name with the length that counts.
    pub(super) fn mark(&self) -> u64 {
        self.mark.unwrap_or(NO_MARK)
    }

    /// Whether what is written counts once the token says so: nobody else's lines come between.
    pub(super) fn is_counted(&self) -> bool {
        self.mark.is_some()
    }

    /// Whether this is still where lines for `path` belong. It is looked for once a second.
    pub(super) fn is_still(&mut self, path: &Path) -> io::Result<bool> {
        if self.path != path {
            return Ok(false);
        }
        if self.checked_at.elapsed() < RECHECK_INTERVAL {
            return Ok(true);
        }
        let is_named = self.appender.is_named(path)?;
        self.checked_at = Instant::now();
        Ok(is_named)
    }

    /// Whether what was written into it is in no folder any more. (A file system that counts no links at all may say of
    /// every file that it has none.)
    pub(super) fn is_lost(&self) -> io::Result<bool> {
        Ok(self.appender.is_removed()? && !self.appender.is_named(&self.path)?)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // O_APPEND: also another program that appends to the file keeps what it writes.
    let mut options = OpenOptions::new();
    options.create(true).append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Why it can't be opened, in words.
pub(super) fn explain(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    let link = fs::read_link(path).ok();
    let kind = fs::metadata(path).map(|about| about.file_type());
    match (error.raw_os_error(), kind) {
        (Some(libc::ENXIO), Ok(kind)) if kind.is_fifo() => {
            format!("can't write `{shown}`: it is a named pipe without a reader")
        }
        (Some(libc::ENXIO), Ok(kind)) if kind.is_socket() => {
            format!("can't open `{shown}`: it is a socket, and lines can't be appended to one")
        }
        (Some(libc::EISDIR), _) => format!("can't open `{shown}`: it is a directory, not a file"),
        (Some(libc::ENOENT), Err(_)) if let Some(target) = link => {
            let target = target.display();
            format!("can't open `{shown}`: it is a symbolic link to `{target}`, whose folder is not there")
        }
        (Some(libc::ENOENT), Err(_)) => {
            let folder = path.parent().unwrap_or(path).display();
            format!("can't open `{shown}`: its folder is not there (`mkdir -p {folder}`)")
        }
        _ => format!("can't open `{shown}`: {error}"),
    }
}

/// Whether it may be otherwise in a while without a change of the pipeline.
pub(super) fn is_passing(path: &Path, error: &io::Error) -> bool {
    match error.raw_os_error() {
        // The pipe has no reader yet; a socket never has one.
        Some(libc::ENXIO) => fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo()),
        // A full disk, too many open files, a lease that another program is about to give up.
        Some(number) => [libc::ENOSPC, libc::EDQUOT, libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::EINTR]
            .contains(&number),
        None => false,
    }
}
