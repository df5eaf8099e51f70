//! One stage.

use super::worker::CheckState;
use super::{Times, WorkerState, WorkerStatus};
use crate::model::Totals;
use crate::numbers::{counted, time};
use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// One stage and its workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageStatus {
    /// Its name.
    pub name: String,
    /// What it is: the registered name, or the program's.
    pub kind: String,
    /// It runs a program, rather than a stage that is built in or registered.
    #[serde(default)]
    pub is_command: bool,
    /// The queues it reads; none: a source.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The queues it writes; none: it prints.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Workers that are wanted.
    pub processes: u32,
    /// How many items it may begin in a time, as the file says it: `100/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// How far it is with what it puts in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderStatus>,
    /// Workers that have a process.
    pub running: u32,
    /// Stages that must be ready before it is started (`after`); the broker, as long as it has not been reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Its workers finish their item and wait.
    pub paused: bool,
    /// It runs at its times (`schedule`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scheduled: bool,
    /// Whether it is wanted.
    pub fate: Fate,
    /// What its workers did, those that are gone included.
    #[serde(default)]
    pub totals: Totals,
    /// Items a second, lately.
    #[serde(default)]
    pub rate: Rate,
    /// How far it is, if it is a source that knows its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How its workers spent their time, those that are gone included.
    #[serde(default)]
    pub times: Times,
    /// How long its workers had single items at hand.
    #[serde(default)]
    pub item_seconds: Histogram,
    /// New processes in place of old ones, by reason: `crashed`, `killed`, `failed`, `timed-out`, `not-started`,
    /// `finished`, `recycled`, `changed`, `requested`, `wanted-again`.
    pub restarts: BTreeMap<String, u64>,
    /// Workers that were killed from outside (by hand, or for want of memory) one after another without an item done,
    /// once that is too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_in_a_row: Option<u32>,
    /// Different items of it fail one after the other; or, of a stage with a schedule, its last run has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// Health checks that have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_checks: u64,
    /// By index.
    pub workers: Vec<WorkerStatus>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StageStatus {
    /// Restarts for whatever reason.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.values().sum()
    }

    /// What is to be said of a stage that is failing.
    pub(crate) fn failure(&self) -> Option<String> {
        let Failing { since, last_words } = self.failing.as_ref()?;
        Some(format!("failing (for {} now): {last_words}", time(*since)))
    }

    /// What is to be said of a stage that is killed all the time.
    pub(crate) fn kills(&self) -> Option<String> {
        self.killed_in_a_row
            .map(|times| format!("killed from outside {times} times in a row, and restarted each time"))
    }

    /// Whether it is a program with neither input nor output: nothing about items is to be said of it.
    pub(crate) fn is_service(&self) -> bool {
        self.is_command && self.inputs.is_empty() && self.outputs.is_empty()
    }

    /// For how long the youngest of its processes has run, in seconds.
    pub(crate) fn up(&self) -> Option<f64> {
        self.workers.iter().filter_map(|worker| worker.since).min_by(f64::total_cmp)
    }

    /// What checks tell of its processes: the worst of it.
    pub(crate) fn check(&self) -> Option<CheckState> {
        let worst = |state: &CheckState| match state {
            CheckState::Unhealthy => 0,
            CheckState::Starting => 1,
            CheckState::Failing => 2,
            CheckState::Ready => 3,
            CheckState::Healthy => 4,
        };
        let checks = self.workers.iter().filter_map(|worker| worker.check.as_ref());
        checks.map(|check| check.state).min_by_key(worst)
    }

    /// How many of its processes can serve.
    pub(crate) fn ready(&self) -> usize {
        let is_ready = |worker: &&WorkerStatus| match &worker.check {
            Some(check) => check.state != CheckState::Starting && worker.pid.is_some(),
            None => matches!(worker.state, WorkerState::Working | WorkerState::InputEnded),
        };
        self.workers.iter().filter(is_ready).count()
    }

    /// How many processes are meant to run now: none of a stage that is over, stopped or elsewhere, and none that wait for their time.
    pub(crate) fn expected(&self) -> u32 {
        let waits = |worker: &&WorkerStatus| worker.state == WorkerState::Scheduled || worker.has_finished;
        match self.fate {
            Fate::Finished | Fate::Stopped | Fate::Elsewhere => self.running,
            _ => self
                .processes
                .saturating_sub(u32::try_from(self.workers.iter().filter(waits).count()).unwrap_or(u32::MAX)),
        }
    }

    /// How a stage is, in a word or two.
    pub(crate) fn state(&self) -> &'static str {
        let any = |state| self.workers.iter().any(|worker| worker.state == state);
        match self.fate {
            Fate::GaveUp => "gave up",
            Fate::Finished if self.workers.iter().any(|worker| worker.lost_reader) => "failed",
            Fate::Finished => "finished",
            Fate::Elsewhere if !self.waits_for.is_empty() => "waiting",
            Fate::Elsewhere => "elsewhere",
            Fate::Stopped if self.running > 0 => "stopping",
            Fate::Stopped => "stopped",
            Fate::Removed => "leaving",
            Fate::Wanted if self.failing.is_some() => "failing",
            Fate::Wanted if self.killed_in_a_row.is_some() => "killed",
            Fate::Wanted if self.check() == Some(CheckState::Unhealthy) => "unhealthy",
            Fate::Wanted if self.workers.iter().any(WorkerStatus::is_backing_off) => "failing",
            Fate::Wanted if any(WorkerState::Resting) => "restarting",
            Fate::Wanted if self.paused => "paused",
            Fate::Wanted if any(WorkerState::Scheduled) && self.running == 0 => "scheduled",
            Fate::Wanted if !self.waits_for.is_empty() => "waiting",
            Fate::Wanted if any(WorkerState::Starting) || any(WorkerState::Due) => "starting",
            Fate::Wanted if any(WorkerState::InputEnded) => "input ended",
            Fate::Wanted if self.check() == Some(CheckState::Healthy) => "healthy",
            Fate::Wanted if matches!(self.check(), Some(CheckState::Ready | CheckState::Failing)) => "ready",
            Fate::Wanted => "running",
        }
    }

    /// Whether it has no input.
    pub(crate) fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }
}

