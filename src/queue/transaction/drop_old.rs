//! `when_full = "drop-old"`: the items that wait longest make room.

use super::{counts, delayed, returned, ring, tx::Tx};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{MAX_BATCH, QueueAt, queue};

/// Items dropped in one transaction to make room for bytes.
const MAX_FOR_BYTES: u64 = 64;

/// Drops the `n` items (at most 512) that wait longest: returned ones, then the ring's, and where there are no
/// others, delayed ones. Returns the bytes that became free.
pub(crate) fn oldest(tx: &mut Tx<'_>, queue: QueueAt, n: u64) -> Result<u64, Fault> {
    let n = n.min(MAX_BATCH as u64);
    let (mut freed, mut dropped, mut entries) = (0, 0, returned::len(tx, queue)?);
    while entries > 0 && dropped < n {
        entries -= 1;
        let left = (n - dropped) as usize;
        dropped += returned::pop(tx, queue, entries, left, |tx, at, meta| {
            freed += tx.end_items(tx.memory.data(at), meta, meta.items())?;
            Ok(())
        })? as u64;
    }
    dropped += ring::pop(tx, queue, n - dropped, |tx, popped| {
        freed += tx.end_items(popped.data, popped.meta, popped.meta.items())?;
        Ok(true)
    })?;
    dropped += delayed::drop_some(tx, queue, n - dropped, |tx, at| {
        freed += tx.end_items(tx.memory.data(at), tx.memory.meta(at), 1)?;
        Ok(())
    })?;
    tx.add(queue + queue::DROPPED_OLD, dropped);
    if freed > 0 {
        tx.subtract(queue + queue::BYTES, freed);
    }
    Ok(freed)
}

/// Drops old items until `bytes` are free again, an extent's together; false if nothing waits that could be dropped.
pub(crate) fn until_freed(tx: &mut Tx<'_>, queue: QueueAt, bytes: u64) -> Result<bool, Fault> {
    let (mut freed, mut dropped) = (0, 0);
    while freed < bytes && dropped < MAX_FOR_BYTES && counts::queued(tx, queue) > 0 {
        freed += oldest(tx, queue, first_items(tx, queue)?)?;
        dropped += 1;
    }
    Ok(dropped > 0)
}

/// How many items the oldest descriptor stands for.
fn first_items(tx: &Tx<'_>, queue: QueueAt) -> Result<u64, Fault> {
    let n = returned::len(tx, queue)?;
    let meta = match n.checked_sub(1) {
        Some(top) => tx.memory.meta(queue.returned(top)),
        None => {
            let (k, first, used) = ring::extent(tx, queue)?;
            if used == 0 {
                return Ok(1); // a delayed one
            }
            ring::remaining(tx, queue, queue.ring_slot(k, first), true)?
        }
    };
    Ok(meta.items().max(1) as u64)
}
