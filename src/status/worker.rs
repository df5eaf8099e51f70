//! One worker.

use super::Transition;
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// One worker: a place in a stage that several processes may fill, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerStatus {
    /// `MPRUN_WORKER`: 0, 1, …
    pub index: u32,
    /// Its process, if it has one.
    pub pid: Option<u32>,
    /// The program that it runs, if it runs one now.
    pub program: Option<u32>,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Seconds since its process was started; none without a process.
    pub since: Option<f64>,
    /// Seconds until it is started again, or until it is ended by force.
    pub until: Option<f64>,
    /// Why it is to start, to end, or is over.
    pub reason: Option<String>,
    /// Items that this process leased.
    #[serde(default)]
    pub taken: u64,
    /// Leases that it ended well.
    #[serde(default)]
    pub done: u64,
    /// Items that it published.
    #[serde(default)]
    pub emitted: u64,
    /// How this process spent its time.
    #[serde(default)]
    pub times: Times,
    /// What keeps it from its work: a disk without room. It tries again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// What checks tell of it, if it is of a service that has some (`ready`, `health`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStatus>,
    /// It is started again after a good end (`restart = "always"`), as soon as its back-off is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_finished: bool,
    /// It is meant to run, but has ended since what it prints has no reader any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost_reader: bool,
    /// What happened to it, oldest first; only where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
}

impl WorkerStatus {
    /// Whether it is started again later, since it has failed.
    pub(crate) fn is_backing_off(&self) -> bool {
        self.state == WorkerState::Resting && !self.has_finished
    }
}

/// What checks tell of a process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckStatus {
    pub state: CheckState,
    /// Health checks that have failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// With so many it is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Why the last check has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a process of a service is, as checks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CheckState {
    /// It is not ready yet.
    Starting,
    /// It can serve; its health was not checked.
    Ready,
    /// Its last health check was good.
    Healthy,
    /// Its last health check has failed, and more may before it is restarted.
    Failing,
    /// Too many have failed: it is being restarted.
    Unhealthy,
}

impl CheckStatus {
    /// What is to be said of it, beside that it is well.
    pub(crate) fn says(&self) -> Option<String> {
        let CheckStatus { failures, limit, .. } = self;
        let last = self.last.as_ref().map_or(String::new(), |last| format!(": {last}"));
        match self.state {
            CheckState::Starting => Some(format!("is not ready yet{last}")),
            CheckState::Failing => {
                let of = limit.map_or(String::new(), |limit| format!(" of {limit}"));
                Some(format!("failed a health check ({failures}{of}){last}"))
            }
            CheckState::Unhealthy => Some(format!("is unhealthy, and is restarted{last}")),
            CheckState::Ready | CheckState::Healthy => None,
        }
    }
}

/// How time was spent, in seconds summed over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// With items.
    pub working: f64,
    /// Waiting for an item.
    pub starved: f64,
    /// Waiting for room in an output.
    pub blocked: f64,
    /// Waiting because the file says so: `sleep`, or a source's own time.
    #[serde(default)]
    pub paused: f64,
    /// Waiting for another worker of the stage, where only one at a time can go on.
    #[serde(default)]
    pub for_turn: f64,
}

impl Times {
    /// What was spent since `before`.
    pub(crate) fn since(&self, before: &Times) -> Times {
        let spent = |now: f64, before: f64| (now - before).max(0.0);
        Times {
            working: spent(self.working, before.working),
            starved: spent(self.starved, before.starved),
            blocked: spent(self.blocked, before.blocked),
            paused: spent(self.paused, before.paused),
            for_turn: spent(self.for_turn, before.for_turn),
        }
    }
}

impl AddAssign for Times {
    fn add_assign(&mut self, more: Times) {
        self.working += more.working;
        self.starved += more.starved;
        self.blocked += more.blocked;
        self.paused += more.paused;
        self.for_turn += more.for_turn;
    }
}

impl Times {
    /// All of it.
    pub(crate) fn all(&self) -> f64 {
        self.working + self.starved + self.blocked + self.paused + self.for_turn
    }
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WorkerState {
    /// It is about to be started.
    Due,
    /// It waits for its back-off to pass.
    Resting,
    /// It waits for the time of its next run (`schedule`).
    Scheduled,
    /// It has a process that builds its stage.
    Starting,
    /// It works, or waits for work.
    Working,
    /// It has had all its input, and waits for its program to end.
    InputEnded,
    /// Its stage is paused: it is at no item any more, and waits for `resume`.
    Paused,
    /// It is to end after its item.
    Finishing,
    /// It was sent SIGTERM.
    Terminating,
    /// It was sent SIGKILL.
    Killed,
    /// It has done its work, and won't be started again.
    Over,
    /// It failed, and won't be started again.
    Failed,
}
