//! What one program of a run leaves to the next: the machine's part of the upgrade state. A format: its words stay.

use super::history::SavedTransition;
use super::reason::{End, StartReason};
use super::totals::StageTotals;
use super::worker_state::Over;
use crate::config::{FileVariables, IncludedText, Recycle, Work};
use crate::queue::{SlotId, StageId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// All that can't be found in the arena, nor in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedMachine {
    /// The text of the file that runs: the one on the disk may be another by now.
    pub text: String,
    /// The files that it includes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<IncludedText>,
    /// What the environment files said that it runs with, by stage.
    #[serde(default)]
    pub file_variables: FileVariables,
    pub paused: bool,
    pub stages: Vec<SavedStage>,
    #[serde(rename = "departed")]
    pub removed_totals: Vec<StageTotals>,
    pub failed: bool,
    pub generation: u64,
    /// Why the last changed file was not taken over, and how long ago that was.
    pub refusal: Option<(Duration, String)>,
    pub history: Vec<SavedTransition>,
    /// Programs that have taken over in this run, the next one included.
    pub upgrades: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedStage {
    pub name: String,
    pub gave_up: bool,
    pub paused: bool,
    /// By hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
    /// As it is now: the file may say another number.
    pub processes: u32,
    pub totals: StageTotals,
    pub restarts: BTreeMap<String, u64>,
    /// How long ago the restarts were that `give_up` counts.
    pub restarted: Vec<Duration>,
    #[serde(default)]
    pub killed_in_a_row: u32,
    /// For how long it has been failing. The queues' memory has a time of day, and the clock may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Duration>,
    /// Its place in the arena, if it has one.
    #[serde(default)]
    pub id: Option<StageId>,
    pub workers: Vec<SavedWorker>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedWorker {
    pub index: u32,
    pub life: SavedLife,
    /// What it really does: a newer program may read the same file otherwise.
    pub work: Work,
    pub recycle: Recycle,
    pub trial: bool,
    pub bad_runs: u32,
    /// How long ago the first run of its schedule ended of those that have failed one after the other, and how the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_runs: Option<(Duration, End)>,
    /// Its process is its program. A program before this one may have given a worker to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_service: bool,
    /// How long ago those of its restarts were that `give_up` counts for it alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarted: Vec<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum SavedLife {
    Due(StartReason),
    #[serde(rename = "Resting")]
    BackOff {
        left: Duration,
        why: StartReason,
    },
    Alive {
        slot: SlotId,
        pid: u32,
        age: Duration,
        ready: bool,
    },
    Over(Over),
}

#[cfg(test)]
pub mod fixture;
