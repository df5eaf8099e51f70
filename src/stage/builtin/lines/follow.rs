//! Following files as they grow, as `tail -F` does: rotation by rename, truncation, files that come later.
//!
//! A file is known by device and inode, not by its name. When a name leads to another file than before, the old one
//! is read to its end, then dropped; the new one is read from its start.

use super::search;
use super::tracked::{Identity, Tracked};
use super::watch::{Changes, Watch};
use crate::framing::Framing;
use crate::stage::{Emitter, Failure, Next};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

pub(in crate::stage) struct Follow {
    pattern: PathBuf,
    framing: Framing,
    watch: Watch,
    files: Vec<Tracked>,
    /// Names may lead to other files than before.
    must_scan: bool,
    /// Which file is looked at first, for fairness.
    turn: usize,
}

impl Follow {
    pub fn open(pattern: PathBuf, framing: Framing) -> Result<Follow, Failure> {
        Ok(Follow { pattern, framing, watch: Watch::new()?, files: Vec::new(), must_scan: true, turn: 0 })
    }

    pub fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.must_scan {
            self.scan()?;
        }
        if let Some(next) = self.step(out)? {
            return Ok(next);
        }
        // Looked at after the files: what came in between is seen by the next pass.
        let changes = self.watch.changes()?;
        if changes.is_empty() {
            return Ok(Next::Wait(None));
        }
        self.note(&changes);
        Ok(Next::More)
    }

    /// One line of one file. It stays with a file while that has lines, so that the lines of several files come in
    /// blocks.
    fn step(&mut self, out: &mut Emitter<'_>) -> Result<Option<Next>, Failure> {
        for _ in 0..self.files.len() {
            self.turn %= self.files.len();
            let file = &mut self.files[self.turn];
            if file.dirty
                && let Some(next) = file.step(out)?
            {
                return Ok(Some(next));
            }
            match file.gone {
                true => drop(self.files.remove(self.turn)),
                false => self.turn += 1,
            }
            if self.files.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    fn note(&mut self, changes: &Changes) {
        self.must_scan |= changes.folders;
        for file in &mut self.files {
            file.dirty |=
                changes.folders || file.watched.is_some_and(|watched| changes.files.contains(&watched));
        }
    }

    /// Takes the names as they are now. Watches first, then looks: what comes after the look is told by a watch.
    fn scan(&mut self) -> Result<(), Failure> {
        for folder in search::folders(&self.pattern)? {
            self.watch.folder(&folder)?;
        }
        let paths = search::matching(&self.pattern)?;
        for file in &mut self.files {
            let is_there = |path: &PathBuf| Identity::at(path) == Some(file.identity);
            match paths.iter().find(|path| is_there(path)) {
                Some(path) => file.path = path.clone(),
                None => (file.gone, file.dirty) = (true, true),
            }
        }
        for path in paths {
            self.track(&path)?;
        }
        self.must_scan = false;
        Ok(())
    }

    /// Begins to follow a file, unless it is followed already.
    fn track(&mut self, path: &Path) -> Result<(), Failure> {
        let watched = self.watch.file(path)?;
        let mut file = match File::open(path)
            .and_then(|file| Tracked::new(path.to_owned(), file, 0, self.framing))
        {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failure::fatal(format!("can't read `{}`: {error}", path.display()))),
        };
        match self.files.iter_mut().find(|known| known.identity == file.identity) {
            Some(known) => known.watched = watched,
            None => {
                file.watched = watched;
                self.files.push(file);
            }
        }
        Ok(())
    }

    pub fn readable(&self) -> BorrowedFd<'_> {
        self.watch.readable()
    }

    pub fn save(&self, state: &mut Vec<u8>) {
        self.files.iter().for_each(|file| file.save(state));
    }

    pub fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        self.files.clear();
        while !state.is_empty() {
            self.files.extend(Tracked::restore(&mut state, self.framing)?);
        }
        self.must_scan = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
