//! `recycle`: when a worker has served long enough.

use super::stop::Stop;
use crate::config::pipeline::Recycle;
use crate::queue::Ending;
use std::time::{Duration, Instant};

/// Memory and age are looked at no more often.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Recycling {
    limits: Recycle,
    start: Instant,
    looked: Instant,
    items: u64,
    measured: Measured,
}

/// The process whose memory counts.
#[derive(Clone, Copy)]
enum Measured {
    Worker,
    Program(u32),
}

impl Recycling {
    pub(super) fn new(limits: Recycle) -> Recycling {
        let start = Instant::now();
        Recycling { limits, start, looked: start, items: 0, measured: Measured::Worker }
    }

    /// The memory of this program counts, not that of the worker.
    pub(super) fn watch(&mut self, program: u32) {
        self.measured = Measured::Program(program);
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
                .is_some_and(|limit| resident(self.measured).is_some_and(|bytes| bytes > limit))
    }
}

/// The process's resident memory in bytes, without the queues' shared pages.
fn resident(process: Measured) -> Option<u64> {
    let statm = match process {
        Measured::Worker => std::fs::read_to_string("/proc/self/statm"),
        Measured::Program(pid) => std::fs::read_to_string(format!("/proc/{pid}/statm")),
    }
    .ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    private_pages(&statm).map(|pages| pages * page.cast_unsigned())
}

/// From "size resident shared …": queue memory that the worker has touched is shared, and not its own.
fn private_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
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

    #[test]
    fn shared_pages_are_not_the_workers_own() {
        assert_eq!(private_pages("5000 1200 200 1 0 900 0\n"), Some(1000));
        assert!(resident(Measured::Worker).is_some());
    }
}
