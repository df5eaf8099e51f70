//! Memory that long items needed: kept while more of them come, for to get it anew costs as much as to copy them.

use super::StreamLoop;
use std::time::{Duration, Instant};

/// Given back when none has come for so long.
const IDLE: Duration = Duration::from_secs(1);
/// Bytes of a program's output that there is always room for.
const KEPT: usize = 1 << 20;

impl StreamLoop<'_> {
    /// Gives back what has not been needed for long. Returns when to look again, if there is some.
    pub(crate) fn tidy(&mut self) -> Option<Instant> {
        if !self.decoder.has_slack(KEPT) && !self.feed.has_slack() {
            self.slack_ends = None;
            return None;
        }
        let now = Instant::now();
        let ends = *self.slack_ends.get_or_insert(now + IDLE);
        if ends > now {
            return Some(ends);
        }
        self.decoder.shrink(KEPT);
        self.feed.shrink();
        self.slack_ends = None;
        None
    }
}
