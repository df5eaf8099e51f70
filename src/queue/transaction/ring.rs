//! A queue's ring of waiting items, which grows as it fills. A slot holds one item, or a span of them.
//!
//! The ring's size has nothing to do with the capacity, which is only a number to compare with: memory follows what
//! was really queued. All sizes of a ring have disjoint places (`QueueAt::ring`), so growing copies the waiting
//! descriptors into cells that the committed state does not use, and one journalled word switches over.

use super::{tap, tx::Tx};
use crate::queue::arena::descriptor::{MAX_EXTENT_ITEMS, Meta, Span};
use crate::queue::arena::layout::{
    DescriptorAt, MAX_BATCH, QueueAt, RING_MAX, RING_MIN, RING_SHRINKS_FROM, queue,
};
use crate::queue::arena::{fault::Fault, place::Area};

/// The ring's size (log2 of its slots), its first filled slot and how many are filled, checked.
pub(crate) fn extent(tx: &Tx<'_>, queue: QueueAt) -> Result<(u64, u64, u64), Fault> {
    let k = tx.get(queue + queue::RING);
    let (last, first) = (tx.get(queue + queue::LAST_SLOT), tx.get(queue + queue::FIRST_SLOT));
    if !(RING_MIN..=RING_MAX).contains(&k) {
        return Err(Fault::damaged("the size of a ring", queue + queue::RING, k));
    }
    let used = last.wrapping_sub(first);
    if used > 1 << k {
        return Err(Fault::damaged("the last slot of a ring", queue + queue::LAST_SLOT, last));
    }
    // Else a loop over all that waits might find nothing to take, again and again.
    let items = tx.get(queue + queue::TAIL).wrapping_sub(tx.get(queue + queue::HEAD));
    if items < used || items > used.saturating_mul(MAX_EXTENT_ITEMS as u64) {
        return Err(Fault::damaged("the items of a ring", queue + queue::TAIL, items));
    }
    Ok((k, first, used))
}

/// Appends descriptors, which stand for `items` items in all.
#[inline]
pub(crate) fn push(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    items: u64,
    descriptors: impl ExactSizeIterator<Item = (u64, Meta)>,
) -> Result<(), Fault> {
    // Room is judged by the committed first slot: one that this very transaction empties is not free before its commit.
    let committed_first = tx.memory.load(queue + queue::FIRST_SLOT);
    let (mut k, _, _) = extent(tx, queue)?;
    let last = tx.get(queue + queue::LAST_SLOT);
    let n = descriptors.len() as u64;
    let span = last.wrapping_sub(committed_first).wrapping_add(n);
    if span > 1 << k {
        k = grow(tx, queue, k, committed_first..last, span)?;
    }
    for (i, (data, meta)) in (0..).zip(descriptors) {
        tx.memory.store_descriptor(queue.ring_slot(k, last.wrapping_add(i)), data, meta);
    }
    let tail = tx.get(queue + queue::TAIL);
    if n > 0 {
        tap::show_if_tapped(tx.memory, queue, queue.ring_slot(k, last), tail);
    }
    tx.set(queue + queue::LAST_SLOT, last.wrapping_add(n));
    tx.set(queue + queue::TAIL, tail.wrapping_add(items));
    Ok(())
}

/// Copies the slots in `held` to a ring of at least `span` slots.
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

/// What `pop` takes out of a slot.
pub(crate) struct Popped {
    pub data: u64,
    /// As many items as are taken.
    pub meta: Meta,
    /// The number of the first in the queue.
    pub sequence: u64,
}

/// The items of the ring's slot at `position` that are not gone, if it is the first.
pub(crate) fn remaining(
    tx: &Tx<'_>,
    queue: QueueAt,
    slot: DescriptorAt,
    is_first: bool,
) -> Result<Meta, Fault> {
    let (meta, skipped) = (tx.memory.meta(slot), if is_first { tx.get(queue + queue::SKIPPED) } else { 0 });
    match meta.as_span() {
        Some(Span { first, count }) if skipped < count as u64 => {
            let skipped = skipped as usize;
            Ok(meta.with_span(Span { first: first + skipped, count: count - skipped }))
        }
        None if skipped == 0 && !meta.is_block() => Ok(meta),
        Some(_) | None => Err(Fault::damaged("a slot of a ring", slot, meta.0)),
    }
}

/// Takes the oldest `n` items out of the ring (as many as there are): calls `each` with what each slot gives, until it says
/// that it takes no more. A slot's span is cut where the last of the `n` is: what is left of it stays the first.
#[inline]
pub(crate) fn pop(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    n: u64,
    mut each: impl FnMut(&mut Tx<'_>, Popped) -> Result<bool, Fault>,
) -> Result<u64, Fault> {
    let (k, first, used) = extent(tx, queue)?;
    let head = tx.get(queue + queue::HEAD);
    let skipped = tx.get(queue + queue::SKIPPED);
    let (mut popped, mut slots, mut skip) = (0, 0, skipped);
    while popped < n && slots < used {
        let slot = queue.ring_slot(k, first.wrapping_add(slots));
        let mut meta = remaining(tx, queue, slot, slots == 0)?;
        let (items, wanted) = (meta.items() as u64, n - popped);
        let taken = items.min(wanted);
        if let Some(Span { first, .. }) = meta.as_span() {
            meta = meta.with_span(Span { first, count: taken as usize });
        }
        let data = tx.memory.data(slot);
        if !each(tx, Popped { data, meta, sequence: head.wrapping_add(popped) })? {
            break;
        }
        popped += taken;
        if taken < items {
            skip = taken + if slots == 0 { skipped } else { 0 };
            break;
        }
        (slots, skip) = (slots + 1, 0);
    }
    if popped > 0 {
        tx.set(queue + queue::HEAD, head.wrapping_add(popped));
        tx.set(queue + queue::FIRST_SLOT, first.wrapping_add(slots));
        if skip != skipped {
            tx.set(queue + queue::SKIPPED, skip);
        }
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
