//! A queue's ledger: `put = done + waiting + delayed + leased + dropped + dead`, at every moment.

use super::tx::Tx;
use crate::queue::arena::layout::{self, QueueAt, queue};
use crate::queue::arena::memory::Memory;

/// What became of the items of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueueCounts {
    /// Items ever put, the dropped ones included.
    pub put: u64,
    /// Waiting now.
    pub waiting: u64,
    /// Waiting for their time: they have failed, and are tried again later.
    pub delayed: u64,
    /// Leased to workers now.
    pub leased: u64,
    /// Ended well.
    pub done: u64,
    /// Dropped by `when_full`.
    pub dropped: u64,
    /// Ended as dead letters.
    pub dead: u64,
    /// Bytes of blocks: waiting, leased and staged.
    pub bytes: u64,
}

impl QueueCounts {
    /// All items that are in the queue: waiting, delayed and leased.
    pub fn items(&self) -> u64 {
        self.waiting + self.delayed + self.leased
    }
}

/// The counts as one transaction sees them.
pub(crate) fn counts(tx: &Tx<'_>, queue: QueueAt) -> QueueCounts {
    let dropped_new = tx.get(queue + queue::DROPPED_NEW);
    QueueCounts {
        put: tx.get(queue + queue::TAIL).wrapping_add(dropped_new),
        waiting: waiting(tx, queue),
        delayed: delayed(tx, queue),
        leased: leased(tx, queue),
        done: tx.get(queue + queue::DONE),
        dropped: tx.get(queue + queue::DROPPED_OLD).wrapping_add(dropped_new),
        dead: tx.get(queue + queue::DEAD),
        bytes: tx.get(queue + queue::BYTES),
    }
}

/// Items waiting, as this transaction will leave them.
#[inline]
pub(crate) fn waiting(tx: &Tx<'_>, queue: QueueAt) -> u64 {
    let ring = tx.get(queue + queue::TAIL).wrapping_sub(tx.get(queue + queue::HEAD));
    ring.wrapping_add(tx.get(queue + queue::RETURNED))
}

/// Items delayed, as this transaction will leave them.
#[inline]
pub(crate) fn delayed(tx: &Tx<'_>, queue: QueueAt) -> u64 {
    tx.get(queue + queue::DELAYED)
}

/// All that counts against the capacity: waiting and delayed.
#[inline]
pub(crate) fn queued(tx: &Tx<'_>, queue: QueueAt) -> u64 {
    waiting(tx, queue).wrapping_add(delayed(tx, queue))
}

/// Items that may be queued.
#[inline]
pub(crate) fn capacity(tx: &Tx<'_>, queue: QueueAt) -> u64 {
    tx.get(queue + queue::CAPACITY).saturating_add(tx.get(queue + queue::EXTRA_ROOM))
}

/// Items leased to workers, as this transaction will leave them.
#[inline]
pub(crate) fn leased(tx: &Tx<'_>, queue: QueueAt) -> u64 {
    let out = tx.get(queue + queue::HEAD).wrapping_sub(tx.get(queue + queue::DROPPED_OLD));
    let back = tx.get(queue + queue::RETURNED).wrapping_add(delayed(tx, queue));
    out.wrapping_sub(back).wrapping_sub(tx.get(queue + queue::DONE)).wrapping_sub(tx.get(queue + queue::DEAD))
}

/// No item is in it or leased from it.
#[inline]
pub(crate) fn is_idle(tx: &Tx<'_>, queue: QueueAt) -> bool {
    queued(tx, queue) == 0 && leased(tx, queue) == 0
}

/// No item is left and none will come, and what came of them in order has come out. What waits in a window for this queue
/// counts only while it waits for room there: the rest is behind an item that no worker has any more.
#[inline]
pub(crate) fn is_drained(tx: &Tx<'_>, queue: QueueAt) -> bool {
    let window = || QueueAt::linked(tx.get(queue + queue::WINDOW));
    tx.get(queue + queue::FLAGS) & queue::ENDED != 0
        && is_idle(tx, queue)
        && (tx.get(queue + queue::PENDING) == 0 || tx.get(queue + queue::HELD_UP) == 0)
        && window().is_none_or(|window| tx.get(window + queue::CLOSED_PLACES) == 0)
}

/// Items waiting, read without the lock: right if nothing changes meanwhile, else near.
#[inline]
pub(crate) fn waiting_roughly(memory: &Memory, queue: QueueAt) -> u64 {
    // HEAD first: the tail can only have moved on since, so the difference is never negative for long.
    let (head, returned) = (memory.load(queue + queue::HEAD), memory.load(queue + queue::RETURNED));
    memory.load(queue + queue::TAIL).saturating_sub(head).saturating_add(returned)
}

/// The same of all that counts against the capacity.
#[inline]
pub(crate) fn queued_roughly(memory: &Memory, queue: QueueAt) -> u64 {
    waiting_roughly(memory, queue).saturating_add(memory.load(queue + queue::DELAYED))
}

/// The same of what may be queued.
#[inline]
pub(crate) fn capacity_roughly(memory: &Memory, queue: QueueAt) -> u64 {
    memory.load(queue + queue::CAPACITY).saturating_add(memory.load(queue + queue::EXTRA_ROOM))
}

/// Whether no stage reads the queue any more, read without the lock.
#[inline]
pub(crate) fn is_closed(memory: &Memory, queue: QueueAt) -> bool {
    memory.load(queue + queue::FLAGS) & queue::CLOSED != 0
}

/// The queues that are in use.
pub(crate) fn used_queues(memory: &Memory) -> impl Iterator<Item = QueueAt> {
    QueueAt::opened(memory.load(layout::OPENED_QUEUES))
        .filter(|&queue| memory.load(queue + queue::FLAGS) & queue::USED != 0)
}
