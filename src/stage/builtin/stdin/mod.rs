//! `stdin`: the lines of mprun's standard input.
//!
//! What a killed worker has read but not published would be lost with it. So nothing is read for good before it is
//! published; how depends on what standard input is:
//! - a file ([`regular`]): read at the position that the stage remembers;
//! - a pipe ([`pipe`]): parked in a second pipe that outlives the worker, looked at there, and taken out of it once
//!   its lines are published;
//! - a terminal or a socket ([`Stream`]): simply read, since there is no such way. What a worker read in its last few
//!   microseconds is lost when it is killed.

mod input;
mod pipe;
mod regular;

use super::stream::Stream;
use crate::framing::Framing;
use crate::stage::lines;
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Progress, Settings, Source};
use nix::sys::stat::SFlag;
use std::fs::File;
use std::os::fd::BorrowedFd;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Stdin, Failure> + use<> {
    with.about("Emits the lines of mprun's standard input, without their line ends.");
    let framing = lines::framing(with);
    with.remember(Persistence::State);
    with.ends(true);
    with.reads_stdin();
    move |context| match input::kind()? {
        SFlag::S_IFREG => Ok(Stdin::File(regular::RegularFile::open(framing)?)),
        SFlag::S_IFIFO => Ok(Stdin::Pipe(Box::new(pipe::FromPipe::open(context, framing)?))),
        _ => Ok(Stdin::Stream(open_stream(framing)?)),
    }
}

/// A terminal may be read only from its foreground process group. The supervisor sees to it that this worker is in it.
fn open_stream(framing: Framing) -> Result<Stream, Failure> {
    let input = input::duplicate()?;
    Ok(Stream::inherited(File::from(input), input::NAME.to_owned(), framing))
}

/// See [`build`].
pub(super) enum Stdin {
    File(regular::RegularFile),
    Pipe(Box<pipe::FromPipe>),
    Stream(Stream),
}

impl Source for Stdin {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        match self {
            Stdin::File(file) => file.next(out),
            Stdin::Pipe(pipe) => pipe.next(out),
            Stdin::Stream(stream) => stream.next(out),
        }
    }

    fn readable(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stdin::File(_) => None,
            Stdin::Pipe(pipe) => pipe.readable(),
            Stdin::Stream(stream) => stream.readable(),
        }
    }

    fn progress(&self) -> Option<Progress> {
        match self {
            Stdin::File(file) => file.progress(),
            Stdin::Pipe(_) | Stdin::Stream(_) => None,
        }
    }

    fn save(&self, state: &mut Vec<u8>) {
        match self {
            Stdin::File(file) => file.save(state),
            Stdin::Pipe(pipe) => pipe.save(state),
            Stdin::Stream(stream) => stream.save(state),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        match self {
            Stdin::File(file) => file.restore(state),
            Stdin::Pipe(pipe) => pipe.restore(state),
            Stdin::Stream(stream) => stream.restore(&mut { state }),
        }
    }
}
