//! A queue's waiting items: a ring that grows as it fills, and the stack of returned items that is served first.
//!
//! The ring's size has nothing to do with the capacity, which is only a number to compare with: memory follows what
//! was really queued. All sizes of a ring have disjoint places (`layout::ring_area`), so growing copies the waiting
//! descriptors into cells that the committed state does not use, and one journalled word switches over.

use super::descriptor::Meta;
use super::event::Event;
use super::layout::{self, RING_MAX, RING_MIN, RING_SHRINKS_FROM, queue};
use super::tx::Tx;
use super::{Fault, QueueId, tap};

/// Entries of a returned stack that get their pages at once.
const RETURN_STEP: u64 = 2048;

/// Items waiting, as this transaction will leave them.
#[inline]
pub(super) fn waiting(tx: &Tx<'_>, at: usize) -> u64 {
    let ring = tx.get(at + queue::TAIL).wrapping_sub(tx.get(at + queue::HEAD));
    ring.wrapping_add(tx.get(at + queue::RETURNED))
}

/// Items leased to workers, as this transaction will leave them.
#[inline]
pub(super) fn leased(tx: &Tx<'_>, at: usize) -> u64 {
    let out = tx.get(at + queue::HEAD).wrapping_sub(tx.get(at + queue::DROPPED_OLD));
    let back = tx.get(at + queue::RETURNED).wrapping_add(tx.get(at + queue::DONE));
    out.wrapping_sub(back).wrapping_sub(tx.get(at + queue::DEAD))
}

/// No item is left and none will come.
#[inline]
pub(super) fn is_drained(tx: &Tx<'_>, at: usize) -> bool {
    tx.get(at + queue::FLAGS) & queue::ENDED != 0 && waiting(tx, at) == 0 && leased(tx, at) == 0
}

/// After the commit: readers that wait for the end are told when it has come.
#[inline]
pub(super) fn tell_if_drained(tx: &mut Tx<'_>, at: usize) {
    if is_drained(tx, at) {
        tx.notify_all(Event::of(at, queue::NOT_EMPTY));
    }
}

/// The ring's size and how much of it is in use, checked.
pub(super) fn extent(tx: &Tx<'_>, at: usize) -> Result<(u64, u64, u64), Fault> {
    let k = tx.get(at + queue::RING);
    let (tail, head) = (tx.get(at + queue::TAIL), tx.get(at + queue::HEAD));
    if !(RING_MIN..=RING_MAX).contains(&k) {
        return Err(Fault::damaged("the size of a ring", (at + queue::RING) as u64, k));
    }
    let used = tail.wrapping_sub(head);
    if used > 1 << k {
        return Err(Fault::damaged("the tail of a ring", (at + queue::TAIL) as u64, tail));
    }
    Ok((k, head, used))
}

/// Appends the descriptors: `items` yields exactly `n`.
#[inline]
pub(super) fn push(
    tx: &mut Tx<'_>,
    q: QueueId,
    at: usize,
    n: usize,
    items: impl Iterator<Item = (u64, Meta)>,
) -> Result<(), Fault> {
    // Room is judged by the committed HEAD: a slot that this very transaction frees is not free before its commit.
    let committed_head = tx.memory.load(at + queue::HEAD);
    let (mut k, _, _) = extent(tx, at)?;
    let tail = tx.get(at + queue::TAIL);
    let span = tail.wrapping_sub(committed_head).wrapping_add(n as u64);
    if span > 1 << k {
        k = grow(tx, q, at, k, committed_head, tail, span)?;
    }
    for (i, (data, meta)) in (0..).zip(items) {
        let slot = layout::ring_slot(q, k, tail.wrapping_add(i));
        tx.memory.store(slot, data);
        tx.memory.store(slot + 8, meta.0);
    }
    if n > 0 {
        tap::pass(tx.memory, at, layout::ring_slot(q, k, tail), tail);
    }
    tx.set(at + queue::TAIL, tail.wrapping_add(n as u64));
    Ok(())
}

#[cold]
fn grow(
    tx: &mut Tx<'_>,
    q: QueueId,
    at: usize,
    k: u64,
    head: u64,
    tail: u64,
    span: u64,
) -> Result<u64, Fault> {
    if span > 1 << RING_MAX || tail.wrapping_sub(head) > 1 << k {
        return Err(Fault::damaged("the extent of a ring", at as u64, span));
    }
    let larger = u64::from(span.next_power_of_two().trailing_zeros());
    let (area, bytes) = layout::ring_area(q, larger);
    tx.memory.reserve(area, bytes)?;
    for i in 0..tail.wrapping_sub(head) {
        let position = head.wrapping_add(i);
        tx.memory.copy(layout::ring_slot(q, k, position), layout::ring_slot(q, larger, position), 16);
    }
    tx.set(at + queue::RING, larger);
    Ok(larger)
}

