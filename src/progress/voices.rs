//! What workers write to standard error while there are bars: it comes through a pipe, and is written above them.

use crate::logging;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Read at once, at most.
const PIECE: usize = 64 * 1024;
/// A pipe that somebody holds open who is none of ours is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pipe, and who reads it.
#[derive(Debug)]
pub struct Voices {
    ends: [OwnedFd; 2],
    ended: Receiver<()>,
}

impl Voices {
    /// A new pipe.
    pub fn open() -> io::Result<Voices> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        Voices::of([reader, writer])
    }

    /// The pipe of a program before this one: workers have the other end.
    pub fn of(ends: [OwnedFd; 2]) -> io::Result<Voices> {
        let (tell, ended) = channel();
        let from = File::from(ends[0].try_clone()?);
        thread::Builder::new().name("voices".to_owned()).spawn(move || {
            pass_on(from);
            let _ = tell.send(()); // nobody may wait for it
        })?;
        Ok(Voices { ends, ended })
    }

    /// Standard error for a worker.
    pub fn stderr(&self) -> BorrowedFd<'_> {
        self.ends[1].as_fd()
    }

    /// Both ends, to be handed over.
    pub fn ends(&self) -> &[OwnedFd; 2] {
        &self.ends
    }

    /// All workers are gone: what they have said comes first.
    pub fn end(self) {
        let Voices { ends: [_reader, writer], ended } = self;
        drop(writer);
        let _ = ended.recv_timeout(PATIENCE);
    }
}

/// Whole lines, as far as they are whole.
fn pass_on(mut from: File) {
    let (mut text, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        let whole = match text.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if text.len() >= PIECE => text.len(),
            None => 0,
        };
        logging::write(&text[..whole]);
        text.drain(..whole);
    }
    if !text.is_empty() {
        text.push(b'\n');
        logging::write(&text);
    }
}
