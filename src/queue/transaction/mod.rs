//! What happens under the lock: one transaction at a time, which becomes valid by one store.
//!
//! The mechanism (`lock`, `tx`, `event`, `checkpoint`) knows words; what stands above it knows what they mean: blocks,
//! rings, holdings, counts. Workers and the supervisor work through these only.

pub(super) mod backoff;
pub(super) mod blocks;
pub(super) mod checkpoint;
pub(super) mod counts;
pub(super) mod delayed;
pub(super) mod drop_old;
pub(super) mod event;
pub(super) mod failing;
pub(super) mod holdings;
pub(super) mod lock;
pub(super) mod oldest;
pub(super) mod outage;
pub(super) mod places;
mod references;
pub(super) mod returned;
pub(super) mod ring;
pub(super) mod session;
mod stall;
pub(super) mod tap;
pub(super) mod trim;
pub(super) mod tx;
pub(super) mod window;
