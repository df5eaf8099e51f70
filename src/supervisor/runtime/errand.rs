//! Errands: what may take long, or for ever, because it looks outside. Each is a process of its own with a time limit,
//! so that a hung file system or a program that does nothing holds up neither the supervisor nor its end.
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the errand's process | nothing | it only reads; its end without an answer is a failed errand |
//! | the supervisor | the errand's process | it dies with it (`PR_SET_PDEATHSIG`) |
//! | nothing, but it can't be killed (uninterruptible sleep) | the process | its time is up all the same; it is reaped whenever it ends |

use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use crate::sys::wait::Exit;
use crate::sys::{fd, group, inherited};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// An errand only reads what is there; clients wait longer for an answer.
const ERRAND_LIMIT: Duration = Duration::from_secs(8);
/// Bytes of an answer that are looked at: more than a pipeline file and all that it names may have.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
const STDOUT: RawFd = 1;
const STDERR: RawFd = 2;

/// What to start.
pub(crate) struct Start<'a> {
    /// The hidden verb, and what follows it.
    pub arguments: Vec<CString>,
    /// Descriptors under fixed numbers.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// `NAME=value` each.
    pub environment: &'a [CString],
    /// Where its standard error goes; `None`: into the answer.
    pub stderr: Option<BorrowedFd<'a>>,
}

/// A process on its way.
#[derive(Debug)]
pub(crate) struct Errand<P> {
    pub pid: u32,
    /// What it is for.
    pub purpose: P,
    until: Instant,
    answer: OwnedFd,
}

impl<P> Errand<P> {
    /// Starts this very program with a hidden verb.
    pub(crate) fn start(purpose: P, start: Start<'_>) -> Result<Errand<P>, SpawnError> {
        let answer = fd::memory_file(c"mprun-answer").map_err(|error| SpawnError::preparing(&error))?;
        let stderr = start.stderr.unwrap_or(answer.as_fd());
        let outputs = [(answer.as_fd(), STDOUT), (stderr, STDERR)];
        let spec = ProcessSpec::this_program(ProcessGroupMode::OwnGroup);
        let args = ProcessArgs {
            arguments: &[vec![c"mprun".to_owned()], start.arguments].concat(),
            environment: start.environment,
            descriptors: &[start.descriptors, &outputs].concat(),
            pid_word: None,
        };
        let pid = spawn(spec, &args)?;
        Ok(Errand { pid, purpose, until: Instant::now() + ERRAND_LIMIT, answer })
    }

    /// When its time is up.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Ends it; it is reaped as any child. Its pid must not have been reaped yet.
    pub(crate) fn kill(&self) {
        let _ = group::signal_group(self.pid, Signal::SIGKILL);
    }

    /// What it has said.
    pub(crate) fn answer(&self) -> String {
        let mut text = Vec::new();
        let read = self.answer.try_clone().map(File::from).and_then(|mut file| {
            file.rewind()?; // its writer left the offset, which is shared, at its end
            file.take(MAX_ANSWER_BYTES).read_to_end(&mut text)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// How an errand has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Exit(Exit),
    /// Its time was up.
    TimedOut,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Exit(exit) => exit.fmt(f),
            Ended::TimedOut => write!(f, "it has not ended after {} s", ERRAND_LIMIT.as_secs()),
        }
    }
}

/// In an errand's process: where its request is.
pub(crate) const REQUEST_FD: RawFd = 3;

/// What the errand's process was asked.
///
/// # Errors
/// When mprun did not start it.
pub(crate) fn read_request<T: DeserializeOwned>() -> io::Result<T> {
    let fd =
        inherited::take(REQUEST_FD).map_err(|_| io::Error::other("this command is for mprun's own use"))?;
    let (mut file, mut text) = (File::from(fd), Vec::new());
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// A request in a sealed memory file.
pub(crate) fn request(value: &impl serde::Serialize) -> io::Result<OwnedFd> {
    fd::sealed(c"mprun-request", &serde_json::to_vec(value)?)
}
