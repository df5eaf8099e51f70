//! A queue's stack of returned items, which is served before its ring.

use super::{counts, tx::Tx};
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{EntryAt, QueueAt, RETURNED_MAX, descriptor, entry, queue};

/// Entries that get their pages at once.
const RESERVED_ENTRIES: u64 = 1024;

/// How many entries there are on the stack, checked.
pub(crate) fn len(tx: &Tx<'_>, queue: QueueAt) -> Result<u64, Fault> {
    let n = tx.get(queue + queue::RETURNED_ENTRIES);
    let items = tx.get(queue + queue::RETURNED);
    if n >= RETURNED_MAX || items < n || n == 0 && items > 0 {
        return Err(Fault::damaged("the count of returned items", queue + queue::RETURNED_ENTRIES, n));
    }
    Ok(n)
}

/// Puts what an entry stands for back to the front, as this descriptor says; returns its new entry.
pub(crate) fn push(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    entry: EntryAt,
    data: u64,
    meta: Meta,
) -> Result<EntryAt, Fault> {
    let n = len(tx, queue)?;
    let to = queue.returned(n);
    tx.memory.copy_entry(entry, to);
    tx.memory.store_descriptor(to, data, meta);
    tx.set(queue + queue::RETURNED_ENTRIES, n + 1);
    tx.add(queue + queue::RETURNED, meta.items() as u64);
    Ok(to)
}

/// Takes up to `items` of the entry on top of the stack, whose number is `n`: calls `each` with the entry and what of it is
/// taken. What is left of a span stays.
pub(crate) fn pop(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    n: u64,
    items: usize,
    each: impl FnOnce(&mut Tx<'_>, EntryAt, Meta) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let at = queue.returned(n);
    let meta = tx.memory.meta(at);
    let taken = meta.items().min(items);
    match meta.as_span() {
        Some(Span { first, count }) if taken < count => {
            each(tx, at, meta.with_span(Span { first, count: taken }))?;
            let rest = Span { first: first + taken, count: count - taken };
            let sequence = tx.memory.load(at + entry::SEQUENCE);
            tx.set(at + entry::DESCRIPTOR + descriptor::META, meta.with_span(rest).0);
            tx.set(at + entry::SEQUENCE, sequence.wrapping_add(taken as u64));
            tx.set(at + entry::MARK, 0);
        }
        Some(_) | None => {
            each(tx, at, meta)?;
            tx.set(queue + queue::RETURNED_ENTRIES, n);
        }
    }
    tx.subtract(queue + queue::RETURNED, taken as u64);
    Ok(taken)
}

/// In a file: room for the leases of more workers. Returned and leased items together are never more than that, so giving
/// back needs no room.
pub(crate) fn make_room(tx: &mut Tx<'_>, queue: QueueAt) -> Result<u64, Fault> {
    if !tx.memory.is_file() {
        return Ok(RETURNED_MAX);
    }
    let room = tx.get(queue + queue::RETURN_ROOM);
    let more = (RETURNED_MAX.saturating_sub(room)).min(RESERVED_ENTRIES);
    if more > 0 {
        tx.memory.reserve(queue.returned_area(room, more))?;
        tx.set(queue + queue::RETURN_ROOM, room + more);
    }
    Ok(room + more)
}

/// How many of `wanted` items may leave the ring, so that all that is out can be given back.
#[inline]
pub(crate) fn returnable(tx: &mut Tx<'_>, queue: QueueAt, wanted: u64) -> Result<u64, Fault> {
    if !tx.memory.is_file() {
        return Ok(wanted);
    }
    let out = counts::leased(tx, queue).wrapping_add(tx.get(queue + queue::RETURNED));
    let mut room = tx.get(queue + queue::RETURN_ROOM);
    if out.saturating_add(wanted) > room {
        match make_room(tx, queue) {
            Ok(more) => room = more,
            // Fewer at once will do.
            Err(Fault::DiskFull(..)) if out < room => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(wanted.min(room.saturating_sub(out)))
}
