//! Reading files from their start to their end, one after the other.

use super::super::position::{save_bytes, save_number, take_bytes, take_number};
use super::search;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The lines of all files that match. Its position: the file it is in, and the bytes of it that are done.
pub(in crate::stage) struct Once {
    pattern: PathBuf,
    /// Files still to be read after this one, last first.
    coming: Option<Vec<PathBuf>>,
    path: PathBuf,
    offset: u64,
    reading: Option<(File, Lines)>,
}

impl Once {
    pub fn open(pattern: PathBuf) -> Once {
        Once { pattern, coming: None, path: PathBuf::new(), offset: 0, reading: None }
    }

    pub fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.coming.is_none() {
            self.start()?;
        }
        let Some((file, lines)) = &mut self.reading else {
            return self.next_file();
        };
        if let Some(line) = lines.next() {
            out.emit(line)?;
            self.offset += line.len() as u64 + 1;
            return Ok(Next::More);
        }
        lines.check_length()?;
        let read = lines.len() as u64 + self.offset;
        if lines.fill(|into| file.read_at(into, read)).map_err(|error| cannot_read(&self.path, &error))? > 0 {
            return Ok(Next::More);
        }
        if let Some(line) = lines.last() {
            out.emit(line)?;
            self.offset += line.len() as u64;
        }
        self.reading = None;
        Ok(Next::More)
    }

    /// Finds the files. An earlier position says where among them to go on.
    fn start(&mut self) -> Result<(), Failure> {
        let mut files = search::matching(&self.pattern)?;
        if files.is_empty() {
            return Err(Failure::fatal(format!("no file matches `{}`", self.pattern.display())));
        }
        files.retain(|path| *path > self.path);
        files.reverse();
        self.coming = Some(files);
        if !self.path.as_os_str().is_empty() {
            self.reading = Some((open(&self.path)?, Lines::default()));
        }
        Ok(())
    }

    fn next_file(&mut self) -> Result<Next, Failure> {
        let Some(path) = self.coming.as_mut().and_then(Vec::pop) else { return Ok(Next::End) };
        self.reading = Some((open(&path)?, Lines::default()));
        (self.path, self.offset) = (path, 0);
        Ok(Next::More)
    }

    pub fn save(&self, state: &mut Vec<u8>) {
        save_number(self.offset, state);
        save_bytes(self.path.as_os_str().as_bytes(), state);
    }

    pub fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        self.offset = take_number(&mut state)?;
        self.path = PathBuf::from(OsStr::from_bytes(take_bytes(&mut state)?));
        (self.coming, self.reading) = (None, None);
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::fatal(format!("can't read `{}`: {error}", path.display()))
}
