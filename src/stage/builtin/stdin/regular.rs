//! Standard input that is a file. The descriptor's own offset is shared by all workers and is left alone.

use super::super::position::{restore_number, save_number};
use super::cannot_read;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next, Progress};
use std::fs::File;
use std::io::{Seek, stdin};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

pub(in crate::stage) struct RegularFile {
    file: File,
    lines: Lines,
    /// Bytes that are done, from the file's start.
    offset: u64,
}

impl RegularFile {
    pub fn open() -> Result<RegularFile, Failure> {
        let mut file = File::from(stdin().as_fd().try_clone_to_owned().map_err(cannot_read)?);
        // Who started mprun may have read a part already.
        let offset = file.stream_position().map_err(cannot_read)?;
        Ok(RegularFile { file, lines: Lines::default(), offset })
    }

    pub fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if let Some(line) = self.lines.next() {
            out.emit(line)?;
            self.offset += line.len() as u64 + 1;
            return Ok(Next::More);
        }
        self.lines.check_length()?;
        let at = self.offset + self.lines.len() as u64;
        if self.lines.fill(|into| self.file.read_at(into, at)).map_err(cannot_read)? > 0 {
            return Ok(Next::More);
        }
        if let Some(line) = self.lines.last() {
            out.emit(line)?;
            self.offset += line.len() as u64;
        }
        Ok(Next::End)
    }

    pub fn progress(&self) -> Option<Progress> {
        let size = self.file.metadata().ok()?.len();
        Some(Progress { done: self.offset, total: size.max(self.offset) })
    }

    pub fn save(&self, state: &mut Vec<u8>) {
        save_number(self.offset, state);
    }

    pub fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.lines.clear();
        self.offset = restore_number(state)?;
        Ok(())
    }
}
