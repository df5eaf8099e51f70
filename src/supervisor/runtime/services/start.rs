//! The pipes of a service, and its start.

use super::announcement::NotifySocket;
use crate::config::pipeline::{Probe, Stdout};
use crate::sys::fd;
use crate::sys::process::{self, ProcessArgs, SpawnError};
use crate::worker::service::ServiceStart;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// There may be thousands of them, and the system allows an ordinary user 64 MiB of pipes.
const PIPE_BYTES: i32 = 8192;

/// A pipe: our end, which never makes us wait, and the program's.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// All pipes of a start.
pub(crate) struct Pipes {
    failure: Pipe,
    stderr: Pipe,
    /// Of a service whose lines mprun prints.
    stdout: Option<Pipe>,
    to: Stdout,
    null: OwnedFd,
    notify: Option<NotifySocket>,
    announces: Option<Probe>,
}

/// A service that was forked, and our ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    pub pid: u32,
    /// Ends when the program has begun; else it says why not.
    pub failure: OwnedFd,
    pub stderr: OwnedFd,
    pub stdout: Option<OwnedFd>,
    /// Where it may say that it is ready.
    pub notify: Option<OwnedFd>,
    /// How it says that.
    pub announces: Option<Probe>,
}

pub(crate) fn pipes(stdout: Stdout, announces: Option<&Probe>) -> io::Result<Pipes> {
    Ok(Pipes {
        failure: Pipe::new()?,
        stderr: Pipe::new()?,
        stdout: match stdout {
            Stdout::Items => Some(Pipe::new()?),
            Stdout::Log | Stdout::Null => None,
        },
        to: stdout,
        null: fd::null()?,
        notify: match announces {
            Some(Probe::Notify) => Some(NotifySocket::new()?),
            Some(_) | None => None,
        },
        announces: announces.cloned(),
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
    pub(crate) fn start(self, mut start: ServiceStart) -> Result<Started, SpawnError> {
        let Pipes { failure, stderr, stdout, to, null, notify, announces } = self;
        if let Some(NotifySocket { variable, .. }) = &notify {
            start.environment.retain(|entry| !entry.to_bytes().starts_with(b"NOTIFY_SOCKET="));
            start.environment.push(variable.clone());
        }
        // What goes to the log comes by one pipe, so its order is that of the program.
        let theirs = match (to, &stdout) {
            (_, Some(pipe)) => &pipe.writer,
            (Stdout::Log, None) => &stderr.writer,
            (Stdout::Items | Stdout::Null, None) => &null,
        };
        let args = ProcessArgs {
            arguments: &start.arguments,
            environment: &start.environment,
            descriptors: &[(null.as_fd(), 0), (theirs.as_fd(), 1), (stderr.writer.as_fd(), 2)],
            pid_word: None,
        };
        let pid = process::fork_program(&start.process, &args, failure.writer.as_fd())?;
        let stdout = stdout.map(|pipe| pipe.reader);
        let notify = notify.map(|notify| notify.socket);
        Ok(Started { pid, failure: failure.reader, stderr: stderr.reader, stdout, notify, announces })
    }
}
