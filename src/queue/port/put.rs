//! Staging: outputs are copied into reserved blocks (or carried in their descriptors) before the commit shows them.

use super::super::descriptor::{Meta, inline_word};
use super::super::event::Event;
use super::super::holdings::{self, Free};
use super::super::layout::{self, HOLDINGS, INLINE, MAX_FAN, queue};
use super::super::memory::Memory;
use super::super::tx::Tx;
use super::super::{Fault, QueueId, Waiting, WhenFull, ahead, drop_old};
use super::staging::{Fate, MAX_BLOCKS, MAX_SPARES, MAX_STAGED, NO_HOLD, Put, Spare};
use super::{Wait, WorkerHandle};
use std::fmt;
use std::time::{Duration, Instant};

/// Blocks larger than this (64 KiB) are reserved one by one.
const MAX_SPARE_CLASS: usize = 10;
/// A full disk is looked at again after this long.
const LOOK_AT_DISK_AGAIN: Duration = Duration::from_millis(250);

/// Why an output was not staged.
#[derive(Debug)]
pub enum PutError {
    /// Longer than the queue's `max_item` (or `max_bytes`).
    TooLong {
        /// Bytes of the output.
        len: u64,
        /// The most that the queue takes.
        max: u64,
        /// Which queue.
        queue: QueueId,
    },
    /// Told to finish while it waited for room.
    Ordered,
    /// There is no room, and it was not to wait.
    NoRoom,
    /// The memory is damaged.
    Fault(Fault),
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::TooLong { len, max, .. } => {
                write!(f, "an output of {len} bytes is longer than max_item ({max} bytes)")
            }
            PutError::Ordered => f.write_str("told to finish while waiting for room"),
            PutError::NoRoom => f.write_str("there is no room"),
            PutError::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for PutError {}

impl From<Fault> for PutError {
    fn from(fault: Fault) -> PutError {
        PutError::Fault(fault)
    }
}

/// The bytes of an output: still to be written, or to be copied from where they were written first.
enum Payload<F> {
    Unwritten(F),
    Word(u64),
    Block(u64),
}

impl<F: FnOnce(&mut [u8])> Payload<F> {
    #[inline]
    fn word(&mut self, len: usize) -> u64 {
        let mut bytes = [0; INLINE];
        let word = match std::mem::replace(self, Payload::Word(0)) {
            Payload::Unwritten(fill) => {
                fill(&mut bytes[..len]);
                inline_word(&bytes)
            }
            Payload::Word(word) | Payload::Block(word) => word,
        };
        *self = Payload::Word(word);
        word
    }

    #[inline]
    fn write(&mut self, memory: &Memory, block: u64, len: usize) -> Result<(), Fault> {
        match std::mem::replace(self, Payload::Block(block)) {
            Payload::Unwritten(fill) => memory.fill(block, len, fill),
            Payload::Word(first) | Payload::Block(first) => memory.duplicate(first, block, len),
        }
    }
}

enum Reserved {
    Block(u64, u16),
    Fate(Fate),
}

impl WorkerHandle {
    /// Stages a copy of one output for each of the queues (at most 16, each once). It waits only for bytes, never for slots.
    /// An input with very many outputs has the first of them published on the way, with its lease marked.
    ///
    /// `for_lease`: the lease that it is an output of.
    ///
    /// # Errors
    /// [`PutError::TooLong`] leaves everything as it was; so does [`PutError::Ordered`].
    pub fn put(
        &mut self,
        outputs: &[QueueId],
        bytes: &[u8],
        for_lease: Option<usize>,
    ) -> Result<(), PutError> {
        self.put_with(outputs, bytes.len(), for_lease, |to| to.copy_from_slice(bytes))
    }

