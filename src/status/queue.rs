//! One queue and its ledger.

use crate::model::WhenFull;
use serde::{Deserialize, Serialize};

/// One queue: `put = done + waiting + delayed + leased + dropped + dead`, at every moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueStatus {
    /// Its name.
    pub name: String,
    /// Items that may wait.
    pub capacity: u64,
    /// Bytes that its items may take.
    pub max_bytes: u64,
    /// What a put on a full queue does.
    pub when_full: WhenFull,
    /// Items ever put, the dropped ones included.
    pub put: u64,
    /// Waiting now.
    pub waiting: u64,
    /// Waiting for their time: they have failed, and are tried again later.
    #[serde(default)]
    pub delayed: u64,
    /// With workers now.
    pub leased: u64,
    /// Ended well.
    pub done: u64,
    /// Dropped by `when_full`.
    pub dropped: u64,
    /// Ended as dead letters.
    pub dead: u64,
    /// Bytes of items longer than 8 bytes, rounded up to powers of two: waiting, leased and about to be put.
    pub bytes: u64,
    /// No stage will ever put again.
    pub ended: bool,
    /// No stage will ever take again.
    pub closed: bool,
    /// It lies in a broker: what is counted here is this machine's part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// It isn't in the file any more.
    pub leaving: bool,
    /// The stages that take from it.
    pub readers: Vec<String>,
    /// The stages that put into it.
    pub writers: Vec<String>,
}

impl QueueStatus {
    /// Items for which the ledger does not account: 0, or something is very wrong.
    pub(crate) fn unaccounted(&self) -> i128 {
        let ends = [self.done, self.waiting, self.delayed, self.leased, self.dropped, self.dead];
        i128::from(self.put) - ends.into_iter().map(i128::from).sum::<i128>()
    }

    /// How full it is, 0 ..= 1: by items or by bytes, whichever is nearer to its bound.
    pub(crate) fn fullness(&self) -> f64 {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        share(self.waiting + self.delayed, self.capacity).max(share(self.bytes, self.max_bytes)).min(1.0)
    }
}
