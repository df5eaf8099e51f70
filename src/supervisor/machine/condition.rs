//! How a process of a service is, as checks of it tell.

use super::ids::Pid;
use crate::config::pipeline::Check;
use crate::queue::SlotId;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How far a process of a service is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Its program has not begun.
    #[default]
    Unbegun,
    /// Its program runs, and has not passed the check of `ready`.
    Starting {
        /// From here on its time is counted.
        since: Instant,
        /// Why the last try has failed.
        last: Option<String>,
    },
    /// It can serve.
    Ready(Health),
}

/// What the checks of `health` have told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// There was none yet.
    Unknown,
    Healthy,
    /// So many in a row have failed.
    Failing {
        failures: u32,
        /// Why the last one has.
        why: String,
    },
}

impl Condition {
    pub(crate) fn has_begun(&self) -> bool {
        *self != Condition::Unbegun
    }

    /// Why the last look at it has failed.
    pub(crate) fn last_words(&self) -> Option<&str> {
        match self {
            Condition::Starting { last, .. } => last.as_deref(),
            Condition::Ready(Health::Failing { why, .. }) => Some(why),
            Condition::Unbegun | Condition::Ready(Health::Unknown | Health::Healthy) => None,
        }
    }

    /// Failed checks in a row of one that was ready.
    pub(crate) fn failures(&self) -> u32 {
        if let Condition::Ready(Health::Failing { failures, .. }) = self { *failures } else { 0 }
    }
}

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Ready,
    Health,
}

/// News of the checks of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Finding {
    /// It can serve.
    Ready,
    /// Not yet; why.
    NotReady(String),
    /// Not in its time; why at last.
    TimedOut(String),
    Healthy,
    /// A check could not be made, for want of something that is no fault of the service.
    NotMade(String),
    /// One more check has failed.
    Failing {
        /// In a row.
        failures: u32,
        why: String,
    },
}

/// What is to be found out about one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub pid: Pid,
    pub slot: SlotId,
    pub purpose: Purpose,
    pub check: Check,
}
