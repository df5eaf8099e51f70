//! Spinning on a word that another processor is about to change: with ever longer pauses.
//!
//! Each load takes the word's cache line away from the processor that works on it, some 100 ns to fetch back. Loads
//! without pauses slow down the very work that they wait for (figures in `docs/design/decisions.md`).

use crate::queue::arena::inject;

/// Pauses between two loads, at most: some 1.5 µs.
pub(crate) const MAX_PAUSES: u32 = 64;

/// A bounded number of pauses of the processor, some 25 ns each (45 on Intel's).
pub(crate) struct Backoff {
    /// Before the first load.
    first: u32,
    spent: u32,
    most: u32,
}

impl Backoff {
    /// One pause before the first load, then ever more.
    pub(crate) fn new(most: u32) -> Backoff {
        Backoff::from(1, most)
    }

    /// `first` pauses before the first load.
    pub(crate) fn from(first: u32, most: u32) -> Backoff {
        Backoff { first, spent: 0, most }
    }

    /// Pauses before the next load; false, at once, if there were `most`.
    #[inline]
    pub(crate) fn pause(&mut self) -> bool {
        if self.spent >= self.most {
            return false;
        }
        let n = (self.spent / 4 + self.first).min(MAX_PAUSES);
        (0..n).for_each(|_| inject::spin());
        self.spent += n;
        true
    }
}
