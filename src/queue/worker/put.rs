//! Staging: outputs are copied into reserved blocks (or carried in their descriptors) before the commit shows them.

use super::handle::WorkerHandle;
use super::in_order::{self, Standing};
use super::staging::{MAX_BLOCKS, MAX_EXTENT_ITEM, MAX_SPARES, NO_ENTRY, Piece, Spare, StagedExtent};
use super::wait::Wait;
use crate::model::WhenFull;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::{Meta, inline_word};
use crate::queue::arena::layout::{
    BlockAt, Class, EventAt, FreeStack, HOLDINGS, INLINE, MAX_FAN, MAX_ITEM, QueueAt, queue,
};
use crate::queue::arena::memory::{Memory, copy};
use crate::queue::arena::prefetch::PREFETCH_ITEMS;
use crate::queue::arena::{extent, fault::Fault, worker_time::Waiting};
use crate::queue::transaction::{drop_old, holdings, holdings::FreeEntries, trim, tx::Tx};
use std::fmt;
use std::time::{Duration, Instant};

/// Larger blocks are reserved one by one.
const MAX_SPARE_BYTES: u64 = 64 << 10;
const MAX_EXTENT_BYTES: u64 = 64 << 10;
/// An extent takes no more than this part of a queue's `max_bytes`: its bytes are in use until its last item has ended.
const EXTENTS_OF_QUEUE: u64 = 16;
/// After so many blocks that are published at once the next ones are larger.
const BULK_BLOCKS: usize = 64;
/// How often an allocation is tried again while the disk is full.
const DISK_RETRY: Duration = Duration::from_millis(250);

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
    /// An order to finish came while it waited for room.
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
            PutError::Ordered => f.write_str("stopped while waiting for room"),
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
    Block(BlockAt),
    /// Where it lies in an extent.
    Part(BlockAt, usize),
}

impl<F: FnOnce(&mut [u8])> Payload<F> {
    #[inline]
    fn word(&mut self, memory: &Memory, len: usize) -> Result<u64, Fault> {
        let mut bytes = [0; INLINE];
        self.fill(memory, &mut bytes[..len])?;
        let word = inline_word(&bytes);
        *self = Payload::Word(word);
        Ok(word)
    }

    #[inline]
    fn write(&mut self, memory: &Memory, block: BlockAt, len: usize) -> Result<(), Fault> {
        let mut filled = Ok(());
        memory.fill(block, len, |to| filled = self.fill(memory, to))?;
        *self = Payload::Block(block);
        filled
    }

