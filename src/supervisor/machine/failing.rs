//! Stages in which different items fail one after the other, as the machine remembers them.

use super::ids::StageKey;
use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct FailingStages {
    /// Those that are failing now.
    pub now: BTreeMap<StageKey, Failing>,
    /// Since when stages were failing at an upgrade, until the queues' memory says whether they are.
    pub before: BTreeMap<StageKey, Instant>,
    /// Since when the run ends by itself, if it does.
    pub run_ends_since: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub since: Instant,
    /// Why the last item failed.
    pub last_words: String,
}
