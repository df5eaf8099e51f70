//! The supervisor's side of the log pipe: the pipe itself, which outlives every process that reads it, and the log
//! writer ([`logs::writer`](crate::logs::writer)), which can be replaced and, at the end, abandoned.

use super::services::printer::{self, Printing, SOCKET_FD, UNDO_LOG_FD};
use crate::append::UndoLog;
use crate::logs::{sink, writer};
use crate::progress::TerminalThread;
use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use crate::sys::{group, readiness, reexec, wait};
use crossbeam_channel::{Receiver, bounded};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// What may wait in the pipe, in bytes: what an ordinary user may ask for.
const PIPE_BYTES: i32 = 1 << 20;
/// How long a writer that was killed may take to go.
const KILL_LIMIT: Duration = Duration::from_millis(200);
/// Signals to the group or the service are for the supervisor: the log writer ends with the pipe.
const BLOCKED: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];

/// The pipe, and what reads it.
#[derive(Debug)]
pub(crate) struct LogWriter {
    /// The reading end is kept, so that what is in the pipe is there for the next writer.
    ends: [OwnedFd; 2],
    writer: Writer,
    /// What it prints for services: its end of their socket, and what workers share about standard output.
    prints: (OwnedFd, UndoLog),
}

#[derive(Debug)]
enum Writer {
    None,
    /// A process of its own.
    Process(u32),
    /// A thread beside progress bars; it sends once at the end of the pipe.
    Thread(Receiver<()>),
}

impl LogWriter {
    /// A new pipe, with nothing that reads it. `printing`: of services.
    pub(crate) fn open(printing: &Printing, undo_log: UndoLog) -> io::Result<LogWriter> {
        let (reader, end) = pipe2(OFlag::O_CLOEXEC)?;
        writer::make_non_blocking(end.as_fd())?;
        let _ = fcntl(&end, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)); // a smaller one serves, too
        let prints = (printing.theirs().try_clone_to_owned()?, undo_log);
        Ok(LogWriter { ends: [reader, end], writer: Writer::None, prints })
    }

    /// The pipe of a program before this one, and the process that reads it.
    pub(crate) fn resume(
        ends: [OwnedFd; 2],
        process: Option<u32>,
        printing: &Printing,
        undo_log: UndoLog,
    ) -> io::Result<LogWriter> {
        writer::make_non_blocking(ends[1].as_fd())?;
        let prints = (printing.theirs().try_clone_to_owned()?, undo_log);
        Ok(LogWriter { ends, writer: process.map_or(Writer::None, Writer::Process), prints })
    }

    /// The process that reads it, if one does.
    pub(crate) fn process(&self) -> Option<u32> {
        match self.writer {
            Writer::Process(pid) => Some(pid),
            Writer::None | Writer::Thread(_) => None,
        }
    }

    /// This process's own lines go into the pipe from here on; `waiting`: those that the program before this one could
    /// not write.
    pub(crate) fn use_it(&self, waiting: Vec<String>) -> io::Result<()> {
        sink::use_pipe(self.ends[1].try_clone()?, waiting);
        Ok(())
    }

    /// Reads the pipe in a process of its own; returns its pid.
    pub(crate) fn start_process(&mut self) -> Result<u32, SpawnError> {
        let pid = start_process(self.ends[0].as_fd(), &self.prints)?;
        self.writer = Writer::Process(pid);
        Ok(pid)
    }

    /// Reads the pipe in a thread of this process, and writes above progress bars.
    pub(crate) fn start_thread(&mut self, terminal: TerminalThread) -> io::Result<()> {
        let pipe = File::from(self.ends[0].try_clone()?);
        let (done, end) = bounded(1);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            writer::copy(pipe, terminal);
            let _ = done.send(()); // the run may be over
        })?;
        let (socket, undo_log) = (self.prints.0.try_clone()?, self.prints.1.clone());
        // Its end is that of the process.
        thread::Builder::new().name("print".to_owned()).spawn(move || printer::print(&socket, undo_log))?;
        self.writer = Writer::Thread(end);
        Ok(())
    }

    /// The process is gone.
    pub(crate) fn ended(&mut self) {
        self.writer = Writer::None;
    }

    /// Standard error for a worker.
    pub(crate) fn stderr(&self) -> BorrowedFd<'_> {
        self.ends[1].as_fd()
    }

    /// Both ends, to be handed over.
    pub(crate) fn ends(&self) -> &[OwnedFd; 2] {
        &self.ends
    }

    /// All workers are gone, and all is said: it is written, if that goes, for [`writer::END_TIMEOUT`] at most. A writer that
    /// was killed is replaced. From then on this process writes straight to standard error, but to one that has taken all
    /// of this only.
    pub(crate) fn end(self) {
        let LogWriter { ends: [reader, end], writer: by, prints } = self;
        let until = Instant::now() + writer::END_TIMEOUT;
        let by = match by {
            Writer::None => start_process(reader.as_fd(), &prints).map_or(Writer::None, Writer::Process),
            by => by,
        };
        let is_sent = sink::leave_pipe(until);
        drop(end); // the end of the pipe
        let is_written = match by {
            Writer::None => false,
            Writer::Process(pid) => {
                let is_empty = || readiness::bytes_waiting(reader.as_fd()).is_ok_and(|bytes| bytes == 0);
                // What is left by one that was killed at the end is for another.
                let another = || {
                    start_process(reader.as_fd(), &prints).is_ok_and(|pid| has_ended(pid, until + KILL_LIMIT))
                };
                has_ended(pid, until + KILL_LIMIT) && (is_empty() || another())
            }
            Writer::Thread(end) => end.recv_deadline(until).is_ok(),
        };
        if is_sent && is_written {
            sink::use_stderr();
        }
    }
}

