//! The guardian: a process that waits for the supervisor's death, and then ends what is left.
//!
//! Workers and services die with the supervisor by themselves (`PR_SET_PDEATHSIG`). Their own children don't: those the
//! guardian finds by the process groups that the arena and the roster name, by the run's [mark], and
//! by the run's id in their environment. The kernel closes the supervisor's end of a pipe however it dies; that end is
//! all the guardian looks at.
//!
//! | left behind by a supervisor that was killed | found by |
//! |---|---|
//! | a process in the group of a service or of a worker's program | the group |
//! | one in another session, a daemon, one under another user | the mark |
//! | one that has cleared or overwritten its environment | the mark |
//! | one that has set its own limit of real-time computing time | the run's id in its environment |
//! | one that was started by a version of mprun that set no marks, before an upgrade | the run's id in its environment |
//! | one that has lost both the mark and the id | nothing: it runs on |

use super::services::roster::Roster;
use crate::progress;
use crate::queue::Arena;
use crate::sys::mark::{self, RunMark};
use crate::sys::process::{ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, spawn};
use crate::sys::{fd, group, inherited, proc_table};
use nix::sys::signal::Signal;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Where the guardian finds the pipe and the arena.
const PIPE: i32 = 3;
const ARENA: i32 = 4;
/// Where the process groups of services are.
const ROSTER: i32 = 5;
/// The run that it guards. Not `MPRUN_RUN`: it must not find itself.
const RUN: &str = "MPRUN_GUARDS";
/// Set where a supervisor that is killed leaves a line at the bottom of the terminal.
const LINE: &str = "MPRUN_GIVES_BACK";

/// Rounds of killing, and the pause between them: a process may fork while it is looked for.
const CLEANUP_ROUNDS: u32 = 500;
const CLEANUP_INTERVAL: Duration = Duration::from_millis(10);

/// The supervisor's side.
pub(crate) struct Guardian {
    pub pid: u32,
    /// Closed with the supervisor, however it ends.
    pub alive: OwnedFd,
}

impl Guardian {
    /// Starts one for the run `run`. `has_line`: on the terminal.
    pub(crate) fn start(
        run: &str,
        arena: BorrowedFd<'_>,
        roster: BorrowedFd<'_>,
        has_line: bool,
    ) -> Result<Guardian, SpawnError> {
        let prepare = |error: io::Error| SpawnError::preparing(&error);
        let (reader, alive) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| prepare(errno.into()))?;
        let null = fd::null().map_err(prepare)?;
        let environment = environment(run, has_line);
        let spec =
            ProcessSpec { outlives_parent: true, ..ProcessSpec::this_program(ProcessGroupMode::OwnSession) };
        let args = ProcessArgs {
            arguments: &[c"mprun".to_owned(), c"__guardian".to_owned()],
            environment: &environment,
            descriptors: &[
                (null.as_fd(), 0),
                (null.as_fd(), 1),
                (reader.as_fd(), PIPE),
                (arena, ARENA),
                (roster, ROSTER),
            ],
            pid_word: None,
        };
        Ok(Guardian { pid: spawn(spec, &args)?, alive })
    }

    /// No process is left to guard against.
    pub(crate) fn dismiss(self) {
        let _ = group::signal_process(self.pid, Signal::SIGKILL);
        let _ = crate::sys::wait::reap(self.pid);
    }
}

fn environment(run: &str, has_line: bool) -> Vec<CString> {
    let log = std::env::var("RUST_LOG").ok().map(|filter| format!("RUST_LOG={filter}"));
    let line = has_line.then(|| format!("{LINE}=1"));
    [Some(format!("{RUN}={run}")), log, line]
        .into_iter()
        .flatten()
        .filter_map(|entry| CString::new(entry).ok())
        .collect()
}

/// The life of the guardian process itself.
pub(crate) fn run() -> ExitCode {
    let (Ok(pipe), Ok(run)) = (inherited::take(PIPE), std::env::var(RUN)) else {
        let _ = writeln!(io::stderr(), "mprun: __guardian is not for people: mprun starts it");
        return ExitCode::from(2);
    };
    let _ = nix::sys::prctl::set_name(c"mprun:guardian"); // what `top` shows
    // Another run may have started this mprun as a service: the end of that run must not end the guardian first.
    mark::clear();
    let arena = inherited::take(ARENA).ok().and_then(|fd| Arena::attach(fd).ok());
    let roster = inherited::take(ROSTER).ok().map(Roster::from);
    wait_for_death(pipe);
    clean_up(arena.as_ref(), roster.as_ref(), &run);
    if std::env::var_os(LINE).is_some() {
        let _ = io::stderr().write_all(progress::GIVE_BACK.as_bytes()); // the terminal may be gone
    }
    ExitCode::SUCCESS
}

fn wait_for_death(pipe: OwnedFd) {
    // Nothing is ever written: this returns at the end of the pipe, when its other end is closed.
    let _ = File::from(pipe).read_to_end(&mut Vec::new());
}

/// Groups once: a group's number is free for others soon after its last process, but not within these moments. Then
/// all processes with the run's mark, or with its id in their environment, until there are none.
fn clean_up(arena: Option<&Arena>, roster: Option<&Roster>, run: &str) {
    let services = roster.map(Roster::pids).unwrap_or_default();
    for leader in arena.map(Arena::pids).unwrap_or_default().into_iter().chain(services) {
        let _ = group::signal_group(leader, Signal::SIGKILL);
    }
    let entry = format!("MPRUN_RUN={run}").into_bytes();
    let mark = RunMark::of(run);
    for _ in 0..CLEANUP_ROUNDS {
        let remaining = proc_table::of_run(mark, &entry);
        if remaining.is_empty() {
            return;
        }
        for pid in remaining {
            let _ = group::signal_process(pid, Signal::SIGKILL);
        }
        thread::sleep(CLEANUP_INTERVAL);
    }
}