/// What is said of items and queues, of which a service has none.
const ABOUT_ITEMS: [&str; 6] = ["inputs", "outputs", "totals", "rate", "times", "item_seconds"];
/// The same of each of its processes.
const WORKERS_ABOUT_ITEMS: [&str; 4] = ["taken", "done", "emitted", "times"];

/// Writes all stages, services without what is about items.
pub(super) fn without_empty_columns<S: Serializer>(stages: &[StageStatus], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(
        stages
            .iter()
            .map(|stage| if stage.is_service() { Shown::Service(stage) } else { Shown::Stage(stage) }),
    )
}

enum Shown<'a> {
    Service(&'a StageStatus),
    Stage(&'a StageStatus),
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let stage = match self {
            Shown::Stage(stage) => return stage.serialize(to),
            Shown::Service(stage) => stage,
        };
        let mut value = serde_json::to_value(stage).map_err(S::Error::custom)?;
        if let Some(fields) = value.as_object_mut() {
            ABOUT_ITEMS.iter().for_each(|name| drop(fields.remove(*name)));
            let workers = fields.get_mut("workers").and_then(Value::as_array_mut);
            for worker in workers.into_iter().flatten().filter_map(Value::as_object_mut) {
                WORKERS_ABOUT_ITEMS.iter().for_each(|name| drop(worker.remove(*name)));
            }
        }
        value.serialize(to)
    }
}

/// The order of its input, which a stage keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderStatus {
    /// The number of the item whose outputs come next.
    pub next: u64,
    /// Where it is: `waiting`, `delayed`, `leased`, or `finished`.
    pub next_is: String,
    /// The output queue that has no room for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up_by: Option<String>,
    /// Finished items whose outputs wait for that.
    pub finished: u64,
    /// With this number of them no more are taken.
    pub most: u64,
    /// Outputs that wait.
    pub outputs: u64,
}

