//! What the supervisor hands to a worker at its start.

use crate::config::pipeline::{Recycle, Work};
use crate::dead_letter::Store;
use crate::logs::{LogFile, Logging};
use crate::queue::SharedQueues;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

/// Where a worker finds the queues' memory file.
pub(crate) const ARENA_FD: RawFd = 3;
/// Where it finds its spec, as JSON in a memory file.
pub(crate) const SPEC_FD: RawFd = 4;
/// Where it finds its stage's holding pipe (reading end, writing end), if its spec says that there is one.
pub(crate) const HOLDING_PIPE_FDS: [RawFd; 2] = [5, 6];
/// Where it finds what the run's workers share so that a killed one leaves no half line.
pub(crate) const UNDO_LOG_FD: RawFd = 7;

/// The identity of a worker and its work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerSpec {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stage's name.
    pub stage: String,
    /// Which of its workers: 0, 1, …
    pub worker: u32,
    /// Its slot in the arena.
    pub slot: u16,
    /// The place in the arena that its stage's workers share.
    pub stage_id: Option<u16>,
    /// A random id of the run.
    pub run: String,
    /// The run continues an earlier one, so that what that one has written is part of its work.
    pub continues: bool,
    /// The run only works off what an earlier one has left: nothing is said once more that comes once in a run.
    #[serde(default)]
    pub works_off: bool,
    /// The run of the shared queues, by a number that no other run has.
    #[serde(default)]
    pub shared_run: Option<u64>,
    /// Its parent: a worker with another parent ends.
    pub supervisor_pid: u32,
    /// The pipeline file's folder, absolute.
    pub folder: PathBuf,
    /// What to run.
    pub work: Work,
    /// When to make room for a fresh process.
    pub recycle: Recycle,
    /// Queues to take from, with their names.
    pub inputs: Vec<(u16, String)>,
    /// Queues to put to, with their names.
    pub outputs: Vec<(u16, String)>,
    /// Those of its queues that lie in a broker, and where what it does there goes.
    #[serde(default)]
    pub shared: Option<SharedQueues>,
    /// The queue of the stage's token, if it keeps a state.
    pub token: Option<u16>,
    /// The queue of the token of standard output, if that is a file and the stage prints.
    #[serde(default)]
    pub print_token: Option<u16>,
    /// The queue in which the stage's finished outputs wait for room, if it needs one.
    #[serde(rename = "outbox")]
    pub spill_queue: Option<u16>,
    /// How long the stage's program may take to stop before it is killed.
    pub stop_timeout: Duration,
    /// The file for items that failed for good.
    pub dead_letters: Store,
    /// What to log and how.
    pub log: Logging,
    /// Where to log as well; a relative path starts at `folder`.
    pub log_file: Option<LogFile>,
    /// The folder of the run's recent logs, for `mprun logs`.
    pub recent_logs: Option<PathBuf>,
    /// The limit of open files that programs get: this process may have a higher one.
    #[serde(default)]
    pub soft_open_files: Option<u64>,
    /// Whether [`HOLDING_PIPE_FDS`] are there.
    #[serde(default)]
    pub holding_pipe: bool,
}

impl WorkerSpec {
    pub(super) fn supervisor(&self) -> Pid {
        Pid::from_raw(self.supervisor_pid.cast_signed())
    }
}
