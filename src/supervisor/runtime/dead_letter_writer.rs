//! Dead letters on behalf of workers that were killed by their item: each is written by a process of its own, as the disk
//! may stall or another process may have the file's lock, and the supervisor never waits for either.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the helper, before the line | the item, leased in the dead worker's slot | another one is started after a pause |
//! | the helper, after the line, before it reports | the letter, and the item leased | another one writes a second letter: never less than one |
//! | the helper, stopped or stalled | the same | after half a minute it is killed, and another one tries; nothing else waits |
//! | the supervisor, anywhere | the item leased in the queues' memory | the helper dies with it; kept queues give the item back at the next start |
//! | the supervisor, after the line, before the lease ends | the letter, and the item | as for a worker: kept queues deliver it once more |

use super::launch::Launcher;
use crate::dead_letter::{self, Appended, Cause, DeadLetter, Store};
use crate::queue::{DeadLetterCandidate, Ending, QueueId};
use crate::supervisor::machine::effect::Release;
use crate::supervisor::machine::reason::End;
use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use crate::sys::wait::Exit;
use crate::sys::{fd, inherited};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::SystemTime;

/// The helper's request, and where it reports.
const REQUEST_FD: i32 = 3;
const OUTCOME_FD: i32 = 4;
/// An error's text is no longer.
const MAX_ERROR_BYTES: u64 = 4096;

/// A letter that is being written.
pub(crate) struct DeadLetterWriter {
    /// The helper's process.
    pub pid: u32,
    /// The dead worker.
    pub release: Release,
    /// For the log: the item's number, its queue, and how often it was tried.
    pub item: (u64, String, u32),
    outcome: OwnedFd,
}

/// What the helper reads first: a line of JSON, and behind it the letter's line.
#[derive(Serialize, Deserialize)]
struct Errand {
    store: Store,
    safe: bool,
}

#[derive(Serialize, Deserialize)]
enum Said {
    Written { dropped: u64 },
    Failed(String),
}

/// Starts a helper that writes the letter of `candidate`.
pub(crate) fn begin(
    candidate: &DeadLetterCandidate<'_>,
    release: &Release,
    names: &BTreeMap<QueueId, String>,
    launcher: &Launcher,
) -> Result<DeadLetterWriter, SpawnError> {
    let prepare = |error: io::Error| SpawnError::preparing(&error);
    let letter = letter(candidate, release, names, launcher);
    let item = (candidate.id, letter.queue.to_owned(), candidate.attempts);
    let errand = errand(&letter, launcher).map_err(prepare)?;
    let outcome = fd::memory_file(c"mprun-outcome").map_err(prepare)?;
    let null = fd::null().map_err(prepare)?;
    // No helper may write a letter after this supervisor's end: by this the guardian and the next run find it.
    let environment: Vec<CString> = CString::new(format!("MPRUN_RUN={}", launcher.run)).into_iter().collect();
    let args = ProcessArgs {
        arguments: &[c"mprun:letters".to_owned(), c"__letters".to_owned()],
        environment: &environment,
        descriptors: &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (null.as_fd(), 2),
            (errand.as_fd(), REQUEST_FD),
            (outcome.as_fd(), OUTCOME_FD),
        ],
        pid_word: None,
    };
    let pid = spawn(ProcessSpec::this_program(ProcessGroupMode::OwnSession), &args)?;
    Ok(DeadLetterWriter { pid, release: release.clone(), item, outcome })
}

impl DeadLetterWriter {
    /// What came of it, once the helper has ended.
    pub(crate) fn outcome(&self) -> Result<Appended, String> {
        let said = self.outcome.try_clone().and_then(|fd| {
            let mut file = File::from(fd);
            let mut text = Vec::new();
            file.rewind()?;
            file.take(MAX_ERROR_BYTES * 2).read_to_end(&mut text)?;
            Ok(text)
        });
        match said.ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(Said::Written { dropped }) => Ok(Appended { dropped }),
            Some(Said::Failed(why)) => Err(why),
            None => Err("the process that was to write it was killed".to_owned()),
        }
    }
}

fn letter<'a>(
    candidate: &DeadLetterCandidate<'a>,
    release: &'a Release,
    names: &'a BTreeMap<QueueId, String>,
    launcher: &'a Launcher,
) -> DeadLetter<'a> {
    DeadLetter {
        item: candidate.item,
        stage: &release.stage,
        worker: release.worker.index,
        queue: names.get(&candidate.queue).map_or("", String::as_str),
        id: candidate.id,
        origin: candidate.origin.map(|origin| origin.to_string()),
        attempts: candidate.attempts,
        cause: cause(&release.end),
        stderr: &release.last_stderr,
        time: SystemTime::now(),
        run: &launcher.run,
    }
}

fn errand(letter: &DeadLetter<'_>, launcher: &Launcher) -> io::Result<OwnedFd> {
    let store = launcher.dead_letters.clone();
    let line = letter.line(&store.pipeline)?;
    let mut text = serde_json::to_vec(&Errand { store, safe: launcher.arena.is_saved() })?;
    text.push(b'\n');
    text.extend(line);
    fd::sealed(c"mprun-letter", &text)
}

fn cause(end: &End) -> Cause {
    match end {
        End::Died(Exit::Signal(signal)) => Cause::Signal(signal.to_string()),
        End::Died(Exit::Code(code)) => Cause::ExitCode(*code),
        End::Said(Ending::TimedOut) => Cause::TimedOut,
        End::Said(Ending::Failed(why) | Ending::Lost(why)) | End::ProgramKilled(why) => {
            Cause::Error(why.clone())
        }
        // None of these leaves a begun item behind; if one does, this is all there is to say.
        End::Said(
            Ending::Finished
            | Ending::InputEnded
            | Ending::OutputClosed
            | Ending::Ordered
            | Ending::Recycled
            | Ending::Halted,
        )
        | End::NotStarted(_)
        | End::CannotStart(_)
        | End::NotNow(_)
        | End::Terminated => Cause::Error(end.to_string()),
    }
}

/// The life of the helper process itself.
pub(crate) fn run() -> ExitCode {
    let (Ok(errand), Ok(outcome)) = (inherited::take(REQUEST_FD), inherited::take(OUTCOME_FD)) else {
        let _ = writeln!(io::stderr(), "mprun: __letters is not for people: mprun starts it");
        return ExitCode::from(crate::exit::USAGE);
    };
    let _ = nix::sys::prctl::set_name(c"mprun:letters"); // what `top` shows
    let said = match write(errand) {
        Ok(Appended { dropped }) => Said::Written { dropped },
        Err(why) => Said::Failed(why.chars().take(MAX_ERROR_BYTES as usize / 4).collect()),
    };
    let text = serde_json::to_vec(&said).unwrap_or_default();
    // Without a report it counts as not written: it is tried again.
    let _ = File::from(outcome).write_all(&text);
    ExitCode::SUCCESS
}

fn write(errand: OwnedFd) -> Result<Appended, String> {
    let mut file = BufReader::new(File::from(errand));
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_until(b'\n', &mut text)).map_err(|error| error.to_string())?;
    let errand: Errand = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut line = Vec::new();
    file.read_to_end(&mut line).map_err(|error| error.to_string())?;
    dead_letter::append_line(&errand.store, line, errand.safe).map_err(|error| error.to_string())
}
