//! `when_full = "drop-old"`: the items that wait longest make room.

use super::descriptor::Meta;
use super::layout::{self, queue};
use super::tx::Tx;
use super::{Fault, QueueId, ring};

/// Items dropped in one transaction, at most.
const MAX: u64 = layout::MAX_BATCH as u64;

/// Drops the `n` items (at most 512) that wait longest: returned ones, then the ring's.
pub(super) fn oldest(tx: &mut Tx<'_>, q: QueueId, at: usize, n: u64) -> Result<u64, Fault> {
    let n = n.min(MAX);
    let mut freed = 0;
    let returned = ring::returned(tx, at)?;
    let from_returned = returned.min(n);
    for i in 0..from_returned {
        freed += free_block(tx, layout::returned_entry(q, returned - 1 - i))?;
    }
    if from_returned > 0 {
        tx.set(at + queue::RETURNED, returned - from_returned);
    }
    let popped = ring::pop(tx, q, at, n - from_returned, |tx, slot, _| {
        freed += free_block(tx, slot)?;
        Ok(true)
    })?;
    tx.add(at + queue::DROPPED_OLD, from_returned + popped);
    if freed > 0 {
        tx.subtract(at + queue::BYTES, freed);
    }
    Ok(freed)
}

/// Drops old items until `bytes` are free again; false if nothing waits that could be dropped.
pub(super) fn until_freed(tx: &mut Tx<'_>, q: QueueId, at: usize, bytes: u64) -> Result<bool, Fault> {
    let (mut freed, mut dropped) = (0, 0);
    while freed < bytes && dropped < 64 && ring::waiting(tx, at) > 0 {
        freed += oldest(tx, q, at, 1)?;
        dropped += 1;
    }
    Ok(dropped > 0)
}

fn free_block(tx: &mut Tx<'_>, descriptor: usize) -> Result<u64, Fault> {
    let meta = Meta(tx.memory.load(descriptor + 8));
    if meta.has_block() { tx.free(tx.memory.load(descriptor)) } else { Ok(0) }
}
