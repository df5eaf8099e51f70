//! What one supervisor program leaves to the next in the same process, as JSON in a sealed memory file, and the
//! descriptors that it names.
//!
//! `MPRUN_HANDOVER` names the memory file's descriptor. A program that does not know it never gets it: it is asked first,
//! by a preflight in a process of its own, whether it can read all this.

use super::saved_services::SavedServices;
use crate::control::server::Listeners;
use crate::queue::{Arena, Fault};
use crate::service::Received;
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::saved::SavedMachine;
use crate::sys::inherited;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

/// The variable that names the descriptor of the memory file.
pub(crate) const VARIABLE: &str = "MPRUN_HANDOVER";
/// Where a preflight finds the memory file and the arena.
pub(crate) const PREFLIGHT_FDS: [RawFd; 2] = [3, 4];

/// The last line of a good preflight. Its exit code alone proves nothing: any program may end with 0.
pub(crate) const PREFLIGHT_OK: &str = "can go on from here";

/// What was there before this program.
pub(crate) struct Predecessor {
    /// Descriptors that the service manager has kept.
    pub received: Received,
    /// What another program leaves to this one in this process.
    pub upgrade: Option<UpgradeState>,
}

/// All that the next program needs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpgradeState {
    pub run: String,
    /// It continues an earlier run.
    #[serde(default)]
    pub continues: bool,
    /// The files that it is to replace at its end.
    #[serde(default)]
    pub replacing: Vec<PathBuf>,
    /// How long the run has lasted.
    pub age: Duration,
    /// What the state knew.
    #[serde(rename = "left")]
    pub machine: SavedMachine,
    /// The guardian's process, and the pipe whose end it waits for.
    pub guardian: Option<(u32, RawFd)>,
    /// Children that are none of ours.
    #[serde(rename = "strangers")]
    pub preexisting: Vec<u32>,
    /// Workers that do not lead a group of their own.
    #[serde(rename = "followers")]
    pub non_leaders: Vec<u32>,
    /// Dead letters of queues that are gone.
    pub dead_before: u64,
    /// Items that were given up on behalf of dead workers, by stage.
    #[serde(rename = "buried")]
    pub dead_by_stage: BTreeMap<String, u64>,
    /// It is to stop when its terminal is gone.
    pub ends_with_terminal: bool,
    pub arena: RawFd,
    /// The notes about files that lines are appended to.
    pub undo_log: RawFd,
    /// Through it workers' standard error comes: the log pipe.
    #[serde(rename = "voices")]
    pub log_pipe: Option<[RawFd; 2]>,
    /// The process that reads it, if it is not a thread.
    #[serde(default)]
    pub log_writer: Option<u32>,
    /// What this program has not been able to write to it.
    #[serde(default)]
    pub log_backlog: Vec<String>,
    /// Where clients of the control socket and of the metrics wait.
    #[serde(default)]
    pub listeners: [Option<RawFd>; 2],
    /// The same of `[control] listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_listener: Option<RawFd>,
    /// The locks of this run, which are never free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<RawFd>,
    /// Of a program before this one that knows of services without a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<SavedServices>,
    /// By the names of their stages.
    pub holding_pipes: BTreeMap<String, [RawFd; 2]>,
}

impl UpgradeState {
    /// What the program before this one has left, if there was one.
    pub(crate) fn take() -> Result<Option<UpgradeState>, SetUpError> {
        let Ok(number) = std::env::var(VARIABLE) else { return Ok(None) };
        let number: Option<RawFd> = number.parse().ok();
        let number = number.ok_or_else(|| damaged("the descriptor's number"))?;
        match inherited::take(number) {
            Ok(fd) => UpgradeState::read(fd).map(Some).map_err(|error| damaged(&error.to_string())),
            Err(error) => Err(damaged(&error.to_string())),
        }
    }

    fn read(fd: OwnedFd) -> io::Result<UpgradeState> {
        let mut file = File::from(fd);
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// In a preflight: the same, and whether the arena can be read.
    pub(crate) fn preflight() -> Result<UpgradeState, String> {
        let [memory, arena] = PREFLIGHT_FDS.map(inherited::take);
        let memory = memory.map_err(|_| "this command is for mprun's own use".to_owned())?;
        let upgrade_state =
            UpgradeState::read(memory).map_err(|error| format!("what is left can't be read: {error}"))?;
        let arena = arena.map_err(|error| format!("no queue memory was passed: {error}"))?;
        Arena::attach(arena).map_err(|fault| refusal(&fault))?;
        Ok(upgrade_state)
    }

    /// Where clients wait.
    pub(crate) fn listeners(&self) -> Result<Listeners, SetUpError> {
        let [control, metrics] = self.listeners.map(|number| number.map(taken).transpose());
        let web = self.web_listener.map(taken).transpose()?;
        Ok(Listeners {
            control: control?.map(Into::into),
            metrics: metrics?.map(Into::into),
            missing_metrics: None,
            web: web.map(Into::into),
        })
    }

    /// The locks of this run.
    pub(crate) fn locks(&self) -> Result<Vec<OwnedFd>, SetUpError> {
        self.locks.iter().copied().map(taken).collect()
    }

    /// The process that reads the log pipe, if it prints for services, too.
    pub(crate) fn helper(&self) -> Option<u32> {
        self.log_writer.filter(|_| self.services.is_some())
    }

    /// The queues' memory.
    pub(crate) fn arena(&self) -> Result<OwnedFd, SetUpError> {
        taken(self.arena)
    }
}

/// Why this program can't use the queues, and what can be done instead.
fn refusal(fault: &Fault) -> String {
    match fault {
        Fault::Version { have, want } if have < want => format!(
            "the layout of the running queues is {have}, that of this program {want}: stop the old program and start this \
             one, which migrates durable queues; queues in memory go with the old one, so end it by `mprun drain`"
        ),
        fault => fault.to_string(),
    }
}

/// As the next program finds it.
pub(crate) fn number(fd: BorrowedFd<'_>) -> RawFd {
    fd.as_raw_fd()
}

/// A descriptor that was passed on.
pub(crate) fn taken(number: RawFd) -> Result<OwnedFd, SetUpError> {
    inherited::take(number).map_err(|error| SetUpError::System("take over a descriptor", error))
}

fn damaged(what: &str) -> SetUpError {
    SetUpError::Refused(format!("what an earlier program has left in {VARIABLE} can't be read: {what}"))
}

#[cfg(test)]
mod tests;
