//! Standard input that is a pipe: exactly once, although a pipe forgets what is read from it.
//!
//! Bytes are moved (`splice`, which a kill can't cut in two) from standard input to a *holding pipe*. The supervisor
//! keeps that one open, so it outlives every worker. There they are looked at through a third pipe (`tee`), and taken
//! out only after their lines are published. What the stage remembers tells at any moment what the bytes in the
//! holding pipe are:
//!
//! | remembered | the holding pipe has | a successor |
//! |---|---|---|
//! | `Lines { done }` | `done` bytes whose lines are published or skipped, then others | looks at it again, leaves out `done` |
//! | `Discard { keep }` | published bytes, or what is left of them, then `keep` others | takes out all but `keep` |
//!
//! In `Lines` nothing is taken out, in `Discard` nothing is put in, and each change from one to the other is
//! committed before the next step ([`Next::Checkpoint`]). So both rows hold whenever the worker is killed: while it
//! moves, looks, publishes or discards. A line that isn't complete at the end of a look is carried on in what is
//! remembered.

use super::super::position::{
    damaged, save_bytes, save_number, save_skip, take_bytes, take_number, take_skip,
};
use super::input::{NAME, cannot_read, duplicate};
use crate::framing::Framing;
use crate::stage::lines::{Gathering, Lines};
use crate::stage::{Context, Emitter, Failure, Next, Pipe, Reach};
use crate::sys::{needs, readiness};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice, tee};
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes moved at once, and asked for as the size of the pipes: they hold fewer where the system does not allow it.
const READ_BYTES: usize = 1 << 20;

pub(in crate::stage) struct FromPipe {
    input: OwnedFd,
    holding: Pipe,
    /// Where the holding pipe's bytes are copied to, to be read.
    glass: Pipe,
    framing: Framing,
    stage: Stage,
    /// What was looked at and is not done; counts the bytes of the whole input.
    lines: Lines,
    /// Bytes of the input before those in the holding pipe.
    front: u64,
    /// Bytes of the holding pipe that were looked at.
    seen: Option<u64>,
    gathering: Gathering,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Lines { done: u64 },
    Discard { keep: u64 },
}

/// Whether the system moves bytes at all: none are asked for. One that denies it now will deny it to every worker.
fn probe(input: &OwnedFd, holding: &Pipe, glass: &Pipe) -> Result<(), (&'static str, Errno)> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
    splice(input, None, &holding.writer, None, 0, flags).map_err(|errno| ("splice", errno))?;
    tee(&holding.reader, &glass.writer, 0, flags).map_err(|errno| ("tee", errno))?;
    Ok(())
}

fn cannot_move((call, errno): (&str, Errno)) -> Failure {
    let why = format!("can't read standard input ({call}): {errno}");
    match errno {
        Errno::ENOSYS | Errno::EPERM | Errno::EACCES => {
            Failure::with_reach(format!("{why}; {}", needs::DENIED), Reach::Never)
        }
        _ => Failure::fatal(why),
    }
}

impl FromPipe {
    pub(crate) fn open(context: &Context, framing: Framing) -> Result<FromPipe, Failure> {
        let input = duplicate()?;
        let kept = context.holding_pipe.borrow_mut().take();
        if kept.is_none() {
            log::debug!("there is no holding pipe: what a killed worker has read is lost");
        }
        FromPipe::new(input, kept.map_or_else(new_pipe, Ok)?, framing)
    }

