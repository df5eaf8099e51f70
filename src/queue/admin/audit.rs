//! Does the whole arena add up? Every block is in exactly one place, every lease is counted, every byte is charged.

use crate::queue::QueueId;
use crate::queue::arena::layout::{
    self, BlockAt, Class, DescriptorAt, FreeStack, MAX_QUEUES, QueueAt, SlotAt, block, queue,
};
use crate::queue::arena::{descriptor::Meta, fault::Fault};
use crate::queue::transaction::counts::{self, QueueCounts};
use crate::queue::transaction::{delayed, holdings::Bitmap, places, returned, ring, tx::Tx};
use std::collections::BTreeMap;

struct Tally {
    /// Where each block was seen.
    blocks: BTreeMap<BlockAt, String>,
    /// Items of each extent that were seen.
    extents: BTreeMap<BlockAt, u64>,
    /// Of each queue, by its index.
    bytes: Vec<u64>,
    leased: Vec<u64>,
    /// In windows, for the queue.
    pending: Vec<u64>,
}

/// A fault found by the audit is one of its findings.
impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

impl Tally {
    fn block(&mut self, block: BlockAt, place: String) -> Result<u64, String> {
        let class = block.class()?;
        match self.blocks.insert(block, place.clone()) {
            Some(other) => Err(format!("block {:#x} is in two places: {other} and {place}", block.offset())),
            None => Ok(class.block_size()),
        }
    }

    /// What a descriptor stands for: one of the places of an extent, the only one of any other block.
    fn item(&mut self, tx: &Tx<'_>, at: DescriptorAt, meta: Meta, place: String) -> Result<(), String> {
        if !meta.has_block() {
            return Ok(());
        }
        let block = tx.memory.block_of(at);
        let items = if meta.is_block() {
            meta.unpublished()
        } else {
            meta.as_span().map_or(0, |span| span.count as u64)
        };
        let is_known = items > 0 && self.extents.contains_key(&block);
        *self.extents.entry(block).or_default() += items;
        if !is_known {
            let size = self.block(block, place)?;
            self.bytes[QueueAt::of(meta.queue())?.index()] += size;
        }
        Ok(())
    }

    /// The extents are in use by as many items as they say.
    fn outstanding(&self, tx: &Tx<'_>) -> Result<(), String> {
        for (&at, &seen) in self.extents.iter().filter(|(_, seen)| **seen > 0) {
            let counted = tx.get(at + block::OUTSTANDING);
            if counted != seen {
                return Err(format!(
                    "extent {:#x} counts {counted} items, {seen} are somewhere",
                    at.offset()
                ));
            }
        }
        Ok(())
    }
}

/// The counts of every queue in use, or the first thing that does not add up.
pub(super) fn check(tx: &Tx<'_>) -> Result<Vec<(QueueId, QueueCounts)>, String> {
    let (blocks, extents) = (BTreeMap::new(), BTreeMap::new());
    let [bytes, leased, pending] = [(); 3].map(|()| vec![0; MAX_QUEUES]);
    let mut tally = Tally { blocks, extents, bytes, leased, pending };
    free_blocks(tx, &mut tally)?;
    for slot in SlotAt::opened(tx.get(layout::OPENED)) {
        held(tx, slot, &mut tally)?;
    }
    let mut all = Vec::new();
    for queue in counts::used_queues(tx.memory) {
        match places::is_one(tx, queue) {
            true => in_window(tx, queue, &mut tally)?,
            false => waiting(tx, queue, &mut tally)?,
        }
        all.push((queue.id(), counts::counts(tx, queue)));
    }
    tally.outstanding(tx)?;
    for (q, counts) in &all {
        agree(*q, counts, &tally)?;
        let (known, seen) = (tx.get(QueueAt::of(*q)? + queue::PENDING), tally.pending[q.0 as usize]);
        if known != seen {
            return Err(format!("queue {}: {known} outputs wait in windows, {seen} are there", q.0));
        }
    }
    let carved = Class::all().map(|class| tx.get(class.carved())).fold(0, u64::wrapping_add);
    match tally.blocks.len() as u64 == carved {
        true => Ok(all),
        false => Err(format!("{carved} blocks were made, {} are somewhere", tally.blocks.len())),
    }
}

/// The ledgers against what workers really hold: the part of the check that takes no longer the more is waiting.
pub(super) fn leases(tx: &Tx<'_>) -> Result<(), String> {
    let mut held = vec![0_u64; MAX_QUEUES];
    for slot in SlotAt::opened(tx.get(layout::OPENED)) {
        for entry in Bitmap::load(tx.memory, slot).entries() {
            let meta = tx.memory.meta(slot.entry(entry));
            let queue = held.get_mut(meta.queue().0 as usize);
            let queue = queue.ok_or_else(|| format!("slot {} holds an item of no queue", slot.id().0))?;
            *queue += meta.items() as u64;
        }
    }
    for queue in counts::used_queues(tx.memory) {
        let (leased, held) = (counts::leased(tx, queue), held[queue.index()]);
        if leased != held {
            return Err(format!("queue {}: {leased} items are leased, workers hold {held}", queue.index()));
        }
    }
    Ok(())
}