    /// Fills it in.
    #[inline]
    fn fill(&mut self, memory: &Memory, to: &mut [u8]) -> Result<(), Fault> {
        match std::mem::replace(self, Payload::Word(0)) {
            Payload::Unwritten(fill) => fill(to),
            Payload::Word(word) => to.copy_from_slice(&word.to_le_bytes()[..to.len()]),
            Payload::Block(first) => memory.copy_out(first, to)?,
            Payload::Part(first, n) => memory.copy_item_out(first, n, to)?,
        }
        Ok(())
    }
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
        self.put_with(outputs, bytes.len(), for_lease, |to| copy(bytes, to))
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
        if let [q] = outputs
            && let Some(open) = self.staging.open_for(*q, len)
        {
            let place = (open.count, open.bytes);
            open.bytes = self.session.memory().append(open.block, open.class, place, len, fill);
            open.count += 1;
            self.staging.add_alike(len, for_lease);
            return Ok(());
        }
        self.put_slowly(outputs, len, for_lease, fill)
    }

    /// Stages the whole lines at the start of `bytes`, each as an output of no lease, as far as they simply join the output
    /// before them: none of it waits, and none is left to be done where nothing was staged for the queue. Returns how many
    /// lines there were, and their bytes.
    pub fn put_lines(&mut self, q: QueueId, bytes: &[u8], most: usize) -> (usize, usize) {
        let most = most.min(self.staging.room());
        let Some(open) = self.staging.open_for(q, 0) else { return (0, 0) };
        let before = open.bytes;
        let (lines, end) = self.session.memory().append_lines(
            open.block,
            open.class,
            (open.count, before),
            bytes,
            (most, open.max_item),
        );
        (open.count, open.bytes) = (open.count + lines, end);
        self.staging.add_all_alike(lines, end - before - lines);
        (lines, end - before)
    }

    /// The same, where it does not simply join the output before it.
    fn put_slowly(
        &mut self,
        outputs: &[QueueId],
        len: usize,
        for_lease: Option<usize>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        let outputs = &outputs[..outputs.len().min(MAX_FAN)];
        match self.is_local(outputs) {
            true => self.put_local(outputs, len, for_lease, fill),
            false => self.put_shared(outputs, len, for_lease, fill),
        }
    }

    pub(super) fn put_local(
        &mut self,
        outputs: &[QueueId],
        len: usize,
        for_lease: Option<usize>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        for &q in outputs {
            self.check_length(q, len)?;
        }
        if !self.staging.is_whole
            && (self.staging.outputs.len() >= self.staging.most()
                || self.staging.blocks + outputs.len() > MAX_BLOCKS)
        {
            self.publish_early()?;
        }
        debug_assert!((1..outputs.len()).all(|i| !outputs[..i].contains(&outputs[i])), "an output twice");
        let mut payload = Payload::Unwritten(fill);
        for (n, &q) in outputs.iter().enumerate() {
            if let Err(error) = self.stage(q, len, &mut payload) {
                self.unstage(&outputs[..n])?;
                return Err(error);
            }
        }
        self.staging.add_output(outputs, for_lease);
        Ok(())
    }

    /// Takes back an output that could not be staged for all its queues from those for which it was.
    #[cold]
    fn unstage(&mut self, queues: &[QueueId]) -> Result<(), Fault> {
        for &q in queues {
            let entries = self.staging.take_back(q);
            self.free_blocks(&entries)?;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn check_length(&self, q: QueueId, len: usize) -> Result<(), PutError> {
        let max = self.longest(q)?;
        if len as u64 > max {
            return Err(PutError::TooLong { len: len as u64, max, queue: q });
        }
        Ok(())
    }

    /// Bytes of the longest item that a queue takes now.
    #[inline]
    fn longest(&self, q: QueueId) -> Result<u64, Fault> {
        let own = self.session.memory().load(QueueAt::of(q)? + queue::MAX_ITEM);
        Ok(if self.staging.is_regardless { MAX_ITEM } else { own })
    }

    #[inline]
    fn stage<F: FnOnce(&mut [u8])>(
        &mut self,
        q: QueueId,
        len: usize,
        payload: &mut Payload<F>,
    ) -> Result<(), PutError> {
        let (i, failures) = (self.staging.index(q), self.staging.failures);
        if failures == 0 && self.append(i, len, payload)? {
            return Ok(());
        }
        if let Some(class) = self.bulk_class(len) {
            return self.stage_in_new(i, class, (len, usize::MAX), payload);
        }
        if failures == 0
            && len <= MAX_EXTENT_ITEM
            && let Some(bytes) = self.staging.queues[i].extent_bytes(len)
            && let Some(class) = self.extent_class(q, len, bytes)?
        {
            return self.stage_in_new(i, class, (len, MAX_EXTENT_ITEM), payload);
        }
        let meta = Meta::item(len, q).failed(failures.into());
        let piece = if len <= INLINE {
            Piece::Item { data: payload.word(self.session.memory(), len)?, meta, entry: NO_ENTRY }
        } else {
            match self.reserve(q, Class::for_len(len), None)? {
                Ok((block, _, entry)) => {
                    payload.write(self.session.memory(), block, len)?;
                    Piece::Item { data: block.word(), meta, entry }
                }
                Err(decided) => {
                    self.staging.queues[i].add_decided(decided);
                    return Ok(());
                }
            }
        };
        if piece.entry().is_some() {
            self.staging.add_block();
        }
        self.staging.queues[i].pieces.push_back(piece);
        self.staging.queues[i].count(1, len);
        Ok(())
    }

    /// Appends to the extent that is open for a queue; false if there is none with room.
    #[inline]
    fn append<F: FnOnce(&mut [u8])>(
        &mut self,
        i: usize,
        len: usize,
        payload: &mut Payload<F>,
    ) -> Result<bool, Fault> {
        let WorkerHandle { session, staging, .. } = self;
        let staged = &mut staging.queues[i];
        let Some(open) = staged.open_extent(len) else { return Ok(false) };
        let (memory, mut filled) = (session.memory(), Ok(()));
        let place = (open.count, open.bytes);
        let fill = |to: &mut [u8]| filled = payload.fill(memory, to);
        open.bytes = memory.append(open.block, open.class, place, len, fill);
        filled?;
        *payload = Payload::Part(open.block, open.count);
        open.count += 1;
        staged.count(1, len);
        Ok(true)
    }

    /// The same, with an extent of its own.
    #[cold]
    fn stage_in_new<F: FnOnce(&mut [u8])>(
        &mut self,
        i: usize,
        class: Class,
        (len, most): (usize, usize),
        payload: &mut Payload<F>,
    ) -> Result<(), PutError> {
        let q = self.staging.queues[i].queue;
        match self.reserve(q, class, Some(len))? {
            Ok((block, class, entry)) => {
                let max_item = self.longest(q)?.min(most as u64);
                let extent = StagedExtent::new(block, class, entry, max_item as usize);
                self.staging.add_block();
                self.staging.queues[i].pieces.push_back(Piece::Extent(extent));
                self.append(i, len, payload)?;
            }
            Err(decided) => self.staging.queues[i].add_decided(decided),
        }
        Ok(())
    }

    /// Where any number of outputs is published at once, in order: after many blocks larger and larger ones, which hold items of
    /// any length, so that they fit into the worker's table.
    fn bulk_class(&self, len: usize) -> Option<Class> {
        let blocks = self.staging.blocks;
        let is_bulk = blocks >= MAX_BLOCKS || self.staging.is_whole && blocks >= BULK_BLOCKS;
        if !is_bulk || !self.is_in_order() {
            return None;
        }
        let bytes = (MAX_EXTENT_BYTES as usize) << (blocks / BULK_BLOCKS).min(8);
        Some(Class::for_len(bytes.max(extent::OVERHEAD + len + extent::PER_ITEM)))
    }

    /// The class of the next extent of a queue that should have room for so many bytes; `None`: not even for this item.
    fn extent_class(&self, q: QueueId, len: usize, bytes: usize) -> Result<Option<Class>, Fault> {
        let (memory, queue) = (self.session.memory(), QueueAt::of(q)?);
        let max_bytes = memory.load(queue + queue::MAX_BYTES);
        let free = max_bytes.saturating_sub(memory.load(queue + queue::BYTES));
        let most = MAX_EXTENT_BYTES.min(max_bytes / EXTENTS_OF_QUEUE);
        let per_item = bytes / (len + 1) * extent::PER_ITEM;
        let wanted = Class::for_len(extent::OVERHEAD + bytes + per_item);
        let largest = Class::all().take_while(|class| class.block_size() <= most).last();
        let class = largest.map(|largest| if wanted.block_size() > most { largest } else { wanted });
        let has_room = |class: &Class| {
            class.block_size() <= free && extent::fits(class.block_size() as usize, 0, 0, len)
        };
        Ok(class.filter(has_room))
    }

    /// A block, its class and its table entry; or what becomes of the put without one. `extent_of`: the bytes of the first item of the
    /// extent that it is for. Where the disk is full, such an extent takes a free block of another class.
    fn reserve(
        &mut self,
        q: QueueId,
        class: Class,
        extent_of: Option<usize>,
    ) -> Result<Result<Reserved, Piece>, PutError> {
        let reserved = self.reserve_or_wait(q, class, extent_of);
        // What is tried again as a whole waits elsewhere, for the same room.
        if !matches!(reserved, Err(PutError::NoRoom)) {
            self.end_wait_for_disk();
        }
        reserved
    }

    pub(super) fn end_wait_for_disk(&mut self) {
        if std::mem::take(&mut self.staging.waits_for_disk) {
            self.set_obstacle("");
        }
    }

    fn reserve_or_wait(
        &mut self,
        q: QueueId,
        wanted: Class,
        extent_of: Option<usize>,
    ) -> Result<Result<Reserved, Piece>, PutError> {
        let (mut class, mut tried) = (wanted, Vec::new());
        let spares = &mut self.staging.spares;
        if let Some(i) = spares.iter().rposition(|spare| spare.class == class && spare.queue == q) {
            let spare = spares.swap_remove(i);
            if let Some(soon) = spares.len().checked_sub(PREFETCH_ITEMS).and_then(|soon| spares.get(soon)) {
                self.session.memory().will_write(soon.block, soon.class.block_size() as usize);
            }
            return Ok(Ok((spare.block, class, spare.entry)));
        }
        if self.free_entries() == 0 {
            self.free_spares()?; // of no use here, and in the way
        }
        let queue = QueueAt::of(q)?;
        let mut slept = false;
        loop {
            let (events, wait) = match self.try_reserve(queue, class, slept) {
                Ok(Attempt::Reserved(block, entry)) => return Ok(Ok((block, class, entry))),
                Ok(Attempt::No(decided)) => return Ok(Err(decided)),
                Ok(Attempt::Again) => continue,
                Ok(Attempt::Wait(events)) => (events, Wait::Forever),
                Err(full @ (Fault::DiskFull(..) | Fault::Exhausted(_))) => {
                    tried.push(class);
                    let other = extent_of.and_then(|len| self.free_class(wanted, len, &tried));
                    class = other.unwrap_or(wanted);
                    if other.is_some() {
                        continue;
                    }
                    tried.clear();
                    let (event, sequence, wait) = self.register_for_disk(queue, &full)?;
                    (vec![(event, sequence)], wait)
                }
                Err(fault) => return Err(fault.into()),
            };
            if !self.finished.is_empty() && self.is_in_order() {
                // It may be the turn of just that.
                self.settle()?;
                continue;
            }
            let waits_whole = self.staging.is_whole && self.is_in_order();
            if self.staging.is_whole && !waits_whole {
                self.staging.lacked_room = true;
                return Err(PutError::NoRoom);
            }
            // Bytes that this worker itself has staged would never become free by waiting.
            if !self.staging.is_empty() && !waits_whole && self.publish_early()? {
                continue;
            }
            if self.must_finish() {
                return Err(PutError::Ordered);
            }
            self.sleep_on(&events, wait, Waiting::Blocked)?;
            slept = true;
        }
    }

    /// Another class than the `wanted` one that has a free block for an extent whose item has `len` bytes.
    #[cold]
    fn free_class(&self, wanted: Class, len: usize, tried: &[Class]) -> Option<Class> {
        let memory = self.session.memory();
        let has_free = |class: Class| {
            [FreeStack::Hot, FreeStack::Cold].iter().any(|&stack| memory.load(class.free(stack)) > 0)
        };
        let serves = |class: &Class| {
            let size = class.block_size();
            let fits = size <= MAX_EXTENT_BYTES && extent::fits(size as usize, 0, 0, len);
            fits && !tried.contains(class) && has_free(*class)
        };
        Class::all().filter(serves).min_by_key(|class| class.index().abs_diff(wanted.index()))
    }

    /// The disk is full, or all blocks of the size are in use, maybe by other queues: for now that is as if this queue were
    /// full. A block of it may become free, or room elsewhere, which no event reports. The wait has an end once the caller has
    /// its block.
    #[cold]
    pub(super) fn register_for_disk(
        &mut self,
        queue: QueueAt,
        full: &Fault,
    ) -> Result<(EventAt, u32, Wait), Fault> {
        if !std::mem::replace(&mut self.staging.disk_is_full, true) {
            log::warn!("{full}: waiting for room");
        }
        if !std::mem::replace(&mut self.staging.waits_for_disk, true) {
            self.set_obstacle(&full.to_string());
        }
        self.free_spares()?;
        let event = queue + queue::BYTES_FREE;
        let mut tx = self.session.begin()?;
        trim::for_others(&mut tx)?;
        let sequence = tx.register_waiter(event);
        Ok((event, sequence, Wait::Until(Instant::now() + DISK_RETRY)))
    }

    /// Entries of the table that hold nothing.
    pub(super) fn free_entries(&self) -> usize {
        let held = self.leases.len() + self.finished.len() + self.staging.blocks + self.staging.spares.len();
        let held = held + usize::from(self.staging.list.is_some());
        HOLDINGS.saturating_sub(held)
    }

    fn try_reserve(&mut self, queue: QueueAt, class: Class, slept: bool) -> Result<Attempt, Fault> {
        let spares_left = MAX_SPARES.saturating_sub(self.staging.spares.len()).min(self.free_entries());
        let blocks = self.staging.blocks;
        let more = blocks.max(self.staging.expected_blocks.saturating_sub(blocks + 1));
        let size = class.block_size();
        let wanted = if size <= MAX_SPARE_BYTES { 1 + more.min(spares_left) } else { 1 };
        let priority = self.lock_priority(queue, false);
        let WorkerHandle { session, slot, leases, staging, .. } = self;
        let mut tx = session.begin_with(priority)?;
        if slept {
            tx.register_waiter(queue + queue::BYTES_FREE);
        }
        let (used, max) = (tx.get(queue + queue::BYTES), tx.get(queue + queue::MAX_BYTES));
        let is_over = used > 0 && used.saturating_add(size) > max && !staging.is_regardless;
        if is_over && !in_order::may_exceed(&tx, (*slot, leases), queue)? {
            let standing = in_order::standing(&tx, *slot, leases)?;
            return make_room(&mut tx, queue, size, standing);
        }
        // Spares only while there is plenty: half of the bytes stay for writers that need them now.
        let spare_bytes = (max / 2).saturating_sub(used.saturating_add(size));
        let n = 1 + (wanted - 1).min((spare_bytes / size) as usize);
        let (mut reserved, mut bytes, spares_before) = (None, 0, staging.spares.len());
        let mut free = FreeEntries::of(*slot);
        for _ in 0..n {
            let Some(entry) = free.next(&tx) else { break };
            let block = match tx.allocate(class) {
                Ok(block) => block,
                Err(Fault::Exhausted(_) | Fault::DiskFull(..)) if reserved.is_some() => break,
                Err(fault) => {
                    staging.spares.truncate(spares_before); // nothing of this transaction happened
                    return Err(fault);
                }
            };
            tx.memory.store_descriptor(slot.entry(entry), block.word(), Meta::reserved(queue.id(), 0));
            holdings::mark(&mut tx, *slot, entry);
            bytes += size;
            match reserved {
                None => reserved = Some(Attempt::Reserved(block, entry)),
                Some(_) => staging.spares.push(Spare { queue: queue.id(), class, block, entry }),
            }
        }
        tx.add(queue + queue::BYTES, bytes);
        tx.commit()?;
        reserved.ok_or_else(|| Fault::damaged("a worker's free holdings", *slot, 0))
    }
}

/// A block, its class, and its entry in the worker's table.
type Reserved = (BlockAt, Class, u16);

/// What came of one transaction.
enum Attempt {
    Reserved(BlockAt, u16),
    /// No block is needed.
    No(Piece),
    /// Something was dropped to make room.
    Again,
    Wait(Vec<(EventAt, u32)>),
}

/// No bytes are left: by the queue's policy, wait for them, drop old items, or drop the new one. The bytes of a queue
/// without a reader are never waited for; whether it is read is otherwise the commit's question.
fn make_room(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    size: u64,
    standing: Option<Standing>,
) -> Result<Attempt, Fault> {
    if tx.get(queue + queue::FLAGS) & queue::CLOSED != 0 {
        return Ok(Attempt::No(Piece::Void(1)));
    }
    match WhenFull::from_word(tx.memory.load(queue + queue::WHEN_FULL)) {
        WhenFull::Block => {
            // In order it may go on, too, where what the window waits for has moved on or gone back.
            let window = standing.map(|standing| standing.window + queue::NOT_FULL);
            let events = window.into_iter().chain([queue + queue::BYTES_FREE]);
            Ok(Attempt::Wait(events.map(|event| (event, tx.register_waiter(event))).collect()))
        }
        WhenFull::DropNew => Ok(Attempt::No(Piece::Dropped(1))),
        WhenFull::DropOld => {
            let freed = drop_old::until_freed(tx, queue, size)?;
            tx.commit()?;
            Ok(if freed { Attempt::Again } else { Attempt::No(Piece::Dropped(1)) })
        }
    }
}
