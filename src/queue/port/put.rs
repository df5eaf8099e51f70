//! Staging: outputs are copied into reserved blocks (or carried in their descriptors) before the commit shows them.

use super::super::descriptor::{Meta, inline_word};
use super::super::event::Event;
use super::super::holdings::{self, Free};
use super::super::layout::{self, HOLDINGS, INLINE, MAX_FAN, queue};
use super::super::memory::Memory;
use super::super::tx::Tx;
use super::super::{Fault, QueueId, Waiting, WhenFull, ahead, drop_old};
use super::runs::Runs;
use super::{Port, Wait};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Outputs staged at once, at most; more are published in parts.
const MAX_STAGED: usize = 512;
/// Outputs with a block each that one transaction publishes: of more the first are published early, in a part of their own.
pub const MAX_BLOCKS: usize = MAX_STAGED - MAX_SPARES;
/// Blocks larger than this (64 KiB) are reserved one by one.
const MAX_SPARE_CLASS: usize = 10;
const MAX_SPARES: usize = 64;
/// A full disk is looked at again after this long.
const LOOK_AT_DISK_AGAIN: Duration = Duration::from_millis(250);
pub(super) const NO_LEASE: u32 = u32::MAX;
const NO_HOLD: u16 = u16::MAX;

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

/// What becomes of one staged put.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fate {
    Publish,
    /// Counted as dropped.
    Drop,
    /// Its queue has no reader any more.
    Void,
}

/// One output for one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    pub queue: QueueId,
    pub data: u64,
    pub meta: Meta,
    hold: u16,
    pub fate: Fate,
}

impl Put {
    /// The table entry of its block.
    pub fn hold(&self) -> Option<u16> {
        (self.hold != NO_HOLD).then_some(self.hold)
    }
}

/// One output of a stage: a put for each of its queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub first: u32,
    pub count: u32,
    /// Index of the lease it is an output of, or NO_LEASE.
    pub lease: u32,
}

/// A reserved block that is not used yet.
#[derive(Clone, Copy)]
pub(super) struct Spare {
    queue: QueueId,
    class: usize,
    block: u64,
    hold: u16,
}

impl Spare {
    pub fn hold(&self) -> u16 {
        self.hold
    }
}

#[derive(Default)]
pub(super) struct Staging {
    pub puts: Vec<Put>,
    pub groups: Vec<Group>,
    /// Groups that are out already.
    pub published: usize,
    pub spares: Vec<Spare>,
    /// Where the groups go.
    pub runs: Runs,
    /// Leases `0 .. named` are named by outputs.
    pub named: usize,
    /// Some output's fate was decided when it was put.
    pub decided: bool,
    /// Table entries that the puts hold.
    pub blocks: usize,
    /// So many they held before: as many will be needed again.
    lately: usize,
    /// Nothing is to wait, and nothing to be published before its time.
    pub impatient: bool,
    /// That the disk is full was said.
    disk_is_full: bool,
}

impl Staging {
    /// With room for what is pushed inside the lock.
    pub fn new() -> Staging {
        Staging { spares: Vec::with_capacity(MAX_SPARES + 1), ..Staging::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// So many outputs are about to come.
    pub fn expect(&mut self, outputs: usize) {
        self.lately = outputs;
    }

    pub fn puts_of(&self, groups: Range<usize>) -> Range<usize> {
        let end = groups.end.checked_sub(1).map(|last| self.groups[last]);
        match end {
            Some(last) if !groups.is_empty() => {
                self.groups[groups.start].first as usize..(last.first + last.count) as usize
            }
            _ => 0..0,
        }
    }

    #[inline]
    fn add_group(&mut self, outputs: &[QueueId], for_lease: Option<usize>) {
        self.runs.push(if let [q] = outputs { Some(*q) } else { None });
        self.named = self.named.max(for_lease.map_or(0, |i| i + 1));
        let lease = for_lease.map_or(NO_LEASE, |i| i as u32);
        let first = self.puts.len() - outputs.len();
        self.groups.push(Group { first: first as u32, count: outputs.len() as u32, lease });
    }

    /// Where the last of these groups goes.
    pub fn last_queue(&self, groups: Range<usize>) -> Option<QueueId> {
        self.groups[groups].last().map(|group| self.puts[group.first as usize].queue)
    }

    pub fn truncate(&mut self, groups: usize, puts: usize, blocks: usize) {
        self.runs.truncate(groups);
        self.groups.truncate(groups);
        self.puts.truncate(puts);
        self.blocks -= blocks;
    }

    /// Forgets what was decided about these groups by a transaction that does not publish them after all.
    pub fn reconsider(&mut self, groups: Range<usize>) {
        let puts = self.puts_of(groups);
        for put in self.puts[puts].iter_mut().filter(|put| put.hold != NO_HOLD || !put.meta.has_block()) {
            put.fate = Fate::Publish;
        }
    }

    pub fn clear(&mut self) {
        self.lately = self.blocks;
        self.puts.clear();
        self.groups.clear();
        self.runs.clear();
        self.published = 0;
        self.blocks = 0;
        self.named = 0;
        self.decided = false;
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

impl Port {
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
    /// As [`Port::put`].
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
        let Port { hand, slot, live, staging, .. } = self;
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
