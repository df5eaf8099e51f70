//! Standard input that can't be looked at before it is read: a terminal, a socket, a device.
//!
//! A terminal may be read only from its foreground process group. The supervisor sees to it that this worker is in it.

use super::cannot_read;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next};
use crate::sys::readiness;
use std::fs::File;
use std::io::{Read, stdin};
use std::os::fd::{AsFd, BorrowedFd};

pub(in crate::stage) struct Stream {
    input: File,
    /// What was read and not emitted; all of it is what the stage remembers, so that another worker can go on.
    lines: Lines,
}

impl Stream {
    pub fn open() -> Result<Stream, Failure> {
        let input = File::from(stdin().as_fd().try_clone_to_owned().map_err(cannot_read)?);
        Ok(Stream { input, lines: Lines::default() })
    }

    pub fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if let Some(line) = self.lines.next() {
            out.emit(line)?;
            return Ok(Next::More);
        }
        self.lines.check_length()?;
        if !readiness::is_readable(self.input.as_fd()).map_err(cannot_read)? {
            return Ok(Next::Wait(None));
        }
        if self.lines.fill(|into| self.input.read(into)).map_err(cannot_read)? > 0 {
            return Ok(Next::More);
        }
        if let Some(line) = self.lines.last() {
            out.emit(line)?;
        }
        Ok(Next::End)
    }

    pub fn readable(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    pub fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(self.lines.partial());
    }

    pub fn restore(&mut self, state: &[u8]) {
        self.lines.clear();
        self.lines.push(state);
    }
}