fn start_process(reader: BorrowedFd<'_>, prints: &(OwnedFd, UndoLog)) -> Result<u32, SpawnError> {
    // A terminal may stop processes of another group that write to it (`stty tostop`).
    let spec = ProcessSpec {
        outlives_parent: true,
        blocked: BLOCKED.to_vec(),
        ..ProcessSpec::this_program(ProcessGroupMode::ParentsGroup)
    };
    let args = ProcessArgs {
        arguments: &[c"mprun".to_owned(), c"__log".to_owned()],
        environment: &environment(),
        descriptors: &[(reader, 0), (prints.0.as_fd(), SOCKET_FD), (prints.1.fd(), UNDO_LOG_FD)],
        pid_word: None,
    };
    spawn(spec, &args)
}

/// The life of the helper's process: it writes the log, and prints what services print.
pub(crate) fn run() -> ExitCode {
    // Without a socket there is nothing to print: a program before this one has started it otherwise.
    let printing = thread::Builder::new().name("print".to_owned()).spawn(|| drop(printer::run()));
    if printing.is_err() {
        return ExitCode::FAILURE;
    }
    writer::run()
}

/// Whether the process has ended by itself; else it is killed. One that can't even die is left behind.
fn has_ended(pid: u32, until: Instant) -> bool {
    let within = |time| matches!(reexec::wait_within(pid, time), Ok(Some(_)));
    let ended = within(until.saturating_duration_since(Instant::now()));
    if !ended {
        let _ = group::signal_process(pid, Signal::SIGKILL);
    }
    if ended || within(KILL_LIMIT) {
        let _ = wait::reap(pid);
    }
    ended
}

/// By this variable it finds out whether its standard error is the journal.
fn environment() -> Vec<CString> {
    let stream = std::env::var("JOURNAL_STREAM").ok().map(|stream| format!("JOURNAL_STREAM={stream}"));
    stream.into_iter().filter_map(|entry| CString::new(entry).ok()).collect()
}
