//! Standard input that is a file. The descriptor's own offset is shared by all workers and is left alone.

use super::super::position::{save_number, save_skip, take_number, take_skip};
use super::input::{NAME, cannot_read, duplicate};
use crate::framing::Framing;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next, Progress};
use std::fs::File;
use std::io::Seek;
use std::os::unix::fs::FileExt;

pub(in crate::stage) struct RegularFile {
    file: File,
    framing: Framing,
    /// Its position counts from the file's start.
    lines: Lines,
}

impl RegularFile {
    pub(crate) fn open(framing: Framing) -> Result<RegularFile, Failure> {
        let mut file = File::from(duplicate()?);
        // Who started mprun may have read a part already.
        let offset = file.stream_position().map_err(cannot_read)?;
        Ok(RegularFile { file, framing, lines: Lines::at(framing, offset, None) })
    }

    pub(crate) fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if let Some(next) = self.lines.step(&NAME, false, out)? {
            return Ok(next);
        }
        let end = self.lines.end();
        if self.lines.fill(|into| self.file.read_at(into, end)).map_err(cannot_read)? > 0 {
            return Ok(Next::More);
        }
        Ok(self.lines.step(&NAME, true, out)?.unwrap_or(Next::End))
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        let (done, size) = (self.lines.position(), self.file.metadata().ok()?.len());
        Some(Progress { done, total: size.max(done) })
    }

    pub(crate) fn save(&self, state: &mut Vec<u8>) {
        save_number(self.lines.position(), state);
        save_skip(self.lines.skipping(), state);
    }

    pub(crate) fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        let position = take_number(&mut state)?;
        self.lines = Lines::at(self.framing, position, take_skip(&mut state)?);
        Ok(())
    }
}
