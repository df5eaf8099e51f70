//! Looking at a word that another processor is about to change: ever less often.
//!
//! Each look takes the word's cache line away from whoever works on it, some 100 ns to fetch back. Looks that follow each
//! other without a pause slow down the very work that they wait for (figures in `docs/design/decisions.md`).

use super::inject;

/// Pauses between two looks, at most: some 1.5 µs.
pub(super) const LONGEST: u32 = 64;

/// A wait for so many pauses of the processor in all, some 25 ns each (45 on Intel's).
pub(super) struct Backoff {
    /// Before the first look.
    first: u32,
    spent: u32,
    most: u32,
}

impl Backoff {
    /// One pause before the first look, then ever more.
    pub fn new(most: u32) -> Backoff {
        Backoff::from(1, most)
    }

    /// So many before the first look.
    pub fn from(first: u32, most: u32) -> Backoff {
        Backoff { first, spent: 0, most }
    }

    /// Pauses before the next look; false, at once, if it was enough.
    #[inline]
    pub fn pause(&mut self) -> bool {
        if self.spent >= self.most {
            return false;
        }
        let n = (self.spent / 4 + self.first).min(LONGEST);
        (0..n).for_each(|_| inject::spin());
        self.spent += n;
        true
    }
}
