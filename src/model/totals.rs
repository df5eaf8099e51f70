//! What became of items, counted.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// What a worker, a stage or a pipeline has done. A leased item is done, is dead, went back into its queue, or is at
/// hand still. So over all stages that read a queue, `done` and `dead` add up to what the queue's own ledger says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Items leased. One that went back and was leased again counts twice: workers take more than they may come to do,
    /// and a failed item is tried again. A source's own are only its position.
    pub taken: u64,
    /// Leases that ended well.
    pub done: u64,
    /// Items published, or printed.
    pub emitted: u64,
    /// Items that became dead letters, also by the supervisor, for a worker that died of them.
    pub dead: u64,
    /// What was read and was too long to become an item: dead letters of their own kind, which no queue has seen.
    #[serde(default)]
    pub too_long: u64,
    /// Lines that may be twice in a file, because another program wrote there when a worker was killed.
    #[serde(default)]
    pub repeated: u64,
    /// About how many items programs with `mode = "stream"` had in hand when they ended: they may be lost.
    #[serde(default)]
    pub perhaps_lost: u64,
}

impl Totals {
    /// Whether an item was done, or made.
    pub(crate) fn has_effect(&self) -> bool {
        self.done + self.emitted > 0
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Totals) {
        self.taken += more.taken;
        self.done += more.done;
        self.emitted += more.emitted;
        self.dead += more.dead;
        self.too_long += more.too_long;
        self.repeated += more.repeated;
        self.perhaps_lost += more.perhaps_lost;
    }
}

/// Dead letters of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadLetterCounts {
    /// Of items.
    pub items: u64,
    /// Of what was too long to become one.
    pub too_long: u64,
}

impl DeadLetterCounts {
    /// Both kinds.
    pub(crate) fn all(self) -> u64 {
        self.items + self.too_long
    }

    /// The letters that were neither put back nor dropped, where the file has `in_file` letters of the run. What was
    /// too long can't be put back: it is counted first.
    pub(crate) fn among(self, in_file: u64) -> DeadLetterCounts {
        let too_long = self.too_long.min(in_file);
        DeadLetterCounts { items: self.items.min(in_file - too_long), too_long }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_were_put_back_or_dropped_are_not_there_any_more() {
        let written = DeadLetterCounts { items: 3, too_long: 2 };
        let counts = |items, too_long| DeadLetterCounts { items, too_long };
        assert_eq!(written.among(9), written);
        assert_eq!((written.among(4), written.among(2)), (counts(2, 2), counts(0, 2)));
        assert_eq!(written.among(0), counts(0, 0));
    }
}
