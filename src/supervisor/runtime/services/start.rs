//! The pipes of a service, and its start.

use crate::sys::fd;
use crate::sys::process::{self, ProcessArgs, SpawnError};
use crate::worker::service::ServiceStart;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// There may be thousands of them, and the system allows an ordinary user 64 MiB of pipes.
const PIPE_BYTES: i32 = 8192;

/// Where standard output of a service goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdout {
    /// To that of mprun.
    Print,
}

/// A pipe: our end, which never makes us wait, and the program's.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// All pipes of a start.
pub(crate) struct Pipes {
    failure: Pipe,
    stderr: Pipe,
    stdout: Option<Pipe>,
    null: OwnedFd,
}

/// A service that was forked, and our ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    pub pid: u32,
    /// Ends when the program has begun; else it says why not.
    pub failure: OwnedFd,
    pub stderr: OwnedFd,
    pub stdout: Option<OwnedFd>,
}

pub(crate) fn pipes(stdout: Stdout) -> io::Result<Pipes> {
    Ok(Pipes {
        failure: Pipe::new()?,
        stderr: Pipe::new()?,
        stdout: match stdout {
            Stdout::Print => Some(Pipe::new()?),
        },
        null: fd::null()?,
    })
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)); // a larger one serves, too
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Pipe { reader, writer })
    }
}

impl Pipes {
    /// Forks the program. Called by the main thread: with it the program dies.
    pub(crate) fn start(self, start: ServiceStart) -> Result<Started, SpawnError> {
        let Pipes { failure, stderr, stdout, null } = self;
        let theirs = stdout.as_ref().map_or(&null, |pipe| &pipe.writer);
        let args = ProcessArgs {
            arguments: &start.arguments,
            environment: &start.environment,
            descriptors: &[(null.as_fd(), 0), (theirs.as_fd(), 1), (stderr.writer.as_fd(), 2)],
            pid_word: None,
        };
        let pid = process::fork_program(start.process, &args, failure.writer.as_fd())?;
        let stdout = stdout.map(|pipe| pipe.reader);
        Ok(Started { pid, failure: failure.reader, stderr: stderr.reader, stdout })
    }
}
