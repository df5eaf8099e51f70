//! Following log files as they grow, through their rotation.

use super::file::newest_two;
use super::recent::{RecentLogs, last, lines, sort_by_time};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const CHECK_INTERVAL_MS: u16 = 1000;

/// Follows the recent logs of a run.
pub(crate) struct Follower {
    logs: RecentLogs,
    stage: Option<String>,
    inotify: Inotify,
    files: BTreeMap<PathBuf, Followed>,
}

struct Followed {
    file: File,
    /// The beginning of a line whose end isn't there yet.
    partial: Vec<u8>,
}

impl Follower {
    /// A follower of one stage, or of all, and up to `most` of the lines that are there already: one look at each file yields
    /// both, so that a line that comes meanwhile is on one side only.
    ///
    /// # Errors
    /// When the folder can't be watched, or a file can't be read.
    pub(crate) fn new(
        folder: &Path,
        stage: Option<&str>,
        most: usize,
    ) -> io::Result<(Follower, Vec<String>)> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        inotify.add_watch(folder, flags)?;
        let mut follower = Follower {
            logs: RecentLogs::new(folder),
            stage: stage.map(str::to_owned),
            inotify,
            files: BTreeMap::new(),
        };
        let mut before = Vec::new();
        for path in follower.logs.files(stage)? {
            let [newest, older] = newest_two(&path)?;
            if let Some(older) = older {
                Followed::new(older).read(&mut before)?;
            }
            follower.files.extend(newest.map(|file| (path, Followed::new(file))));
        }
        before.append(&mut follower.read()?);
        sort_by_time(&mut before);
        Ok((follower, last(before, most)))
    }

    /// Waits for more lines; none: the folder is gone, and with it the run.
    ///
    /// # Errors
    /// When a file can't be read.
    pub(crate) fn next_lines(&mut self) -> io::Result<Option<Vec<String>>> {
        loop {
            let lines = self.read()?;
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
            if !self.logs.folder().is_dir() {
                return Ok(None);
            }
            self.wait()?;
        }
    }

    /// Waits for a change. The kernel does not always tell that the folder itself is gone: a check now and then finds out.
    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, CHECK_INTERVAL_MS) {
            Ok(0) | Err(Errno::EINTR) => Ok(()),
            Ok(_) => Ok(self.inotify.read_events().map(drop)?),
            Err(error) => Err(error.into()),
        }
    }

    /// What has come, in the order of its time as far as one look goes.
    fn read(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        // The files as they were, first: one of them may have been renamed since.
        for followed in self.files.values_mut() {
            followed.read(&mut lines)?;
        }
        for path in self.logs.files(self.stage.as_deref()).unwrap_or_default() {
            let Ok(file) = File::open(&path) else { continue };
            let number = file.metadata()?.ino();
            let is_known = match self.files.get(&path) {
                Some(known) => known.file.metadata()?.ino() == number,
                None => false,
            };
            if !is_known {
                // What came into the older file since it was read, before it was renamed.
                if let Some(mut renamed) = self.files.remove(&path) {
                    renamed.read(&mut lines)?;
                }
                let mut fresh = Followed::new(file);
                fresh.read(&mut lines)?;
                self.files.insert(path, fresh);
            }
        }
        sort_by_time(&mut lines);
        Ok(lines)
    }
}

impl Followed {
    fn new(file: File) -> Followed {
        Followed { file, partial: Vec::new() }
    }

    fn read(&mut self, into: &mut Vec<String>) -> io::Result<()> {
        self.file.read_to_end(&mut self.partial)?;
        let end = memchr::memrchr(b'\n', &self.partial).map_or(0, |end| end + 1);
        into.extend(lines(&self.partial[..end]));
        self.partial.drain(..end);
        Ok(())
    }
}