fn free_blocks(tx: &Tx<'_>, tally: &mut Tally) -> Result<(), String> {
    for class in Class::all() {
        for stack in [FreeStack::Hot, FreeStack::Cold] {
            for i in 0..tx.get(class.free(stack)).min(class.blocks()) {
                let block = BlockAt::named_by(tx.memory.load(class.cell(stack, i)));
                tally.block(block, format!("free blocks of class {}", class.index()))?;
            }
        }
    }
    Ok(())
}

fn held(tx: &Tx<'_>, slot: SlotAt, tally: &mut Tally) -> Result<(), String> {
    for entry in Bitmap::load(tx.memory, slot).entries() {
        let (at, meta) = (slot.entry(entry), tx.memory.meta(slot.entry(entry)));
        tally.item(tx, at.into(), meta, format!("holding {entry} of slot {}", slot.id().0))?;
        tally.leased[QueueAt::of(meta.queue())?.index()] += meta.items() as u64;
    }
    Ok(())
}

fn waiting(tx: &Tx<'_>, queue: QueueAt, tally: &mut Tally) -> Result<(), String> {
    let (k, first, used) = ring::extent(tx, queue)?;
    let mut places = Vec::new();
    for i in 0..used {
        let at = queue.ring_slot(k, first.wrapping_add(i));
        places.push((at, ring::remaining(tx, queue, at, i == 0)?));
    }
    let in_ring: usize = places.iter().map(|(_, meta)| meta.items()).sum();
    let returned = (0..returned::len(tx, queue)?).map(|i| queue.returned(i));
    places.extend(returned.map(|at| (at.into(), tx.memory.meta(at))));
    let all: usize = places.iter().map(|(_, meta)| meta.items()).sum();
    let counted = tx.get(queue + queue::TAIL).wrapping_sub(tx.get(queue + queue::HEAD));
    if counted != in_ring as u64 || tx.get(queue + queue::RETURNED) != (all - in_ring) as u64 {
        return Err(format!("queue {}: {in_ring} items are in the ring, {all} wait", queue.index()));
    }
    delayed::check(tx, queue)?;
    places.extend(delayed::entries(tx, queue)?.into_iter().map(|(at, _)| (at.into(), tx.memory.meta(at))));
    for (at, meta) in places {
        let (own, of) = (queue.id(), meta.queue());
        if of != own {
            return Err(format!("queue {} holds an item of queue {}", own.0, of.0));
        }
        tally.item(tx, at, meta, format!("queue {}", own.0))?;
    }
    Ok(())
}

/// The outputs in a window, each in the block that was reserved for its queue.
fn in_window(tx: &Tx<'_>, queue: QueueAt, tally: &mut Tally) -> Result<(), String> {
    let place = format!("window {}", queue.index());
    let (mut closed, mut outputs) = (0, 0);
    let next = tx.get(queue + queue::NEXT_PLACE);
    for closed_place in places::closed(tx, queue)? {
        closed += closed_place.items;
        if let Some(list) = closed_place.list(tx) {
            tally.bytes[queue.index()] += tally.block(list, place.clone())?;
        }
        let is_next = closed_place.first == next;
        let (gone, items) = if is_next { places::moved(tx, queue) } else { (0, 0) };
        for (i, at) in closed_place.outputs(tx).enumerate().skip(gone) {
            let meta = places::rest(at, tx.memory.meta(at), if i == gone { items } else { 0 })?;
            let to = QueueAt::of(meta.queue())?.index();
            tally.pending[to] += meta.items() as u64;
            outputs += meta.items() as u64;
            tally.item(tx, at, meta, place.clone())?;
        }
    }
    let counted = (tx.get(queue + queue::CLOSED_PLACES), counts::waiting(tx, queue));
    match counted == (closed, outputs) {
        true => Ok(()),
        false => Err(format!("{place}: {closed} places with {outputs} outputs, counted as {counted:?}")),
    }
}

fn agree(QueueId(q): QueueId, counts: &QueueCounts, tally: &Tally) -> Result<(), String> {
    let (leased, bytes) = (tally.leased[q as usize], tally.bytes[q as usize]);
    let ends = [counts.done, counts.waiting, counts.delayed, counts.leased, counts.dropped, counts.dead];
    let settled = ends.into_iter().fold(0, u64::wrapping_add);
    if counts.leased != leased {
        return Err(format!("queue {q}: {} items are leased, workers hold {leased}", counts.leased));
    }
    if counts.bytes != bytes {
        return Err(format!("queue {q}: {} bytes are charged, {bytes} are in use", counts.bytes));
    }
    match counts.put == settled {
        true => Ok(()),
        false => Err(format!("queue {q}: {} items were put, {settled} are accounted for", counts.put)),
    }
}
