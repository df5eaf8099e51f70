//! Queues in shared memory that survive a kill -9 of any process, at any instruction.
//!
//! One *arena* (one memory file) holds all queues of a run: one robust lock, one small redo log, and everything
//! that the queues and the workers need. A worker works on it through a [`WorkerHandle`], the supervisor through a
//! [`QueueAdmin`]. It knows bytes, not stages.
//!
//! # Rooms, by who may touch what
//!
//! `arena`: the memory itself, its places and single words. `transaction`: what happens under the lock. On these stand
//! `worker` and `admin`, which know nothing of each other, and `recovery`, which continues with what is left of a run.
//!
//! # Layout
//!
//! ```text
//! header | lock | commit word | identity | journal | queue[4096] | class[25] | label[4096] | stage[4096] | slot[4096] | ring[4096] | returned[4096] | delayed[4096] | free stacks | heap
//! ```
//!
//! All of it is virtual and sparse; only touched pages cost. Everything is either *array + count* (rings, returned
//! stacks, free stacks, delayed items) or *table + bitmap* (a worker's holdings). So a change is prepared in cells that the
//! committed state calls free, and published by changing a few control words through the journal, see `transaction/tx.rs`.
//!
//! # Invariants
//!
//! * A block is in exactly one place: a free stack, a worker's holdings, a ring slot, a returned stack, the
//!   delayed items, the places of a window. An *extent*, a block with the items of one put, may be in several, each with items of its own that
//!   follow each other: the count in its head is that of all of them, see `arena/extent.rs`.
//! * `put = done + waiting + delayed + leased + dropped + dead` for every queue, at every moment: these are differences of
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
//! | after commit word = 0, before events advance or waiters are woken | published, waiters asleep | release: wakes all who wait on its queues |
//! | after the unlock, before the lock's wake | a waiter asleep on a free lock | the kernel, or release's first wake |
//! | asleep anywhere | nothing: waiters are not counted | – |
//! | woken, before passing the wake-up on | others asleep beside something to do | release: wakes all who wait on its queues |
//! | after outputs were printed or written outside, before the commit | the item is still leased | release: it goes back; outside effects are at least once |
//! | between `begin` and `rest` | the begun mark | release: that item gets attempt + 1 |
//! | writing an extent's head, before the commit | a head in a block that is only reserved | release: back to the free stack |
//! | with an extent of which a part is published | the part; the rest is no item yet | release: the rest is taken off the extent's count |
//! | cutting a worker's items in front of one that goes its own way | the same items, in one entry or in two | nothing: both say the same |
//! | taking a part of a slot's items, or ending a part of an entry's | all or nothing of the transaction | – |
//! | copying a failed item out of its extent | a copy in a block that is free | the next user of the block |
//! | delaying an item, or taking one that is due | see `transaction/delayed.rs` | – |
//! | counting a failure, a success or a probe of a stage | see `transaction/failing.rs` | – |
//! | putting a commit into its stage's line, or an item that comes from a broker | see `worker/shared.rs` and `link/arena.rs` | – |
//! | giving a dead worker's letter to its stage's line | all or nothing of the transaction that ends the item | the next call: the item is begun no more |
//! | leaving a note beside a token | the note before, none, or the new one | the next holder of the token: see `arena/note.rs` |
//! | showing an item of a tapped queue | a sample half written, the wish still there | the next put |
//! | putting outputs in the order of their items | see `transaction/window.rs` | – |
//! | after the dead letter was written, before `WorkerHandle::dead_letter` | the letter, and the lease | release: once more, so a letter may appear twice, with the same id |
//! | at the bucket of its stage's `rate` | one word, old or new | nothing: see `arena/rate.rs` |
//! | asking for the birth of a queue | one word: none, or the birth | nothing: see `arena/birth.rs` |
//! | beginning or ending a wait | one word, old or new | nothing: see `arena/worker_time.rs` |
//! | growing a ring | a half-written copy in an unused area | nothing: the old one still counts |
//! | giving back a burst's memory | a free block without pages | nothing: the next user gets new ones |
//! | shrinking a ring, before its pages are given back | pages that hold nothing | the next shrink |
//! | the supervisor in `release` | some holdings given back, each in one transaction | the next call of release |
//! | the supervisor in `set_queue`, `remove_queue`, `seed`, `put_back` | all or nothing of each transaction | – |
//! | between `set_queues_of` and `set_stage_of` | a slot without a stage | nothing: its failures count for none |
//! | between `open_slot` and the counts of `set_queues_of` | a slot whose queues are not known | nothing: its release wakes all of all queues |
//! | the supervisor in `open_stage` | some words of a stage without workers are zero | its next start: the rest |
//! | between `set_label` and `set_queue` | the label of a queue that is not in use | nothing: it is not read |
//! | between `set_queue` and `seed` of a token | a token queue without a token | the next run: seeds it |
//! | making room in a file, before the transaction that counts it | pages that nothing points to | nothing: made again |
//! | cooling a block, before its pages are given back | a cold block with pages | its next user |
//! | all processes at once | any of the above | [`QueueAdmin::recover`]: the stale lock, the redo, a release of every slot, the audit; it may die too |
//! | the machine, with a file in use | pages of any age | [`Arena::open_file`] sees another boot and no clean end, and sets it aside; what was saved of it last (see `transaction/checkpoint.rs`) takes its place, or an empty one |
//!
//! A worker that is *stopped* inside the lock (SIGSTOP) holds up the others for 50 ms to 100 ms; then the first waiter
//! kills it (see `transaction/stall.rs`).
//!
//! The algorithm follows the robust-futex protocol of Linux and the usual redo logging; what is new is only that the
//! log is as small as one transaction.

mod admin;
mod arena;
mod recovery;
mod transaction;
mod worker;

#[cfg(test)]
mod tests;

pub use crate::model::{ItemFailure, Limits, Rate, RateUnit, Retry, Tuning, WhenFailing, WhenFull};
pub use admin::{
    DeadLetterCandidate, Death, Failing, FailureAttribution, NextItem, PutBack, QueueAdmin, Released,
    SlotReport, WindowState,
};
pub use arena::attach::Arena;
pub use arena::birth::Origin;
pub use arena::fault::Fault;
pub use arena::identity::{Identity, User};
pub use arena::ids::{QueueId, SlotId, StageId};
#[cfg(any(test, feature = "inject"))]
pub use arena::inject;
pub use arena::item_times::{ITEM_TIME_BOUNDS, ItemTimes};
pub use arena::layout::{
    HOLDINGS, MAX_BATCH, MAX_CAPACITY, MAX_FAN, MAX_ITEM, MAX_QUEUES, MAX_SLOTS, MAX_STAGES, NOTE_WORDS,
};
pub use arena::orders::{Ending, Order, Phase};
pub use arena::worker_time::{Waiting, WorkTimes};
pub use recovery::{LabelledQueue, LoneItem, Opened, Replaced};
pub use transaction::checkpoint::Durability;
pub use transaction::counts::QueueCounts;
pub use transaction::delayed::Delay;
pub use transaction::tap::ItemPreview;
pub use worker::{
    Committed, Failed, Lease, Listener, MAX_BLOCKS, News, PutError, QueueWaiter, SharedQueues, Taken, Wait,
    WorkerHandle,
};
