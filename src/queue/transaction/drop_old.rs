//! `when_full = "drop-old"`: the items that wait longest make room.

use super::{counts, delayed, returned, ring, tx::Tx};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{DescriptorAt, MAX_BATCH, QueueAt, queue};

/// Items dropped in one transaction to make room for bytes.
const MAX_FOR_BYTES: u64 = 64;

/// Drops the `n` items (at most 512) that wait longest: returned ones, then the ring's, and where there are no
/// others, delayed ones. Returns the bytes that became free.
pub(crate) fn oldest(tx: &mut Tx<'_>, queue: QueueAt, n: u64) -> Result<u64, Fault> {
    let n = n.min(MAX_BATCH as u64);
    let mut freed = 0;
    let returned = returned::len(tx, queue)?;
    let from_returned = returned.min(n);
    for i in 0..from_returned {
        freed += free_block(tx, queue.returned(returned - 1 - i).into())?;
    }
    if from_returned > 0 {
        tx.set(queue + queue::RETURNED, returned - from_returned);
    }
    let popped = ring::pop(tx, queue, n - from_returned, |tx, slot, _| {
        freed += free_block(tx, slot)?;
        Ok(true)
    })?;
    let left = n - from_returned - popped;
    let undelayed = delayed::drop_some(tx, queue, left, |tx, at| {
        freed += free_block(tx, at.into())?;
        Ok(())
    })?;
    tx.add(queue + queue::DROPPED_OLD, from_returned + popped + undelayed);
    if freed > 0 {
        tx.subtract(queue + queue::BYTES, freed);
    }
    Ok(freed)
}

/// Drops old items until `bytes` are free again; false if nothing waits that could be dropped.
pub(crate) fn until_freed(tx: &mut Tx<'_>, queue: QueueAt, bytes: u64) -> Result<bool, Fault> {
    let (mut freed, mut dropped) = (0, 0);
    while freed < bytes && dropped < MAX_FOR_BYTES && counts::queued(tx, queue) > 0 {
        freed += oldest(tx, queue, 1)?;
        dropped += 1;
    }
    Ok(dropped > 0)
}

fn free_block(tx: &mut Tx<'_>, at: DescriptorAt) -> Result<u64, Fault> {
    if tx.memory.meta(at).has_block() { tx.free(tx.memory.block_of(at)) } else { Ok(0) }
}
