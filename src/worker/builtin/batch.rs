//! How many items a worker takes at once: many only while they take next to no time, so that a slow stage never hoards
//! what another worker could do.

use std::time::{Duration, Instant};

/// A batch should not take longer.
const BATCH_SPAN: Duration = Duration::from_micros(100);
/// Items at once, at most.
const LARGEST_BATCH: usize = 512;
/// In a larger batch the clock is read after this many items.
const CLOCK_INTERVAL: usize = 8;

/// The size of the next batch, learnt from the ones before.
pub(crate) struct Batch {
    size: usize,
    largest: usize,
}

/// One batch under way.
pub(crate) struct Stopwatch {
    start: Instant,
    interval: usize,
}

impl Batch {
    /// `largest`: a stage may have reasons for less than the usual maximum.
    pub(crate) fn new(largest: usize) -> Batch {
        Batch { size: 1, largest: largest.min(LARGEST_BATCH) }
    }

    /// How many items to take.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn start(&self) -> Stopwatch {
        let interval = if self.size <= 2 * CLOCK_INTERVAL { 1 } else { CLOCK_INTERVAL };
        Stopwatch { start: Instant::now(), interval }
    }

    /// `done` items took `took`.
    pub(crate) fn learn(&mut self, done: usize, took: Duration) {
        if took > BATCH_SPAN {
            let fitting = done as u128 * BATCH_SPAN.as_nanos() / took.as_nanos();
            self.size = (fitting as usize).clamp(1, self.largest);
        } else if done >= self.size {
            self.size = (self.size * 2).min(self.largest);
        }
    }

    /// After a failure: one at a time, until things go well again.
    pub(crate) fn restart(&mut self) {
        self.size = 1;
    }
}

impl Stopwatch {
    /// Whether it is time to publish, after `done` items.
    #[inline]
    pub(crate) fn is_over(&self, done: usize) -> bool {
        done.is_multiple_of(self.interval) && self.elapsed() > BATCH_SPAN
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(20);

    #[test]
    fn batches_grow_while_whole_ones_are_quick() {
        let mut batch = Batch::new(LARGEST_BATCH);
        let sizes: Vec<usize> = (0..12)
            .map(|_| {
                let size = batch.size();
                batch.learn(size, FAST);
                size
            })
            .collect();
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]);
    }

    #[test]
    fn a_batch_that_was_not_full_says_nothing_about_larger_ones() {
        let mut batch = Batch::new(LARGEST_BATCH);
        batch.learn(1, FAST);
        batch.learn(1, FAST);
        assert_eq!(batch.size(), 2);
    }

    #[test]
    fn slow_items_are_taken_one_at_a_time() {
        let mut batch = Batch::new(LARGEST_BATCH);
        (0..20).for_each(|_| batch.learn(batch.size(), FAST));
        batch.learn(40, Duration::from_micros(400));
        assert_eq!(batch.size(), 10);
        batch.learn(3, Duration::from_secs(1));
        assert_eq!(batch.size(), 1);
        batch.learn(1, Duration::from_millis(1));
        assert_eq!(batch.size(), 1);
    }

    #[test]
    fn a_stage_may_want_smaller_batches() {
        let mut batch = Batch::new(32);
        (0..20).for_each(|_| batch.learn(batch.size(), FAST));
        assert_eq!(batch.size(), 32);
    }
}
