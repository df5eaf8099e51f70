//! What the token says of the file, and how it is brought up to date at the beginning of a turn.

use super::{Beginning, Mode, ToFile, name};
use crate::append::{Appender, CountedFile, Counts, FileId, Note, Notes, Settlement};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt};

impl ToFile {
    /// What the file is called in the token: with {worker} it is one for each.
    pub(super) fn name(&self) -> Vec<u8> {
        let named = self.template.render(&self.stage, self.worker, SystemTime::UNIX_EPOCH);
        name(&self.folder.join(named)).to_owned()
    }

    /// What the token is to say once this turn is committed.
    pub(super) fn counts_with_turn(&self) -> Counts {
        let mut counts = self.counts.clone();
        let own = self.name();
        if let Some(written) = &self.written
            && let Some(file) = counts.files.iter_mut().find(|file| file.name == own)
        {
            counts.turn += 1;
            (file.file, file.length) =
                (self.outlet.as_ref().map_or(file.file, |it| it.appender.id()), written.end);
        }
        counts
    }

    /// The turn before this one was committed: else this worker would be gone, or have been told the token's state.
    pub(super) fn count_last_turn(&mut self) {
        self.counts = self.counts_with_turn();
        self.written = None;
    }

    /// A worker that died in its turn has left a note: what it wrote does not count.
    pub(super) fn settle(&mut self, path: &Path) -> io::Result<()> {
        let Some(notes) = self.notes.clone() else { return Ok(()) };
        let Some(note) = notes.open(self.counts.turn)? else { return Ok(()) };
        match self.find(&note, path)? {
            Some((appender, reader, path)) => {
                let (behind, settlement) = appender.settle(&note, &reader)?;
                self.tell(&path, behind, settlement);
            }
            None => log::warn!(
                "the file that a killed worker wrote to has another place, or none: its last lines may be there twice"
            ),
        }
        notes.clear()
    }

    fn tell(&self, path: &Path, behind: u64, settlement: Settlement) {
        let shown = path.display();
        match settlement {
            Settlement::Nothing => {}
            Settlement::Cut => log::debug!("`{shown}`: {behind} bytes of a killed worker are cut off"),
            Settlement::Keep => log::warn!(
                "`{shown}`: another program has written there when a worker was killed: nothing is cut off, and of the \
                 last {behind} bytes lines may come twice"
            ),
        }
    }

    /// The file that a note is about, wherever it is now: it may have been renamed, and the path may be another one.
    fn find(&self, note: &Note, path: &Path) -> io::Result<Option<(Appender<File>, File, PathBuf)>> {
        let counted = self.counts.files.iter().map(|file| PathBuf::from(OsStr::from_bytes(&file.path)));
        let paths: Vec<PathBuf> = std::iter::once(path.to_owned()).chain(counted).collect();
        let named = paths.iter().find(|path| is(path, note.file)).cloned();
        let own =
            self.outlet.iter().find(|outlet| outlet.appender.id() == note.file).map(|outlet| &outlet.path);
        let found = match (named, own) {
            (Some(path), _) => Some((OpenOptions::new().append(true).open(&path)?, path)),
            // It may have no name at all any more.
            (None, Some(path)) => self
                .outlet
                .as_ref()
                .map(|it| it.appender.target().try_clone())
                .transpose()?
                .map(|file| (file, path.clone())),
            (None, None) => match beside(&paths, note.file) {
                Some(path) => Some((OpenOptions::new().append(true).open(&path)?, path)),
                None => None,
            },
        };
        let Some((file, path)) = found else { return Ok(None) };
        let appender = Appender::new(file, self.log.clone())?;
        let reader = appender.reader()?;
        Ok((appender.id() == note.file).then_some((appender, reader, path)))
    }

    /// The first turn of a run in this file.
    pub(super) fn begin_run(&mut self, path: &Path) -> io::Result<()> {
        let Some(outlet) = &self.outlet else { return Ok(()) };
        let is_added_to = self.continues || self.mode == Mode::Append;
        let how = if is_added_to { Beginning::NewLine } else { Beginning::Empty };
        let found = outlet.appender.begin_run(how, name(path))?;
        self.log.set_begun(&self.key())?;
        self.log_begin(path, found);
        if self.counts.run != self.run.as_bytes() {
            (self.counts.run, self.counts.files) = (self.run.clone().into_bytes(), Vec::new());
        }
        Ok(())
    }

    /// The token names the file that this turn writes to.
    pub(super) fn count_from_here(&mut self) -> io::Result<()> {
        let Some(outlet) = &self.outlet else { return Ok(()) };
        let (own, path, file) = (self.name(), name(&outlet.path).to_owned(), outlet.appender.id());
        if !self.template.is_constant()
            || self.counts.of(&own).is_none_or(|known| known.file != file || known.path != path)
        {
            let length = match self.counts.of(&own) {
                Some(known) if known.file == file => known.length,
                _ => outlet.appender.length()?,
            };
            self.counts.set(CountedFile { name: own, path, file, length });
        }
        Ok(())
    }

    /// Once, and again when it has changed.
    pub(super) fn say_if_shared(&mut self, path: &Path) {
        let Some(outlet) = &self.outlet else { return };
        let is_shared = outlet.appender.is_file() && !outlet.is_counted();
        if is_shared && !self.said_shared {
            let shown = path.display();
            log::info!(
                "`{shown}` is written by another stage or pipeline too, or can't be read: after a kill items may come twice"
            );
        }
        self.said_shared = is_shared;
    }
}

fn is(path: &Path, file: FileId) -> bool {
    fs::metadata(path).is_ok_and(|about| (about.dev(), about.ino()) == (file.device, file.inode))
}

/// Who rotates a file leaves it in its folder, mostly.
fn beside(paths: &[PathBuf], file: FileId) -> Option<PathBuf> {
    let folders = paths.iter().filter_map(|path| path.parent());
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).find(|path| is(path, file))
}
