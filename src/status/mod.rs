//! What a running pipeline looks like at one moment: the types that the supervisor fills in, that travel over the
//! control socket as JSON, and that every view (`status`, `top`, metrics, the report) reads.
//!
//! Durations are in seconds, sizes in bytes, moments in RFC 3339. Counters only grow during a run. New fields may be
//! added at any time: a reader ignores those it does not know.
#![forbid(unsafe_code)]

mod bottleneck;
mod broker;
mod cpus;
#[cfg(test)]
pub(crate) mod fixture;
mod letters;
mod machine;
mod queue;
mod rates;
mod stage;
mod transition;
mod worker;

pub(crate) use crate::model::Totals;
pub(crate) use bottleneck::{Bottleneck, Limit, find as find_bottleneck};
pub(crate) use broker::{BrokerFull, BrokerStatus};
pub(crate) use cpus::{CpuTicks, Cpus};
pub(crate) use letters::Letters;
pub(crate) use machine::{MachineStage, MachineStatus};
pub(crate) use queue::QueueStatus;
pub(crate) use rates::Samples;
pub use stage::Progress;
pub(crate) use stage::{Failing, Fate, Histogram, OrderStatus, Rate, StageStatus};
pub(crate) use transition::{Glimpse, Transition, WorkerChange};
pub(crate) use worker::{CheckState, CheckStatus, Times, WorkerState, WorkerStatus};

use crate::model::DeadLetterCounts;
use serde::{Deserialize, Serialize};

/// A running pipeline at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file, absolute; empty: a line of `mprun do`.
    pub file: String,
    /// The supervisor's process.
    pub pid: u32,
    /// This run's random id: `MPRUN_RUN` in the environment of its workers.
    pub run: String,
    /// The version of mprun that runs it.
    pub version: String,
    /// How often another program has taken over in this run (`mprun upgrade`).
    #[serde(default)]
    pub upgrades: u64,
    /// How far it is.
    pub phase: Phase,
    /// All of it is paused: workers finish their item and wait.
    pub paused: bool,
    /// When this was seen.
    pub time: String,
    /// When the run was started.
    pub started: String,
    /// Seconds since then.
    pub uptime: f64,
    /// Which file runs.
    pub config: Config,
    /// In the order of the file, then those that are on their way out.
    #[serde(serialize_with = "stage::without_empty_columns")]
    pub stages: Vec<StageStatus>,
    /// In the order of the file.
    pub queues: Vec<QueueStatus>,
    /// All stages, those that are gone included.
    pub totals: Totals,
    /// Items that never went through, in all queues, those that are gone included.
    pub dead_letters: u64,
    /// Where dead letters are kept.
    pub dead_letter_file: String,
    /// The letters in that file, those of earlier runs included.
    #[serde(default)]
    pub letters: Letters,
    /// What limits it, lately.
    #[serde(default)]
    pub bottleneck: Option<Bottleneck>,
    /// The broker of its shared queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerStatus>,
    /// The address of its page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Why it has none, though the file wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_fault: Option<String>,
    /// Why its queues can't be saved now, as `sync` asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_fault: Option<String>,
}

/// How far a pipeline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Not every stage has come up yet.
    Starting,
    /// All is as wanted.
    Running,
    /// A changed file is being taken over.
    Reloading,
    /// Sources have ended, the queues are worked off.
    Draining,
    /// Workers are terminated.
    Stopping,
}

/// Which file runs, and what became of the last attempt to change it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Grows by one with each file that was taken over as a whole; 1 once the first one is up.
    pub generation: u64,
    /// Whether the file is what runs.
    pub state: ConfigState,
    /// Why the last changed file was not taken over; none once a good one was.
    pub refusal: Option<Refusal>,
    /// What was changed by hand since the file was read, such as `scale parse=4`; the next reload ends it.
    pub changed: Vec<String>,
}

/// Whether the file is what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConfigState {
    /// It is.
    Current,
    /// It is about to be.
    Pending,
    /// It was changed into something that can't be used: what ran before runs on.
    Refused,
}

/// A changed file that was not taken over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// When.
    pub time: String,
    /// The whole message, maybe of several lines.
    pub text: String,
}

impl Snapshot {
    /// What is to be said of queues that can't be saved.
    pub(crate) fn unsaved(&self) -> Option<String> {
        self.save_fault.as_ref().map(|why| format!("the queues can't be saved, which is tried again: {why}"))
    }

    /// The letters of the run that are there still. Where the broker has not said how many it holds, they are as many as have
    /// been written there.
    pub(crate) fn letters_left(&self) -> DeadLetterCounts {
        let too_long = self.totals.too_long;
        let written = DeadLetterCounts { items: self.letters_written_here() - too_long, too_long };
        let left = match self.dead_letter_file.as_str() {
            "" => written,
            // What was dropped to make room was not dropped by hand.
            _ => written.among(self.letters.of_run.unwrap_or(self.letters.letters) + self.letters.dropped),
        };
        DeadLetterCounts { items: left.items + self.letters_left_in_broker(), ..left }
    }

    /// Letters that this run has written on this machine.
    pub(crate) fn letters_written_here(&self) -> u64 {
        self.dead_letters.saturating_sub(self.letters_written_to_broker()) + self.totals.too_long
    }

    /// Letters that this machine has written to the broker: those of shared queues.
    pub(crate) fn letters_written_to_broker(&self) -> u64 {
        self.queues.iter().filter(|queue| queue.shared).map(|queue| queue.dead).sum()
    }

    /// Those of them that are there still. Other machines write there as well, so this can be too many, as long as the broker
    /// has that many.
    pub(crate) fn letters_left_in_broker(&self) -> u64 {
        self.letters_written_to_broker().min(self.letters.in_broker.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{queue, snapshot};
    use super::*;

    #[test]
    fn letters_that_were_put_back_are_not_left() {
        let file = "/s/dead.jsonl".to_owned();
        let seen = Snapshot { dead_letters: 3, dead_letter_file: file, queues: Vec::new(), ..snapshot() };
        assert_eq!(seen.letters_left().all(), 0);
        let with = |letters| Snapshot { letters, ..seen.clone() };
        let of_others = Letters { letters: 5, of_run: Some(1), ..Letters::default() };
        assert_eq!(with(of_others).letters_left().items, 1, "four are of earlier runs");
        assert_eq!(with(Letters { letters: 2, ..Letters::default() }).letters_left().items, 2);
        assert_eq!(with(Letters { dropped: 9, ..Letters::default() }).letters_left().items, 3);
        let not_kept = Snapshot { dead_letter_file: String::new(), ..seen.clone() };
        assert_eq!(not_kept.letters_left().items, 3);
        let shared = QueueStatus { dead: 2, shared: true, ..queue("jobs", 0) };
        let shared = Snapshot { queues: vec![shared], ..seen };
        assert_eq!((shared.letters_left().items, shared.letters_written_here()), (2, 1));
        let with = |in_broker| {
            let letters = Letters { in_broker: Some(in_broker), ..Letters::default() };
            Snapshot { letters, ..shared.clone() }.letters_left().items
        };
        assert_eq!((with(0), with(1), with(9)), (0, 1, 2));
    }
}
