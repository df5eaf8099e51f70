//! A queue's stack of returned items, which is served before its ring.

use super::{counts, tx::Tx};
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{EntryAt, QueueAt, RETURNED_MAX, descriptor, entry, queue};

/// Entries that get their pages at once.
const RESERVED_ENTRIES: u64 = 2048;

/// How many returned items there are, checked.
pub(crate) fn len(tx: &Tx<'_>, queue: QueueAt) -> Result<u64, Fault> {
    let n = tx.get(queue + queue::RETURNED);
    if n >= RETURNED_MAX {
        return Err(Fault::damaged("the count of returned items", queue + queue::RETURNED, n));
    }
    Ok(n)
}

/// Puts an item back to the front: the copy of a table entry.
pub(crate) fn push(tx: &mut Tx<'_>, queue: QueueAt, entry: EntryAt, meta: Meta) -> Result<(), Fault> {
    let n = len(tx, queue)?;
    let to = queue.returned(n);
    tx.memory.copy_entry(entry, to);
    tx.memory.store(to + entry::DESCRIPTOR + descriptor::META, meta.0);
    tx.set(queue + queue::RETURNED, n + 1);
    Ok(())
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
