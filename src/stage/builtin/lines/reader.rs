//! Lines that are read piece by piece, with the position after the last one that was emitted.

use super::once::at;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next};
use std::io;
use std::path::Path;

#[derive(Default)]
pub(super) struct Reader {
    lines: Lines,
    position: u64,
}

impl Reader {
    pub fn at(position: u64) -> Reader {
        Reader { lines: Lines::default(), position }
    }

    /// Bytes that are done.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that were read: where to read on.
    pub fn end(&self) -> u64 {
        self.position + self.lines.len() as u64
    }

    /// What was read and not emitted.
    pub fn rest(&self) -> &[u8] {
        self.lines.partial()
    }

    /// Emits one line; `None`: that needs more bytes, or, if `is_over`, all is done.
    pub fn step(
        &mut self,
        path: &Path,
        is_over: bool,
        out: &mut Emitter<'_>,
    ) -> Result<Option<Next>, Failure> {
        let position = self.position;
        let emitted = |line: &[u8], out: &mut Emitter<'_>| {
            out.emit(line).map_err(|failure| at(path, position, failure)).map(|()| line.len() as u64)
        };
        if let Some(line) = self.lines.next() {
            self.position += emitted(line, out)? + 1;
            return Ok(Some(Next::More));
        }
        self.lines.check_length()?;
        if is_over && let Some(line) = self.lines.last() {
            self.position += emitted(line, out)?;
            return Ok(Some(Next::More));
        }
        Ok(None)
    }

    /// Adds what one call of `read` gives; returns how much that was (0: the end).
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.lines.fill(read)
    }
}
