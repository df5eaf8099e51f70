//! Following log files as they grow, through their rotation.

use super::{Tails, generation};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// In milliseconds.
const LOOK_AGAIN: u16 = 1000;

/// Follows the tails of a run.
pub struct Follower {
    folder: PathBuf,
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
    pub fn new(folder: &Path, stage: Option<&str>, most: usize) -> io::Result<(Follower, Vec<String>)> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        inotify.add_watch(folder, flags)?;
        let mut follower = Follower {
            folder: folder.to_owned(),
            stage: stage.map(str::to_owned),
            inotify,
            files: BTreeMap::new(),
        };
        let mut before = Vec::new();
        for path in follower.wanted()? {
            let file = File::open(&path)?;
            // Renamed in between, it is the older file itself.
            if let Ok(older) = File::open(generation(&path, 1))
                && older.metadata()?.ino() != file.metadata()?.ino()
            {
                Followed::new(older).read(&mut before)?;
            }
            follower.files.insert(path, Followed::new(file));
        }
        before.append(&mut follower.read()?);
        sort(&mut before);
        let last = before.split_off(before.len().saturating_sub(most));
        Ok((follower, last))
    }

    fn wanted(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| Tails::is_tail(name, self.stage.as_deref())) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Waits for more lines; none: the folder is gone, and with it the run.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn next_lines(&mut self) -> io::Result<Option<Vec<String>>> {
        loop {
            let lines = self.read()?;
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
            if !self.folder.is_dir() {
                return Ok(None);
            }
            self.wait()?;
        }
    }

    /// Waits for a change. That the folder itself is gone is not always told: a look now and then finds out.
    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, LOOK_AGAIN) {
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
        for path in self.wanted().unwrap_or_default() {
            let Ok(file) = File::open(&path) else { continue };
            let number = file.metadata()?.ino();
            let is_known = match self.files.get(&path) {
                Some(known) => known.file.metadata()?.ino() == number,
                None => false,
            };
            if !is_known {
                let mut fresh = Followed::new(file);
                fresh.read(&mut lines)?;
                self.files.insert(path, fresh);
            }
        }
        sort(&mut lines);
        Ok(lines)
    }
}

fn sort(lines: &mut [String]) {
    lines.sort_by(|a, b| a.get(..super::TIME).cmp(&b.get(..super::TIME)));
}

impl Followed {
    fn new(file: File) -> Followed {
        Followed { file, partial: Vec::new() }
    }

    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        self.file.read_to_end(&mut self.partial)?;
        while let Some(end) = memchr::memchr(b'\n', &self.partial) {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        Ok(())
    }
}
