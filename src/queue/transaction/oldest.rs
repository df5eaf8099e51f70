//! Where the item is that a window waits for.
//!
//! A worker that has finished a later item may find no bytes for its outputs. Where another worker has the oldest item, that one
//! will come out and make room. But where it lies in its queue again, having failed or lost its worker, all workers of the
//! stage may be waiting, and none would take it. So such an item is no reason to wait (`worker/in_order.rs`), and whoever
//! puts an item back wakes those who wait.

use super::tx::Tx;
use super::{counts, delayed, places, returned};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{EntryAt, QueueAt, entry, queue};

/// Where the item is whose outputs come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextItem {
    /// It waits to be taken, or it has not come yet.
    Waits,
    /// It has failed, and waits for its time.
    Delayed,
    /// A worker has it.
    Leased,
    /// It is finished.
    Finished,
}

/// Where an item of the window's queue is. Lists of more than `most` are not searched, for the lock is held meanwhile.
pub(crate) fn where_is(tx: &Tx<'_>, window: QueueAt, number: u64, most: u64) -> Result<NextItem, Fault> {
    let Some(input) = QueueAt::linked(tx.get(window + queue::WINDOW_OF)) else { return Ok(NextItem::Waits) };
    let sequence = |at: EntryAt| tx.memory.load(at + entry::SEQUENCE);
    let has = |at: EntryAt| number.wrapping_sub(sequence(at)) < tx.memory.meta(at).items() as u64;
    if tx.get(window + queue::HELD_UP_BY) != 0 {
        return Ok(NextItem::Finished);
    }
    if !places::is_before(number, tx.get(input + queue::HEAD)) {
        return Ok(NextItem::Waits);
    }
    if counts::delayed(tx, input) <= most && delayed::entries(tx, input)?.into_iter().any(|(at, _)| has(at)) {
        return Ok(NextItem::Delayed);
    }
    let returned = returned::len(tx, input)?;
    let is_back = returned <= most && (0..returned).any(|i| has(input.returned(i)));
    Ok(if is_back { NextItem::Waits } else { NextItem::Leased })
}

/// An item goes back into its queue: those who wait for their turn are to look whether it is the oldest.
pub(crate) fn goes_back(tx: &mut Tx<'_>, input: QueueAt) {
    if let Some(window) = QueueAt::linked(tx.get(input + queue::WINDOW)) {
        tx.notify_at_commit(window + queue::NOT_FULL, true);
    }
}
