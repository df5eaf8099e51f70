//! The words of the head of the arena, which are there once.

use crate::queue::arena::place::{At, WordAt, Words};

/// The words by which an arena is known, see `layout::header`.
pub(crate) const HEADER: At<Words> = At::new(0);
pub(crate) const LOCK: At<u32> = At::new(64);
/// The commit word: which journal holds a decided transaction, and of how many words; 0: none. In a line of its own:
/// waiters for the lock keep reading the lock's line.
pub(crate) const DECIDED: WordAt = At::new(128);
/// Locks taken over from dead owners.
pub(crate) const TAKEOVERS: WordAt = At::new(192);
/// Transactions finished for dead workers.
pub(crate) const REDONE: WordAt = At::new(200);
/// Workers that are stopped now: a wake-up must not rely on one waiter.
pub(crate) const STOPPED: WordAt = At::new(208);
/// Slots `0 .. OPENED` were ever used: the others' pages need not be read.
pub(crate) const OPENED: WordAt = At::new(216);
/// What has to survive a power cut: see `transaction/checkpoint.rs`.
pub(crate) const DURABILITY: WordAt = At::new(224);
/// Queues `0 .. OPENED_QUEUES` were ever used: the others' pages need not be read.
pub(crate) const OPENED_QUEUES: WordAt = At::new(232);

/// The place of the queue whose next item is to be shown; 0: none. Every put reads it: a line that hardly changes.
pub(crate) const TAP: WordAt = At::new(3072);
