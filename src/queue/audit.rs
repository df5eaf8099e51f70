//! Does the whole arena add up? Every block is in exactly one place, every lease is counted, every byte is charged.

use super::counts::{self, QueueCounts};
use super::descriptor::Meta;
use super::holdings;
use super::layout::{self, CLASSES, MAX_QUEUES, class, queue};
use super::tx::Tx;
use super::{QueueId, SlotId};
use std::collections::HashMap;

#[derive(Default)]
struct Tally {
    /// Where each block was seen.
    blocks: HashMap<u64, String>,
    bytes: HashMap<usize, u64>,
    leased: HashMap<usize, u64>,
}

impl Tally {
    fn block(&mut self, block: u64, place: String) -> Result<u64, String> {
        let class = layout::class_of_block(block).map_err(|fault| fault.to_string())?;
        match self.blocks.insert(block, place.clone()) {
            Some(other) => Err(format!("block {block:#x} is in two places: {other} and {place}")),
            None => Ok(layout::block_size(class)),
        }
    }

    fn item(&mut self, data: u64, meta: Meta, place: String) -> Result<(), String> {
        if meta.has_block() {
            let size = self.block(data, place)?;
            let at = layout::queue_at(meta.queue()).map_err(|fault| fault.to_string())?;
            *self.bytes.entry(at).or_default() += size;
        }
        Ok(())
    }
}

/// The counts of every queue in use, or the first thing that does not add up.
pub(super) fn check(tx: &Tx<'_>) -> Result<Vec<(QueueId, QueueCounts)>, String> {
    let mut tally = Tally::default();
    free_blocks(tx, &mut tally)?;
    for id in layout::opened_slots(tx.get(layout::OPENED)) {
        held(tx, id, &mut tally)?;
    }
    let mut all = Vec::new();
    for id in 0..MAX_QUEUES as u16 {
        let at = layout::queue_at(QueueId(id)).map_err(|fault| fault.to_string())?;
        if tx.get(at + queue::FLAGS) & queue::USED != 0 {
            all.push((QueueId(id), waiting(tx, QueueId(id), &mut tally)?));
        }
    }
    for (q, counts) in &all {
        agree(*q, counts, &tally)?;
    }
    let carved = (0..CLASSES).map(|c| tx.get(layout::class_at(c) + class::CARVED)).fold(0, u64::wrapping_add);
    match tally.blocks.len() as u64 == carved {
        true => Ok(all),
        false => Err(format!("{carved} blocks were made, {} are somewhere", tally.blocks.len())),
    }
}

/// The ledgers against what workers really hold: the part of the check that takes no longer the more is waiting.
pub(super) fn leases(tx: &Tx<'_>) -> Result<(), String> {
    let say = |fault: super::Fault| fault.to_string();
    let mut held = [0_u64; MAX_QUEUES];
    for id in layout::opened_slots(tx.get(layout::OPENED)) {
        let slot = layout::slot_at(id).map_err(say)?;
        for entry in holdings::entries(&holdings::bitmap(tx.memory, slot)) {
            let meta = Meta(tx.memory.load(layout::holding(slot, entry as usize) + 8));
            let queue = held.get_mut(meta.queue().0 as usize);
            let queue = queue.ok_or_else(|| format!("slot {} holds an item of no queue", id.0))?;
            *queue += u64::from(!meta.is_block());
        }
    }
    for (id, held) in (0..).zip(held) {
        let at = layout::queue_at(QueueId(id)).map_err(say)?;
        let counts = counts::counts(tx, QueueId(id)).map_err(say)?;
        if tx.get(at + queue::FLAGS) & queue::USED != 0 && counts.leased != held {
            return Err(format!("queue {id}: {} items are leased, workers hold {held}", counts.leased));
        }
    }
    Ok(())
}

fn free_blocks(tx: &Tx<'_>, tally: &mut Tally) -> Result<(), String> {
    for c in 0..CLASSES {
        for (count, cold) in [(class::HOT, false), (class::COLD, true)] {
            for i in 0..tx.get(layout::class_at(c) + count).min(layout::class_blocks(c)) {
                tally.block(
                    tx.memory.load(layout::stack_cell(c, cold, i)),
                    format!("free blocks of class {c}"),
                )?;
            }
        }
    }
    Ok(())
}

fn held(tx: &Tx<'_>, id: SlotId, tally: &mut Tally) -> Result<(), String> {
    let slot = layout::slot_at(id).map_err(|fault| fault.to_string())?;
    for entry in holdings::entries(&holdings::bitmap(tx.memory, slot)) {
        let words = layout::holding(slot, entry as usize);
        let meta = Meta(tx.memory.load(words + 8));
        tally.item(tx.memory.load(words), meta, format!("holding {entry} of slot {}", id.0))?;
        if !meta.is_block() {
            let at = layout::queue_at(meta.queue()).map_err(|fault| fault.to_string())?;
            *tally.leased.entry(at).or_default() += 1;
        }
    }
    Ok(())
}

fn waiting(tx: &Tx<'_>, q: QueueId, tally: &mut Tally) -> Result<QueueCounts, String> {
    let at = layout::queue_at(q).map_err(|fault| fault.to_string())?;
    let k = tx.get(at + queue::RING).min(layout::RING_MAX);
    let ring = (tx.get(at + queue::HEAD)..tx.get(at + queue::TAIL)).take(1 << k);
    let slots = ring.map(|position| layout::ring_slot(q, k, position));
    let returned = tx.get(at + queue::RETURNED).min(layout::RETURNED_MAX);
    for words in slots.chain((0..returned).map(|i| layout::returned_entry(q, i))) {
        let meta = Meta(tx.memory.load(words + 8));
        if meta.queue() != q {
            return Err(format!("queue {} holds an item of queue {}", q.0, meta.queue().0));
        }
        tally.item(tx.memory.load(words), meta, format!("queue {}", q.0))?;
    }
    counts::counts(tx, q).map_err(|fault| fault.to_string())
}

fn agree(q: QueueId, counts: &QueueCounts, tally: &Tally) -> Result<(), String> {
    let at = layout::queue_at(q).map_err(|fault| fault.to_string())?;
    let leased = tally.leased.get(&at).copied().unwrap_or(0);
    let bytes = tally.bytes.get(&at).copied().unwrap_or(0);
    let ends = [counts.done, counts.waiting, counts.leased, counts.dropped, counts.dead];
    let settled = ends.into_iter().fold(0, u64::wrapping_add);
    if counts.leased != leased {
        return Err(format!("queue {}: {} items are leased, workers hold {leased}", q.0, counts.leased));
    }
    if counts.bytes != bytes {
        return Err(format!("queue {}: {} bytes are charged, {bytes} are in use", q.0, counts.bytes));
    }
    match counts.put == settled {
        true => Ok(()),
        false => Err(format!("queue {}: {} items were put, {settled} are accounted for", q.0, counts.put)),
    }
}
