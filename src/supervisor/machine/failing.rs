//! A stage in which different items fail one after the other, as the machine remembers it.

use std::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub since: Instant,
    /// Of the time since then, that in which the run ended by itself: what is known of that may change.
    pub ends_since: Instant,
    /// Why the last item failed.
    pub last_words: String,
}
