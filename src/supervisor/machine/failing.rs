//! What fails again and again, as the machine remembers it: different items of a stage, runs of a schedule.

use super::reason::End;
use std::time::Instant;

/// A stage in which different items fail one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub since: Instant,
    /// Of the time since then, that in which the run ended by itself: what is known of that may change.
    pub ends_since: Instant,
    /// Why the last item failed.
    pub last_words: String,
}

/// Runs of one worker that have failed one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FailedRuns {
    /// When the first of them ended.
    pub since: Instant,
    /// How the last of them ended.
    pub last: End,
}
