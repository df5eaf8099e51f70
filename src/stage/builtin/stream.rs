//! Items of what can only be read once, and from where it is: a terminal, a socket, a named pipe, a device.
//!
//! What was read and not emitted is a part of the position. What a worker has read in its last few microseconds, before
//! it saved that, is lost when it is killed.
//!
//! A named pipe that was opened here has an end only after a writer was there, as for `cat`. That one was there is
//! saved before the first byte is read: a worker that finds none any more then knows that this is the end, and one that
//! was killed before waits for the first one again.

use super::position::{save_bytes, save_number, save_skip, take_bytes, take_number, take_skip};
use crate::framing::Framing;
use crate::stage::lines::{Gathering, Lines};
use crate::stage::{Emitter, Failure, Next};
use crate::sys::readiness;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// Asked for as the size of a pipe.
const PIPE: i32 = 1 << 20;

pub(super) struct Stream {
    input: File,
    /// What it is called, for messages.
    name: String,
    framing: Framing,
    lines: Lines,
    /// It was opened here, so that a read of it does not wait.
    is_own: bool,
    /// There was something to read.
    has_begun: bool,
    /// There is nothing more to read.
    is_over: bool,
    gathering: Gathering,
}

impl Stream {
    /// A descriptor that others share: how it is read must stay as it is.
    pub(super) fn inherited(input: File, name: String, framing: Framing) -> Stream {
        let lines = Lines::new(framing);
        let (is_own, has_begun, is_over, gathering) = (false, true, false, Gathering::default());
        Stream { input, name, framing, lines, is_own, has_begun, is_over, gathering }
    }

    /// One of our own, whose reads do not wait.
    pub(super) fn own(input: File, name: String, framing: Framing) -> Stream {
        // More at once, if it is a pipe and the system allows it.
        let _ = fcntl(&input, FcntlArg::F_SETPIPE_SZ(PIPE));
        Stream { is_own: true, has_begun: false, ..Stream::inherited(input, name, framing) }
    }

    pub(super) fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if let Some(next) = self.lines.step(&self.name, self.is_over, out)? {
            return Ok(next);
        }
        if self.is_over {
            return Ok(Next::End);
        }
        let can_wait = !self.is_own || !self.has_begun;
        if can_wait && !readiness::is_readable(self.input.as_fd()).map_err(|error| self.failure(&error))? {
            return Ok(Next::Wait(None));
        }
        if !self.has_begun {
            self.has_begun = true;
            return Ok(Next::Checkpoint);
        }
        if let Some(until) = self.gathering.wait(&self.lines) {
            return Ok(Next::Wait(Some(until)));
        }
        match self.lines.fill(|into| self.input.read(into)) {
            Ok(n) => {
                self.is_over = n == 0;
                Ok(Next::More)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Next::Wait(None)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Next::More),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        Failure::fatal(format!("can't read {}: {error}", self.name))
    }

    /// None while a long item gathers: what is there is known.
    pub(super) fn readable(&self) -> Option<BorrowedFd<'_>> {
        (!self.gathering.is_under_way()).then(|| self.input.as_fd())
    }

    pub(super) fn save(&self, state: &mut Vec<u8>) {
        save_number(u64::from(self.has_begun), state);
        save_number(self.lines.position(), state);
        save_skip(self.lines.skipping(), state);
        save_bytes(self.lines.rest(), state);
    }

    pub(super) fn restore(&mut self, state: &mut &[u8]) -> Result<(), Failure> {
        self.has_begun = take_number(state)? != 0;
        let position = take_number(state)?;
        self.lines = Lines::at(self.framing, position, take_skip(state)?);
        self.lines.push(take_bytes(state)?);
        self.is_over = false;
        Ok(())
    }
}