impl OrderStatus {
    /// What waits, and for what; `None`: nothing does.
    pub(crate) fn says(&self, input: &str) -> Option<String> {
        let OrderStatus { next, finished, most, .. } = self;
        let why = match (&self.held_up_by, self.next_is.as_str()) {
            (Some(queue), _) => format!("the outputs of item #{next} wait for room in {queue}"),
            (None, "delayed") => format!("item #{next} has failed and is delayed"),
            (None, "leased") => format!("item #{next} is being worked on"),
            (None, _) => format!("item #{next} waits to be taken"),
        };
        let full = if finished >= most { "; no more are taken" } else { "" };
        (*finished > 0).then(|| {
            let items = counted(*finished, "finished item");
            format!("keeps the order of {input}: it holds {items} back ({most} at most), as {why}{full}")
        })
    }
}

/// A stage is failing: it tries one item at a time, until one is done; or its runs by a schedule fail, until one ends well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failing {
    /// Since so many seconds.
    pub since: f64,
    /// Why the last item or run failed.
    pub last_words: String,
}

/// Items a second, over a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// Items leased a second.
    pub taken: f64,
    /// Leases that ended well, a second.
    #[serde(default)]
    pub done: f64,
    /// Items published a second.
    pub emitted: f64,
    /// The seconds over which this was measured: since an earlier look, else since the start of the run.
    pub over: f64,
}

impl Rate {
    /// What was done between two looks, `seconds` apart. A counter that went back was another stage's.
    pub(crate) fn between(before: &Totals, after: &Totals, seconds: f64) -> Rate {
        let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds.max(1e-3);
        Rate {
            taken: each(before.taken, after.taken),
            done: each(before.done, after.done),
            emitted: each(before.emitted, after.emitted),
            over: seconds,
        }
    }
}

/// How far a source is, in its own measure: items, or bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is through with.
    pub done: u64,
    /// All there is. It may grow, as a file does that is written still.
    pub total: u64,
}

impl Progress {
    /// The one that is further on.
    pub fn further(one: Option<Progress>, other: Option<Progress>) -> Option<Progress> {
        one.into_iter().chain(other).max_by_key(|progress| progress.done)
    }
}

/// Whether a stage is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// It is in the file, and there is work for it.
    Wanted,
    /// It has finished for good.
    Finished,
    /// It isn't in the file any more, and is on its way out.
    Removed,
    /// It was stopped by hand, until it is started again.
    Stopped,
    /// Another machine has it, or the broker has yet to say from where it goes on here.
    Elsewhere,
    /// It failed too often.
    GaveUp,
}

/// How often something took how long. Quick items are measured by the batch, and each counts as the batch's mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    /// The upper bounds in seconds, growing; one count more than bounds.
    pub bounds: Vec<f64>,
    /// How many fell up to each bound and above the one before; the last: above all bounds.
    pub counts: Vec<u64>,
    /// All of them together, in seconds.
    pub sum: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::{stage, worker};

    #[test]
    fn a_pause_goes_before_a_time_at_which_nothing_will_run() {
        let workers = vec![WorkerStatus { state: WorkerState::Scheduled, ..worker("schedule") }];
        let of = |paused| {
            let waiting =
                StageStatus { running: 0, workers: workers.clone(), paused, ..stage("s", "", "", [0.0; 3]) };
            waiting.state()
        };
        assert_eq!((of(false), of(true)), ("scheduled", "paused"));
    }

    #[test]
    fn a_process_that_waits_for_its_time_is_none_that_is_missing() {
        let scheduled = WorkerStatus { state: WorkerState::Scheduled, ..worker("schedule") };
        let finished = WorkerStatus { has_finished: true, ..worker("restart") };
        let of = |fate, workers| {
            StageStatus { fate, processes: 3, running: 1, workers, ..stage("s", "", "", [0.0; 3]) }.expected()
        };
        assert_eq!(of(Fate::Wanted, vec![worker("it failed"); 3]), 3);
        assert_eq!(of(Fate::Wanted, vec![scheduled, finished, worker("it failed")]), 1);
        assert_eq!(of(Fate::GaveUp, Vec::new()), 3);
        for fate in [Fate::Finished, Fate::Stopped, Fate::Elsewhere] {
            assert_eq!(of(fate, Vec::new()), 1);
        }
    }
}
