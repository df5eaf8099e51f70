//! Queues in shared memory that survive a kill -9 of anybody, at any instruction.
//!
//! One *arena* (one memory file) holds all queues of a run: one robust lock, one small redo log, and everything
//! that the queues and the workers need. A worker works on it through a [`WorkerHandle`], the supervisor through a
//! [`QueueAdmin`]. It knows bytes, not stages.
//!
//! # Layout
//!
//! ```text
//! header | lock | commit word | identity | journal | queue[256] | class[25] | label[256] | slot[4096] | ring[256] | returned[256] | free stacks | heap
//! ```
//!
//! All of it is virtual and sparse; only touched pages cost. Everything is either *array + count* (rings, returned
//! stacks, free stacks) or *table + bitmap* (a worker's holdings). So a change is prepared in cells that the
//! committed state calls free, and published by changing a few control words through the journal, see [`tx`](self).
//!
//! # Invariants
//!
//! * A block is in exactly one place: a free stack, a worker's holdings, a ring slot, a returned stack.
//! * `put = done + waiting + leased + dropped + dead` for every queue, at every moment: these are differences of
//!   words that change in one transaction.
//! * What is leased is in the table of exactly one slot. Returned items are served before the ring, so returned and
//!   leased together never exceed what the slots can hold, and giving back needs no room.
//!
//! # Crash table
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | while staging short outputs | nothing: private memory | – |
//! | with blocks reserved, while filling them | holdings marked as blocks, half-written | [`QueueAdmin::release`]: back to the free stack |
//! | asking for the lock | nothing | – |
//! | in a transaction, before the commit word | scratch in free cells; the lock | the kernel passes the lock on; the next owner overwrites |
//! | **after the commit word** | decided: it happened | the next owner redoes all words of the victim's journal (absolute values); it may die there too, and so on |
//! | while applying, before commit word = 0 | old and new words mixed | the same redo |
//! | a one-word transaction | done or not done | – |
//! | after commit word = 0, before events are rung or sleepers woken | published, sleepers asleep | release: wakes everybody |
//! | after the unlock, before the lock's wake | a waiter asleep on a free lock | the kernel, or release's first wake |
//! | asleep anywhere | nothing: nobody counts sleepers | – |
//! | woken, before passing the wake-up on | others asleep beside something to do | release: wakes everybody |
//! | after outputs were printed or written outside, before the commit | the item is still leased | release: it goes back; outside effects are at least once |
//! | between `begin` and `rest` | the begun mark | release: that item gets attempt + 1 |
//! | showing an item to whoever taps its queue | a sample half written, the wish still there | the next put |
//! | after the dead letter was written, before `bury` | the letter, and the lease | release: once more, so a letter may appear twice, with the same id |
//! | beginning or ending a wait | one word, old or new | nothing: see `worker_time` |
//! | growing a ring | a half-written copy in an unused area | nothing: the old one still counts |
//! | giving back a burst's memory | a free block without pages | nothing: the next user gets new ones |
//! | shrinking a ring, before its pages are given back | pages that hold nothing | the next shrink |
//! | the supervisor in `release` | some holdings given back, each in one transaction | whoever calls release again |
//! | the supervisor in `set_queue`, `remove_queue`, `seed`, `put_back` | all or nothing of each transaction | – |
//! | between `set_label` and `set_queue` | the label of a queue that is not in use | nothing: it is not looked at |
//! | between `set_queue` and `seed` of a token | a token queue without a token | whoever inherits it: seeds it |
//! | making room in a file, before the transaction that counts it | pages that nothing points to | nothing: made again |
//! | cooling a block, before its pages are given back | a cold block with pages | its next user |
//! | everybody at once | any of the above | [`QueueAdmin::inherit`]: the stale lock, the redo, a release of every slot, the audit; it may die too |
//! | the machine, with a file in use | pages of any age | [`Arena::open_file`] sees another boot and no clean end, and sets it aside; what was saved of it last (see `saving`) takes its place |
//!
//! A worker that is *stopped* inside the lock (SIGSTOP) holds up the others for 50 ms to 100 ms; then the first of them that waits
//! kills it (see `stall`).
//!
//! The algorithm follows the robust-futex protocol of Linux and the usual redo logging; what is new is only that the
//! log is as small as one transaction.

mod ahead;
mod audit;
mod backoff;
mod claim;
mod counts;
mod descriptor;
mod disk;
mod drop_old;
mod event;
#[cfg(test)]
mod explored;
mod fault;
mod file;
mod futex;
mod hand;
mod holdings;
mod identity;
mod image;
mod inherit;
/// Places to die, for crash tests.
#[cfg(any(test, feature = "inject"))]
pub mod inject;
#[cfg(not(any(test, feature = "inject")))]
mod inject;
#[cfg(miri)]
mod interpreted;
mod layout;
mod lock;
mod memory;
mod port;
mod put_back;
mod release;
mod restore;
mod ring;
mod saving;
mod stall;
mod steward;
mod tap;
mod trim;
mod tuning;
mod tx;
mod word;
mod worker_time;

#[cfg(test)]
mod tests;

pub use crate::model::{Limits, Tuning as SlotTuning, WhenFull};
pub use counts::QueueCounts;
pub use fault::Fault;
pub use file::{Opened, Saved};
pub use identity::{Identity, User};
pub use inherit::Inherited;
pub use layout::{HOLDINGS, MAX_BATCH, MAX_CAPACITY, MAX_FAN, MAX_ITEM, MAX_QUEUES, MAX_SLOTS};
pub use memory::Arena;
pub use port::{Committed, Lease, MAX_BLOCKS, PutError, Sleeper, Taken, Wait, WorkerHandle};
pub use put_back::PutBack;
pub use release::{DeadLetterCandidate, FailureAttribution, Look, Released};
pub use saving::Safety;
pub use steward::{Phase, QueueAdmin, SlotReport};
pub use word::{Ending, Order};
pub use worker_time::{ITEM_TIME_BOUNDS, ItemTimes, Waiting, WorkTimes};

/// A queue of an arena, `0 .. MAX_QUEUES`. The supervisor owns which is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct QueueId(pub u16);

/// A worker's place in an arena, `0 .. MAX_SLOTS`. The supervisor owns which is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct SlotId(pub u16);