    fn new(input: OwnedFd, holding: Pipe, framing: Framing) -> Result<FromPipe, Failure> {
        let glass = new_pipe()?;
        probe(&input, &holding, &glass).map_err(cannot_move)?;
        for pipe in [&input, &holding.writer, &glass.writer] {
            let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(READ_BYTES as i32));
        }
        Ok(FromPipe {
            input,
            holding,
            glass,
            framing,
            stage: Stage::Lines { done: 0 },
            lines: Lines::new(framing),
            front: 0,
            seen: None,
            gathering: Gathering::default(),
        })
    }

    pub(crate) fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        match self.stage {
            Stage::Discard { keep } => {
                self.discard(keep)?;
                self.stage = Stage::Lines { done: 0 };
                Ok(Next::Checkpoint)
            }
            Stage::Lines { done } => self.next_line(done, out),
        }
    }

    fn next_line(&mut self, done: u64, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        let next = self.lines.step(&NAME, false, out)?;
        // An item that began before the holding pipe may still be at hand: then nothing of that is done.
        let done = self.lines.position().checked_sub(self.front).unwrap_or(done);
        self.stage = Stage::Lines { done };
        if let Some(next) = next {
            return Ok(next);
        }
        let Some(seen) = self.seen.take() else { return self.peek(done, out) };
        self.front += seen;
        self.stage = Stage::Discard { keep: self.held()?.saturating_sub(seen) };
        Ok(Next::Checkpoint)
    }

    /// Looks at what the holding pipe has; moves more into it if it has nothing.
    fn peek(&mut self, done: u64, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if let Some(until) = self.gathering.wait(&self.lines) {
            return Ok(Next::Wait(Some(until)));
        }
        if self.held()? == 0
            && let Some(next) = self.move_all_in(out)?
        {
            return Ok(next);
        }
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
        let seen = tee(&self.holding.reader, &self.glass.writer, READ_BYTES, flags).map_err(cannot_read)?;
        let mut bytes = vec![0; seen];
        self.read_glass(&mut bytes)?;
        let fresh = usize::try_from(done).ok().and_then(|done| bytes.get(done..)).ok_or_else(damaged)?;
        self.lines.push(fresh);
        self.seen = Some(seen as u64);
        Ok(Next::More)
    }

    /// Moves what is there into the holding pipe, as far as it has room. Some: there is nothing to look at.
    fn move_all_in(&mut self, out: &mut Emitter<'_>) -> Result<Option<Next>, Failure> {
        loop {
            match self.move_in() {
                Ok(0) if self.held()? == 0 => return self.end(out).map(Some),
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(Errno::EAGAIN) if self.held()? == 0 => return Ok(Some(Next::Wait(None))),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => return Ok(Some(Next::More)),
                Err(error) => return Err(cannot_read(error)),
            }
        }
    }

    fn move_in(&self) -> nix::Result<usize> {
        splice(&self.input, None, &self.holding.writer, None, READ_BYTES, SpliceFFlags::SPLICE_F_NONBLOCK)
    }

    fn read_glass(&self, mut into: &mut [u8]) -> Result<(), Failure> {
        while !into.is_empty() {
            let n = read(&self.glass.reader, into).map_err(cannot_read)?;
            into = &mut into[n..];
        }
        Ok(())
    }

    /// The last line may have no end.
    fn end(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        Ok(self.lines.step(&NAME, true, out)?.unwrap_or(Next::End))
    }

    fn discard(&mut self, keep: u64) -> Result<(), Failure> {
        let mut left = self.held()?.saturating_sub(keep) as usize;
        let mut bin = [0; 4096];
        while left > 0 {
            let size = left.min(bin.len());
            left -= read(&self.holding.reader, &mut bin[..size]).map_err(cannot_read)?;
        }
        Ok(())
    }

    fn held(&self) -> Result<u64, Failure> {
        readiness::bytes_waiting(self.holding.reader.as_fd()).map_err(cannot_read)
    }

    /// None while a long item gathers: what is there is known.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        (!self.gathering.is_under_way()).then(|| self.input.as_fd())
    }

    pub(crate) fn save(&self, state: &mut Vec<u8>) {
        let (tag, number) = match self.stage {
            Stage::Lines { done } => (0, done),
            Stage::Discard { keep } => (1, keep),
        };
        save_number(tag, state);
        save_number(number, state);
        let begun = self.front.saturating_sub(self.lines.position());
        let begun = usize::try_from(begun).unwrap_or(usize::MAX).min(self.lines.rest().len());
        save_bytes(&self.lines.rest()[..begun], state);
        save_number(self.front, state);
        save_skip(self.lines.skipping(), state);
    }

    pub(crate) fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        let (tag, number) = (take_number(&mut state)?, take_number(&mut state)?);
        self.stage = match tag {
            0 => Stage::Lines { done: number },
            1 => Stage::Discard { keep: number },
            _ => return Err(damaged()),
        };
        let begun = take_bytes(&mut state)?;
        self.front = take_number(&mut state)?;
        let done = if let Stage::Lines { done } = self.stage { done } else { 0 };
        let position = (self.front + done).checked_sub(begun.len() as u64).ok_or_else(damaged)?;
        self.lines = Lines::at(self.framing, position, take_skip(&mut state)?);
        self.lines.push(begun);
        self.seen = None;
        Ok(())
    }
}

fn new_pipe() -> Result<Pipe, Failure> {
    let (reader, writer) =
        pipe2(OFlag::O_CLOEXEC).map_err(|error| Failure::fatal(format!("can't make a pipe: {error}")))?;
    Ok(Pipe { reader, writer })
}

#[cfg(test)]
mod tests;
