//! `recycle`: when a worker has served long enough.

use super::stop::Stop;
use crate::config::pipeline::Recycle;
use crate::queue::Ending;
use crate::sys::proc_table;
use std::time::{Duration, Instant};

/// Memory and age are looked at no more often.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Recycling {
    limits: Recycle,
    start: Instant,
    looked: Instant,
    items: u64,
    /// The process whose memory counts, without the queues' shared pages.
    measured: u32,
}

impl Recycling {
    pub(super) fn new(limits: Recycle) -> Recycling {
        let start = Instant::now();
        Recycling { limits, start, looked: start, items: 0, measured: std::process::id() }
    }

    /// The memory of this program counts, not that of the worker.
    pub(super) fn watch(&mut self, program: u32) {
        self.measured = program;
    }

    /// Items that may still be taken or emitted before it is time.
    pub(super) fn items_left(&self) -> usize {
        let left = self.limits.items.map_or(u64::MAX, |limit| limit.saturating_sub(self.items));
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// More items were done.
    pub(super) fn count(&mut self, items: usize) {
        self.items += items as u64;
    }

    /// Between two steps: is it time?
    pub(super) fn check(&mut self) -> Result<(), Stop> {
        if self.items_left() == 0 || self.is_old_or_large() { Err(Stop(Ending::Recycled)) } else { Ok(()) }
    }

    fn is_old_or_large(&mut self) -> bool {
        if self.limits.age.is_none() && self.limits.memory.is_none() {
            return false;
        }
        let now = Instant::now();
        if now.duration_since(self.looked) < CHECK_INTERVAL {
            return false;
        }
        self.looked = now;
        self.limits.age.is_some_and(|limit| now.duration_since(self.start) >= limit)
            || self
                .limits
                .memory
                .is_some_and(|limit| proc_table::private_memory(self.measured).is_some_and(|has| has > limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_so_many_items_it_is_time() {
        let mut recycling = Recycling::new(Recycle { items: Some(3), ..Recycle::default() });
        assert_eq!(recycling.items_left(), 3);
        recycling.count(2);
        assert!(recycling.check().is_ok());
        recycling.count(1);
        assert_eq!(recycling.check(), Err(Stop(Ending::Recycled)));
    }

    #[test]
    fn without_limits_it_is_never_time() {
        let mut recycling = Recycling::new(Recycle::default());
        recycling.count(1_000_000);
        assert!(recycling.check().is_ok());
    }
}
