//! Names for the things that the supervisor keeps track of.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// A stage of this run. Never used twice: a stage that is removed and added again gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StageKey(pub u32);

/// One worker's place in a stage. Several processes may fill it, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkerId {
    pub stage: StageKey,
    /// `MPRUN_WORKER`: 0, 1, …
    pub index: u32,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestId(pub u64);

/// A process, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pid(pub u32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Numbers `0 .. limit`, handed out lowest first so that only few pages of shared memory are touched.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// Never taken yet.
    fresh: Range<u16>,
    free: BTreeSet<u16>,
}

impl Pool {
    /// All of `0 .. limit` are free.
    pub(crate) fn new(limit: u16) -> Pool {
        Pool { fresh: 0..limit, free: BTreeSet::new() }
    }

    /// A free number, if there is one.
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.free.pop_first().or_else(|| self.fresh.next())
    }

    /// Takes this very number; false if it is taken.
    pub(crate) fn claim(&mut self, number: u16) -> bool {
        if self.fresh.contains(&number) {
            self.free.extend(self.fresh.start..number);
            self.fresh.start = number + 1;
            return true;
        }
        self.free.remove(&number)
    }

    /// Takes a number back.
    pub(crate) fn give(&mut self, number: u16) {
        debug_assert!(number < self.fresh.start, "{number} was never handed out");
        let new = self.free.insert(number);
        debug_assert!(new, "{number} was given back twice");
    }

    /// How many can still be taken.
    pub(crate) fn available(&self) -> usize {
        self.fresh.len() + self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_hands_out_each_number_once_and_the_lowest_first() {
        let mut pool = Pool::new(3);
        assert_eq!((pool.take(), pool.take(), pool.take(), pool.take()), (Some(0), Some(1), Some(2), None));
        pool.give(2);
        pool.give(0);
        assert_eq!(pool.available(), 2);
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(0), Some(2), None));
    }

    #[test]
    fn a_number_can_be_claimed_once() {
        let mut pool = Pool::new(4);
        assert!(pool.claim(2) && !pool.claim(2) && !pool.claim(4));
        assert!(pool.claim(0) && pool.available() == 2);
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(1), Some(3), None));
    }
}