/// Takes the oldest `n` out of the ring (as many as there are): calls `each` with slot and position, until it says
/// that it takes no more.
#[inline]
pub(super) fn pop(
    tx: &mut Tx<'_>,
    q: QueueId,
    at: usize,
    n: u64,
    mut each: impl FnMut(&mut Tx<'_>, usize, u64) -> Result<bool, Fault>,
) -> Result<u64, Fault> {
    let (k, head, used) = extent(tx, at)?;
    let mut popped = 0;
    while popped < n.min(used) {
        let position = head.wrapping_add(popped);
        if !each(tx, layout::ring_slot(q, k, position), position)? {
            break;
        }
        popped += 1;
    }
    if popped > 0 {
        tx.set(at + queue::HEAD, head.wrapping_add(popped));
    }
    Ok(popped)
}

/// A large ring that ran empty goes back to the smallest size. Returns the bytes that lie idle after the commit.
#[inline]
pub(super) fn shrink_if_empty(tx: &mut Tx<'_>, q: QueueId, at: usize) -> Option<(usize, usize)> {
    let k = tx.get(at + queue::RING);
    // In a file the room for the whole capacity stays taken: else the disk might not have it when it is needed.
    if tx.memory.is_file() || k < RING_SHRINKS_FROM || tx.get(at + queue::HEAD) != tx.get(at + queue::TAIL) {
        return None;
    }
    tx.set(at + queue::RING, RING_MIN);
    // The sizes that it grew through lie one behind the other.
    let (start, _) = layout::ring_area(q, RING_SHRINKS_FROM);
    let (last, bytes) = layout::ring_area(q, k.min(RING_MAX));
    Some((start, last + bytes - start))
}

/// In a file: a ring that never needs to grow under its workers, whatever they put.
pub(super) fn make_room_for(tx: &mut Tx<'_>, q: QueueId, at: usize, capacity: u64) -> Result<(), Fault> {
    if !tx.memory.is_file() {
        return Ok(());
    }
    let most = capacity + layout::MAX_BATCH as u64; // a transaction puts before what it drops is gone
    let (k, head, used) = extent(tx, at)?;
    let (area, bytes) = layout::ring_area(q, k);
    if tx.memory.load(at + queue::FLAGS) & queue::USED == 0 {
        tx.memory.reserve(area, bytes)?;
    }
    if most > 1 << k {
        grow(tx, q, at, k, head, head.wrapping_add(used), most.next_power_of_two().min(1 << RING_MAX))?;
    }
    Ok(())
}

/// In a file: room for the leases of more workers, in the returned stack. Returned and leased items together are
/// never more than that, so giving back needs no room.
pub(super) fn make_room_to_return(tx: &mut Tx<'_>, q: QueueId, at: usize) -> Result<u64, Fault> {
    if !tx.memory.is_file() {
        return Ok(layout::RETURNED_MAX);
    }
    let room = tx.get(at + queue::RETURN_ROOM);
    let more = (layout::RETURNED_MAX.saturating_sub(room)).min(RETURN_STEP);
    if more > 0 {
        tx.memory.reserve(layout::returned_entry(q, room), more as usize * layout::ENTRY)?;
        tx.set(at + queue::RETURN_ROOM, room + more);
    }
    Ok(room + more)
}

/// How many of `wanted` items may leave the ring, so that all that is out can be given back.
#[inline]
pub(super) fn returnable(tx: &mut Tx<'_>, q: QueueId, at: usize, wanted: u64) -> Result<u64, Fault> {
    if !tx.memory.is_file() {
        return Ok(wanted);
    }
    let out = leased(tx, at).wrapping_add(tx.get(at + queue::RETURNED));
    let mut room = tx.get(at + queue::RETURN_ROOM);
    if out.saturating_add(wanted) > room {
        match make_room_to_return(tx, q, at) {
            Ok(more) => room = more,
            // Fewer at once will do.
            Err(Fault::DiskFull(..)) if out < room => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(wanted.min(room.saturating_sub(out)))
}

/// The pages of a removed queue go back to the system.
pub(super) fn discard(tx: &Tx<'_>, q: QueueId, k: u64) {
    let (rings, bytes) = layout::rings_up_to(q, k);
    tx.memory.discard(rings, bytes);
    if tx.memory.is_file() {
        tx.memory.discard(layout::returned_entry(q, 0), layout::returned_span());
    }
}

/// Puts an item back to the front: the copy of a table entry on the returned stack.
pub(super) fn push_returned(tx: &mut Tx<'_>, at: usize, entry: usize, meta: Meta) -> Result<(), Fault> {
    let n = returned(tx, at)?;
    let to = layout::returned_entry(meta.queue(), n);
    tx.memory.copy(entry, to, layout::ENTRY);
    tx.memory.store(to + 8, meta.0);
    tx.set(at + queue::RETURNED, n + 1);
    Ok(())
}

/// How many returned items there are, checked.
pub(super) fn returned(tx: &Tx<'_>, at: usize) -> Result<u64, Fault> {
    let n = tx.get(at + queue::RETURNED);
    if n >= layout::RETURNED_MAX {
        return Err(Fault::damaged("the count of returned items", (at + queue::RETURNED) as u64, n));
    }
    Ok(n)
}
