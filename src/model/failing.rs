//! What a failed item goes through, and what a stage does that fails.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How an attempt of an item ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemFailure {
    /// It failed: one of its `attempts` is used up, and it waits as `retry` says. After the last one it is a dead letter.
    Charged,
    /// Not now: it waits as `retry` says, and no attempt is used up, however often that happens.
    Later,
    /// Never: it is a dead letter at once, whatever attempts are left.
    Never,
}

/// `retry`: how long a failed item waits for its next attempt: doubling from `delay` to `max`, with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retry {
    /// After the first failure; zero: at once, each time.
    pub delay: Duration,
    /// No delay is longer.
    pub max: Duration,
}

/// `when_failing`: what a stage does with its items when it seems that it is not they that are at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u64)]
pub enum WhenFailing {
    /// They wait, and one at a time is tried.
    #[default]
    Wait = 0,
    /// The run ends, and they stay where they are.
    Stop = 1,
    /// Each is charged as if it were the only one, and is a dead letter after its last attempt.
    DeadLetter = 2,
}

impl WhenFailing {
    pub(crate) fn from_word(word: u64) -> WhenFailing {
        match word {
            1 => WhenFailing::Stop,
            2 => WhenFailing::DeadLetter,
            _ => WhenFailing::Wait,
        }
    }
}
