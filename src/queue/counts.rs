//! A queue's ledger: `put = done + waiting + leased + dropped + dead`, at every moment.

use super::layout::{self, queue};
use super::memory::Memory;
use super::tx::Tx;
use super::{Fault, QueueId, ring};

/// What became of the items of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueueCounts {
    /// Items ever put, the dropped ones included.
    pub put: u64,
    /// Waiting now.
    pub waiting: u64,
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

/// The counts as one transaction sees them.
pub(super) fn counts(tx: &Tx<'_>, q: QueueId) -> Result<QueueCounts, Fault> {
    let at = layout::queue_at(q)?;
    let dropped_new = tx.get(at + queue::DROPPED_NEW);
    Ok(QueueCounts {
        put: tx.get(at + queue::TAIL).wrapping_add(dropped_new),
        waiting: ring::waiting(tx, at),
        leased: ring::leased(tx, at),
        done: tx.get(at + queue::DONE),
        dropped: tx.get(at + queue::DROPPED_OLD).wrapping_add(dropped_new),
        dead: tx.get(at + queue::DEAD),
        bytes: tx.get(at + queue::BYTES),
    })
}

/// Items waiting, read without the lock: right if nothing changes meanwhile, else near.
#[inline]
pub(super) fn waiting_roughly(memory: &Memory, q: QueueId) -> u64 {
    let Ok(at) = layout::queue_at(q) else { return 0 };
    // HEAD first: the tail can only have moved on since, so the difference is never negative for long.
    let (head, returned) = (memory.load(at + queue::HEAD), memory.load(at + queue::RETURNED));
    memory.load(at + queue::TAIL).saturating_sub(head).saturating_add(returned)
}
