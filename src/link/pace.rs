//! How many items of a shared queue wait on this machine: what its workers take in a moment, for what waits here nobody else can do.

use std::time::{Duration, Instant};

/// Items wait for this long, about: longer than the way to the broker and back.
const AHEAD: Duration = Duration::from_millis(100);

pub(super) struct Pace {
    /// The last window that is over: items taken in [`AHEAD`].
    last: u64,
    since: Instant,
    taken_before: u64,
}

impl Pace {
    pub(super) fn new(taken: u64, now: Instant) -> Pace {
        Pace { last: 0, since: now, taken_before: taken }
    }

    /// Items that should wait, at least one. `taken`: those that workers have ever taken.
    pub(super) fn wanted(&mut self, taken: u64, now: Instant) -> usize {
        let (new, time) =
            (taken.saturating_sub(self.taken_before), now.saturating_duration_since(self.since));
        if time >= AHEAD {
            self.last = (new as f64 * AHEAD.as_secs_f64() / time.as_secs_f64()).ceil() as u64;
            (self.since, self.taken_before) = (now, taken);
        }
        usize::try_from(self.last.max(new)).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_workers_have_more_waiting_and_slow_ones_one_item() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(1000, start);
        assert_eq!(pace.wanted(1000, start), 1);
        assert_eq!(pace.wanted(1003, at(1)), 3, "as soon as they are fast");
        assert_eq!(pace.wanted(1200, at(200)), 200);
        assert_eq!(pace.wanted(1200, at(250)), 100, "what the last moment says");
        assert_eq!(pace.wanted(1201, at(10_200)), 1);
        assert_eq!(pace.wanted(1201, at(10_500)), 1);
    }
}
