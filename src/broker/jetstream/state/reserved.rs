//! What the reserve has been made for, and what is left of it.

use serde::{Deserialize, Serialize};

/// Bytes that a queue may hold while the store is full.
pub(in crate::broker::jetstream) const SHARE: u64 = 64 << 10;
/// Bytes of requests, beside snapshots and shares.
pub(in crate::broker::jetstream) const REQUESTS: u64 = 1 << 20;

/// What the reserve has been made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Reserved {
    /// See [`super::State::weight`].
    pub weight: u64,
    /// Bytes of a commit's outputs.
    pub share: u64,
}

impl Reserved {
    pub(in crate::broker::jetstream) fn or(self, other: Reserved) -> Reserved {
        Reserved { weight: self.weight.max(other.weight), share: self.share.max(other.share) }
    }

    /// Bytes of the reserve, where a snapshot is longer than its weight by `more`.
    pub(in crate::broker::jetstream) fn bytes(self, queues: usize, more: u64) -> u64 {
        REQUESTS + 2 * (self.weight + more) + queues as u64 * SHARE + 2 * (self.share.max(SHARE) - SHARE)
    }
}

/// What is left of it for the commits of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub is_short: bool,
    pub left: u64,
    pub share: u64,
}
