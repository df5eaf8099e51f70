//! Settles at the end of a run what workers were killed over: a process of its own looks at the files that they wrote by
//! turns, for it may take long, or for ever, and the supervisor does nothing outside by itself.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the helper, anywhere | the note, the file cut or not | kept queues: the next run settles it; else it is said |
//! | the helper, stopped or stalled | the same | its time is up, and the run ends; it dies with the supervisor |
//! | the supervisor, after the helper, before the notes are gone | a note, and nothing behind the start | the next one finds nothing to do |

use super::errand;
use super::launch::Launcher;
use crate::append::{self, Appender, Counts, NOTE_WORDS, Notes, UndoLog};
use crate::logs::{self, Logging};
use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use crate::sys::{fd, inherited};
use crate::worker::UNDO_LOG_FD;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The hidden verb.
pub(crate) const VERB: &str = "__settle";
const REQUEST_FD: i32 = 3;
const OUTCOME_FD: i32 = 4;
/// It looks at a few files, and cuts them.
const LIMIT: Duration = Duration::from_secs(8);

/// A token, and the notes beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unsettled {
    /// [`Counts`], as they are in the token.
    pub state: Vec<u8>,
    pub notes: [Option<[u64; NOTE_WORDS]>; 2],
    /// It is the one of standard output.
    pub is_printed: bool,
}

impl Unsettled {
    /// Whether a worker died in its turn. The first turn of a `file` sink writes nothing; that of standard output does.
    pub(crate) fn is_open(&self) -> bool {
        let counts = Counts::decode(&self.state);
        let turn = counts.as_ref().map_or(0, |counts| counts.turn);
        (counts.is_some() || self.is_printed) && self.open(turn).is_ok_and(|note| note.is_some())
    }

    fn settle(&self, log: &UndoLog) -> io::Result<()> {
        let counts = Counts::decode(&self.state).unwrap_or_default();
        if !self.is_printed {
            return append::settle(self, &counts, None, log);
        }
        let output = Appender::new(io::stdout(), log.clone())?;
        let path = std::fs::read_link("/proc/self/fd/1")?;
        append::settle(self, &counts, Some(output.as_own(&path)), log)
    }
}

/// Notes that stay where they are: the supervisor takes them away once they are settled.
impl Notes for Unsettled {
    fn load(&self, second: bool) -> io::Result<Option<[u64; NOTE_WORDS]>> {
        Ok(self.notes[usize::from(second)])
    }

    fn store(&self, _second: bool, _words: &[u64; NOTE_WORDS]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn clear(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Request {
    pipeline: String,
    logging: Logging,
    unsettled: Vec<Unsettled>,
}

/// Waits until a helper has settled it all; false: it has not.
pub(crate) fn settle(
    unsettled: Vec<Unsettled>,
    launcher: &Launcher,
    stderr: BorrowedFd<'_>,
) -> Result<bool, SpawnError> {
    let prepare = |error: io::Error| SpawnError::preparing(&error);
    let request =
        Request { pipeline: launcher.pipeline.clone(), logging: launcher.logging.clone(), unsettled };
    let request = errand::request(&request).map_err(prepare)?;
    let (reader, writer) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| prepare(errno.into()))?;
    let null = fd::null().map_err(prepare)?;
    // By this the guardian and the next run find it.
    let environment: Vec<CString> = CString::new(format!("MPRUN_RUN={}", launcher.run)).into_iter().collect();
    let args = ProcessArgs {
        arguments: &[c"mprun:settle".to_owned(), c"__settle".to_owned()],
        environment: &environment,
        // Standard output is that of the workers.
        descriptors: &[
            (null.as_fd(), 0),
            (stderr, 2),
            (request.as_fd(), REQUEST_FD),
            (writer.as_fd(), OUTCOME_FD),
            (launcher.undo_log.fd(), UNDO_LOG_FD),
        ],
        pid_word: None,
    };
    spawn(ProcessSpec::this_program(ProcessGroupMode::OwnGroup), &args)?;
    drop(writer);
    Ok(says_done(reader))
}

/// Its end closes the pipe, whatever it was.
fn says_done(reader: OwnedFd) -> bool {
    let until = Instant::now() + LIMIT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(1..) => return File::from(reader).read(&mut [0]).is_ok_and(|bytes| bytes > 0),
            Ok(_) | Err(_) => return false,
        }
    }
}

/// The life of the helper process itself.
pub(crate) fn run() -> ExitCode {
    let parts = (inherited::take(REQUEST_FD), inherited::take(OUTCOME_FD), inherited::take(UNDO_LOG_FD));
    let (Ok(request), Ok(outcome), Ok(log)) = parts else {
        let _ = writeln!(io::stderr(), "mprun: {VERB} is not for people: mprun starts it");
        return ExitCode::from(crate::exit::USAGE);
    };
    logs::sink::use_stderr_as_pipe();
    match read(request).and_then(|request| act(request, &UndoLog::from(log))) {
        Ok(()) => drop(File::from(outcome).write_all(b".")),
        Err(error) => log::warn!("what a killed worker has written is not settled: {error}"),
    }
    ExitCode::SUCCESS
}

fn read(request: OwnedFd) -> io::Result<Request> {
    let (mut file, mut text) = (File::from(request), Vec::new());
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn act(request: Request, log: &UndoLog) -> io::Result<()> {
    logs::set_pipeline(&request.pipeline);
    request.logging.start(None);
    request.unsettled.iter().try_for_each(|unsettled| unsettled.settle(log))
}