    /// Stages one output of `len` bytes that `fill` writes in its place: no copy of it is made for the first queue.
    /// What is there before is garbage. If the output is dropped anyway `fill` is not called.
    ///
    /// # Errors
    /// As [`WorkerHandle::put`].
    #[inline]
    pub fn put_with(
        &mut self,
        outputs: &[QueueId],
        len: usize,
        for_lease: Option<usize>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        let outputs = &outputs[..outputs.len().min(MAX_FAN)];
        for &q in outputs {
            self.check_length(q, len)?;
        }
        if !self.staging.impatient
            && (self.staging.groups.len() >= MAX_STAGED || self.staging.blocks + outputs.len() > MAX_BLOCKS)
        {
            self.publish_early()?;
        }
        debug_assert!((1..outputs.len()).all(|i| !outputs[..i].contains(&outputs[i])), "an output twice");
        let start = self.staging.puts.len();
        let mut payload = Payload::Unwritten(fill);
        for (n, &q) in outputs.iter().enumerate() {
            match self.stage(q, len, &mut payload, start) {
                Ok(put) => self.staging.puts.push(put),
                Err(error) => {
                    self.unstage(n)?;
                    return Err(error);
                }
            }
        }
        self.staging.add_group(outputs, for_lease);
        Ok(())
    }

    /// Takes back the last `n` puts, of an output that could not be staged for all its queues.
    #[cold]
    fn unstage(&mut self, n: usize) -> Result<(), Fault> {
        let from = self.staging.puts.len() - n;
        let holds: Vec<u16> = self.staging.puts.drain(from..).filter_map(|put| put.hold()).collect();
        self.staging.blocks -= holds.len().min(self.staging.blocks);
        self.free_blocks(&holds)
    }

    #[inline]
    fn check_length(&self, q: QueueId, len: usize) -> Result<(), PutError> {
        let at = layout::queue_at(q)?;
        let max = self.hand.memory().load(at + queue::MAX_ITEM);
        if len as u64 > max {
            return Err(PutError::TooLong { len: len as u64, max, queue: q });
        }
        Ok(())
    }

    #[inline]
    fn stage<F: FnOnce(&mut [u8])>(
        &mut self,
        q: QueueId,
        len: usize,
        payload: &mut Payload<F>,
        group_start: usize,
    ) -> Result<Put, PutError> {
        let meta = Meta::item(len, q);
        if len <= INLINE {
            let data = payload.word(len);
            return Ok(Put { queue: q, data, meta, hold: NO_HOLD, fate: Fate::Publish });
        }
        match self.reserve(q, layout::class_for(len), group_start)? {
            Reserved::Block(block, hold) => {
                payload.write(self.hand.memory(), block, len)?;
                self.staging.blocks += 1;
                Ok(Put { queue: q, data: block, meta, hold, fate: Fate::Publish })
            }
            Reserved::Fate(fate) => {
                self.staging.decided = true;
                Ok(Put { queue: q, data: 0, meta, hold: NO_HOLD, fate })
            }
        }
    }

    fn reserve(&mut self, q: QueueId, class: usize, group_start: usize) -> Result<Reserved, PutError> {
        let spares = &mut self.staging.spares;
        if let Some(i) = spares.iter().rposition(|spare| spare.class == class && spare.queue == q) {
            let spare = spares.swap_remove(i);
            if let Some(soon) = spares.len().checked_sub(ahead::ITEMS).and_then(|soon| spares.get(soon)) {
                self.hand.memory().will_write(soon.block, layout::block_size(soon.class) as usize);
            }
            return Ok(Reserved::Block(spare.block, spare.hold));
        }
        if self.free_entries() == 0 {
            self.free_spares()?; // of no use here, and in the way
        }
        let mut slept = false;
        loop {
            let (event, sequence, wait) = match self.try_reserve(q, class, slept) {
                Ok(Attempt::Reserved(reserved)) => return Ok(reserved),
                Ok(Attempt::Again) => continue,
                Ok(Attempt::Wait(event, sequence)) => (event, sequence, Wait::Forever),
                Err(full @ Fault::DiskFull(..)) => self.expect_disk(q, &full)?,
                Err(fault) => return Err(fault.into()),
            };
            if self.staging.impatient {
                self.staging.lacked_room = true;
                return Err(PutError::NoRoom);
            }
            // Bytes that this worker itself has staged would never become free by waiting.
            if group_start > 0 && self.staging.published < self.staging.groups.len() {
                self.publish_early_keeping(group_start)?;
            } else if self.must_finish() {
                return Err(PutError::Ordered);
            } else {
                self.sleep_on(&[(event, sequence)], wait, Waiting::Blocked)?;
                slept = true;
            }
        }
    }

