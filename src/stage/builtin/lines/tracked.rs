//! One file that is followed, whatever it is called by now.

use super::super::position::{save_bytes, save_number, take_bytes, take_number};
use super::once::Shown;
use super::watch::Watched;
use crate::framing::Framing;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What makes a file the same file after a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub fn of(about: &Metadata) -> Identity {
        Identity { device: about.dev(), inode: about.ino() }
    }

    pub fn at(path: &Path) -> Option<Identity> {
        path.metadata().ok().map(|about| Identity::of(&about))
    }
}

/// One file, open at a position.
pub(super) struct Tracked {
    pub path: PathBuf,
    pub identity: Identity,
    /// Bytes that are done.
    pub offset: u64,
    /// Its path leads elsewhere by now: at its end it is done with.
    pub gone: bool,
    /// It may have grown since its end was last seen.
    pub dirty: bool,
    pub watched: Option<Watched>,
    file: File,
    framing: Framing,
    lines: Lines,
}

impl Tracked {
    pub fn new(path: PathBuf, file: File, offset: u64, framing: Framing) -> io::Result<Tracked> {
        let identity = Identity::of(&file.metadata()?);
        let (gone, dirty, watched) = (false, true, None);
        let lines = Lines::at(framing, offset, None);
        Ok(Tracked { path, identity, offset, gone, dirty, watched, file, framing, lines })
    }

    /// Emits the next line, if there is one. At the end nothing is emitted and it isn't dirty any more.
    pub fn step(&mut self, out: &mut Emitter<'_>) -> Result<Option<Next>, Failure> {
        loop {
            if let Some(next) = self.lines.step(&Shown(&self.path), false, out)? {
                return Ok(Some(self.note(next)));
            }
            let at = self.lines.end();
            let (file, lines) = (&self.file, &mut self.lines);
            let read = lines.fill(|into| file.read_at(into, at)).map_err(|error| self.failure(&error))?;
            if read == 0 && !self.was_truncated()? {
                self.dirty = false;
                return self.emit_rest_of_gone(out);
            }
        }
    }

    /// Of a line that is skipped its start is the position: another worker skips it anew.
    fn note(&mut self, next: Next) -> Next {
        self.offset = self.lines.item_start();
        next
    }

    /// A file that got shorter was emptied and written anew: its lines count from the start.
    fn was_truncated(&mut self) -> Result<bool, Failure> {
        let length = self.file.metadata().map_err(|error| self.failure(&error))?.len();
        let truncated = length < self.lines.end();
        if truncated {
            log::info!("`{}` was truncated: reading it from its start", self.path.display());
            self.lines = Lines::new(self.framing);
            self.offset = 0;
        }
        Ok(truncated)
    }

    /// A last line without its end waits for more, unless nothing more can come.
    fn emit_rest_of_gone(&mut self, out: &mut Emitter<'_>) -> Result<Option<Next>, Failure> {
        if !self.gone {
            return Ok(None);
        }
        let next = self.lines.step(&Shown(&self.path), true, out)?;
        self.dirty |= next.is_some();
        Ok(next.map(|next| self.note(next)))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::fatal(format!("can't read `{}`: {error}", self.path.display()))
    }

    pub fn save(&self, state: &mut Vec<u8>) {
        for number in [self.identity.device, self.identity.inode, self.offset] {
            save_number(number, state);
        }
        save_bytes(self.path.as_os_str().as_bytes(), state);
    }

    /// Finds a saved file again: under its name, or under another one in the same folder, if it was renamed
    /// meanwhile. `None`: it is not there any more.
    pub fn restore(state: &mut &[u8], framing: Framing) -> Result<Option<Tracked>, Failure> {
        let identity = Identity { device: take_number(state)?, inode: take_number(state)? };
        let offset = take_number(state)?;
        let path = PathBuf::from(OsStr::from_bytes(take_bytes(state)?));
        let Some((found, gone)) = find(&path, identity) else {
            log::warn!(
                "`{}` is gone: lines from its byte {offset} on were not read, if there were any",
                path.display()
            );
            return Ok(None);
        };
        let file = File::open(&found).and_then(|file| Tracked::new(path, file, offset, framing));
        let file =
            file.map_err(|error| Failure::fatal(format!("can't read `{}`: {error}", found.display())))?;
        Ok(Some(Tracked { gone, ..file }))
    }
}

/// Where the file is now, and whether that is another place than its path.
fn find(path: &Path, identity: Identity) -> Option<(PathBuf, bool)> {
    if Identity::at(path) == Some(identity) {
        return Some((path.to_owned(), false));
    }
    let folder = std::fs::read_dir(path.parent()?).ok()?;
    let mut paths = folder.flatten().map(|entry| entry.path());
    paths.find(|path| Identity::at(path) == Some(identity)).map(|path| (path, true))
}
