//! A queue's ring of waiting items, which grows as it fills.
//!
//! The ring's size has nothing to do with the capacity, which is only a number to compare with: memory follows what
//! was really queued. All sizes of a ring have disjoint places (`QueueAt::ring`), so growing copies the waiting
//! descriptors into cells that the committed state does not use, and one journalled word switches over.

use super::{tap, tx::Tx};
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::layout::{
    DescriptorAt, MAX_BATCH, QueueAt, RING_MAX, RING_MIN, RING_SHRINKS_FROM, queue,
};
use crate::queue::arena::{fault::Fault, place::Area};

/// The ring's size (log2 of its slots), its oldest item's position and how many it holds, checked.
pub(crate) fn extent(tx: &Tx<'_>, queue: QueueAt) -> Result<(u64, u64, u64), Fault> {
    let k = tx.get(queue + queue::RING);
    let (tail, head) = (tx.get(queue + queue::TAIL), tx.get(queue + queue::HEAD));
    if !(RING_MIN..=RING_MAX).contains(&k) {
        return Err(Fault::damaged("the size of a ring", queue + queue::RING, k));
    }
    let used = tail.wrapping_sub(head);
    if used > 1 << k {
        return Err(Fault::damaged("the tail of a ring", queue + queue::TAIL, tail));
    }
    Ok((k, head, used))
}

/// Appends the descriptors: `items` yields exactly `n`.
#[inline]
pub(crate) fn push(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    n: usize,
    items: impl Iterator<Item = (u64, Meta)>,
) -> Result<(), Fault> {
    // Room is judged by the committed HEAD: a slot that this very transaction frees is not free before its commit.
    let committed_head = tx.memory.load(queue + queue::HEAD);
    let (mut k, _, _) = extent(tx, queue)?;
    let tail = tx.get(queue + queue::TAIL);
    let span = tail.wrapping_sub(committed_head).wrapping_add(n as u64);
    if span > 1 << k {
        k = grow(tx, queue, k, committed_head..tail, span)?;
    }
    for (i, (data, meta)) in (0..).zip(items) {
        tx.memory.store_descriptor(queue.ring_slot(k, tail.wrapping_add(i)), data, meta);
    }
    if n > 0 {
        tap::show_if_tapped(tx.memory, queue, queue.ring_slot(k, tail), tail);
    }
    tx.set(queue + queue::TAIL, tail.wrapping_add(n as u64));
    Ok(())
}

/// Copies the items in `held` to a ring of at least `span` slots.
#[cold]
fn grow(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    k: u64,
    held: std::ops::Range<u64>,
    span: u64,
) -> Result<u64, Fault> {
    let n = held.end.wrapping_sub(held.start);
    if span > 1 << RING_MAX || n > 1 << k {
        return Err(Fault::damaged("the extent of a ring", queue, span));
    }
    let larger = u64::from(span.next_power_of_two().trailing_zeros());
    tx.memory.reserve(queue.ring(larger))?;
    for position in (0..n).map(|i| held.start.wrapping_add(i)) {
        tx.memory.copy_descriptor(queue.ring_slot(k, position), queue.ring_slot(larger, position));
    }
    tx.set(queue + queue::RING, larger);
    Ok(larger)
}

/// Takes the oldest `n` out of the ring (as many as there are): calls `each` with slot and position, until it says
/// that it takes no more.
#[inline]
pub(crate) fn pop(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    n: u64,
    mut each: impl FnMut(&mut Tx<'_>, DescriptorAt, u64) -> Result<bool, Fault>,
) -> Result<u64, Fault> {
    let (k, head, used) = extent(tx, queue)?;
    let mut popped = 0;
    while popped < n.min(used) {
        let position = head.wrapping_add(popped);
        if !each(tx, queue.ring_slot(k, position), position)? {
            break;
        }
        popped += 1;
    }
    if popped > 0 {
        tx.set(queue + queue::HEAD, head.wrapping_add(popped));
    }
    Ok(popped)
}

/// A large ring that ran empty goes back to the smallest size. Returns the pages that are unused after the commit.
#[inline]
pub(crate) fn shrink_if_empty(tx: &mut Tx<'_>, queue: QueueAt) -> Option<Area> {
    let k = tx.get(queue + queue::RING);
    let is_empty = || tx.get(queue + queue::HEAD) == tx.get(queue + queue::TAIL);
    // In a file the room for the whole capacity stays taken: else the disk might not have it when it is needed.
    if tx.memory.is_file() || k < RING_SHRINKS_FROM || !is_empty() {
        return None;
    }
    tx.set(queue + queue::RING, RING_MIN);
    Some(queue.rings_from(RING_SHRINKS_FROM, k))
}

/// In a file: a ring that never needs to grow under its workers, whatever they put.
pub(crate) fn make_room_for(tx: &mut Tx<'_>, queue: QueueAt, capacity: u64) -> Result<(), Fault> {
    if !tx.memory.is_file() {
        return Ok(());
    }
    let most = capacity + MAX_BATCH as u64; // a transaction puts before what it drops is gone
    let (k, head, used) = extent(tx, queue)?;
    if tx.memory.load(queue + queue::FLAGS) & queue::USED == 0 {
        tx.memory.reserve(queue.ring(k))?;
    }
    if most > 1 << k {
        let span = most.next_power_of_two().min(1 << RING_MAX);
        grow(tx, queue, k, head..head.wrapping_add(used), span)?;
    }
    Ok(())
}
