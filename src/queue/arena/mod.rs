//! The memory that a run's processes share: where everything lies, how it is mapped, and what its single words mean.
//!
//! Nothing here takes the lock or knows a transaction.

pub(super) mod attach;
pub(super) mod birth;
pub(super) mod descriptor;
#[cfg(test)]
pub(super) mod explored;
pub(super) mod extent;
pub(super) mod fault;
pub(super) mod futex;
pub(super) mod identity;
pub(super) mod ids;
/// Places to die, for crash tests.
#[cfg(any(test, feature = "inject"))]
pub mod inject;
#[cfg(not(any(test, feature = "inject")))]
pub(super) mod inject;
#[cfg(miri)]
pub(super) mod interpreted;
pub(super) mod item_times;
pub(super) mod last_words;
pub(super) mod layout;
pub(super) mod memory;
pub(super) mod note;
pub(super) mod orders;
pub(super) mod pages;
pub(super) mod place;
pub(super) mod prefetch;
pub(super) mod rate;
pub(super) mod slot_queues;
pub(super) mod tuning;
pub(super) mod worker_time;