    /// The disk is full: for now that is as if the queue were. A block of it may become free, or room on the disk, of
    /// which nobody tells.
    #[cold]
    fn expect_disk(&mut self, q: QueueId, full: &Fault) -> Result<(Event, u32, Wait), Fault> {
        if !std::mem::replace(&mut self.staging.disk_is_full, true) {
            log::warn!("{full}: waiting for room");
        }
        let event = Event::of(layout::queue_at(q)?, queue::BYTES_FREE);
        let sequence = self.hand.begin()?.expect(event);
        Ok((event, sequence, Wait::Until(Instant::now() + LOOK_AT_DISK_AGAIN)))
    }

    /// Entries of the table that hold nothing.
    pub(super) fn free_entries(&self) -> usize {
        let held = self.leases.len() + self.finished.len() + self.staging.blocks + self.staging.spares.len();
        HOLDINGS.saturating_sub(held)
    }

    fn try_reserve(&mut self, q: QueueId, class: usize, slept: bool) -> Result<Attempt, Fault> {
        let spares_left = MAX_SPARES.saturating_sub(self.staging.spares.len()).min(self.free_entries());
        let more = self.staging.blocks.max(self.staging.lately.saturating_sub(self.staging.blocks + 1));
        let wanted = if class <= MAX_SPARE_CLASS { 1 + more.min(spares_left) } else { 1 };
        let haste = self.haste(q, false)?;
        let WorkerHandle { hand, slot, live, staging, .. } = self;
        let at = layout::queue_at(q)?;
        let event = Event::of(at, queue::BYTES_FREE);
        let mut tx = hand.begin_with(haste)?;
        if slept {
            tx.expect(event);
        }
        let size = layout::block_size(class);
        let (used, max) = (tx.get(at + queue::BYTES), tx.get(at + queue::MAX_BYTES));
        if used > 0 && used.saturating_add(size) > max {
            return make_room(&mut tx, q, at, size, event);
        }
        // Spares only while there is plenty: half of the bytes stay for those who need them now.
        let spare_bytes = (max / 2).saturating_sub(used.saturating_add(size));
        let n = 1 + (wanted - 1).min((spare_bytes / size) as usize);
        let mut after = *live;
        let (mut reserved, mut bytes, spares_before) = (None, 0, staging.spares.len());
        for entry in Free::neither(live, live).take(n) {
            let block = match tx.allocate(class) {
                Ok(block) => block,
                Err(Fault::Exhausted(_) | Fault::DiskFull(..)) if reserved.is_some() => break,
                Err(fault) => {
                    staging.spares.truncate(spares_before); // nothing of this transaction happened
                    return Err(fault);
                }
            };
            let to = layout::holding(*slot, entry as usize);
            tx.memory.store(to, block);
            tx.memory.store(to + 8, Meta::reserved(q).0);
            holdings::mark(&mut after, entry);
            bytes += size;
            match reserved {
                None => reserved = Some(Reserved::Block(block, entry)),
                Some(_) => staging.spares.push(Spare { queue: q, class, block, hold: entry }),
            }
        }
        tx.add(at + queue::BYTES, bytes);
        holdings::save(&mut tx, *slot, live, &after);
        tx.commit()?;
        *live = after;
        reserved
            .map(Attempt::Reserved)
            .ok_or_else(|| Fault::damaged("a worker's free holdings", *slot as u64, 0))
    }
}

enum Attempt {
    Reserved(Reserved),
    /// Something was dropped to make room.
    Again,
    Wait(Event, u32),
}

/// No bytes are left: by the queue's policy, wait for them, drop old items, or drop the new one. Nobody need wait
/// for the bytes of a queue that nobody reads; whether it is read is otherwise the commit's question.
fn make_room(tx: &mut Tx<'_>, q: QueueId, at: usize, size: u64, event: Event) -> Result<Attempt, Fault> {
    if tx.get(at + queue::FLAGS) & queue::CLOSED != 0 {
        return Ok(Attempt::Reserved(Reserved::Fate(Fate::Void)));
    }
    match WhenFull::from_word(tx.get(at + queue::WHEN_FULL)) {
        WhenFull::Block => Ok(Attempt::Wait(event, tx.expect(event))),
        WhenFull::DropNew => Ok(Attempt::Reserved(Reserved::Fate(Fate::Drop))),
        WhenFull::DropOld => {
            let freed = drop_old::until_freed(tx, q, at, size)?;
            tx.commit()?;
            Ok(if freed { Attempt::Again } else { Attempt::Reserved(Reserved::Fate(Fate::Drop)) })
        }
    }
}
