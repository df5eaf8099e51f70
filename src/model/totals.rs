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
