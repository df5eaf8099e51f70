//! Blocks: the free ones of a class are taken from its stacks, the hot one first, and new ones are cut from its region.
//!
//! A transaction that takes blocks and frees others (an item leaves its extent) uses both stacks: it never pops and pushes the
//! same one. What it pushed over a cell that it has popped would be there before the commit, for those who come after its death;
//! and a block that it pops again after it was pushed still has its old content, which the commit ends.

use super::tx::Tx;
use crate::queue::arena::descriptor::{Meta, Span, inline_word};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{BlockAt, Class, FreeStack, INLINE, QueueAt, queue};
use crate::queue::arena::memory::{Memory, copy};
use std::cmp::Ordering;

/// Bytes of blocks that a file makes room for at once.
const PREPARED_BYTES: u64 = 64 << 10;
/// Blocks of this size are whole pages.
const PAGE: u64 = 4096;

/// The bytes that a payload charges to its queue.
pub(crate) fn charged(len: usize) -> u64 {
    if len > INLINE { Class::for_len(len).block_size() } else { 0 }
}

impl Tx<'_> {
    /// Puts a block on one of its class's stacks of free ones; returns its bytes.
    pub(crate) fn free(&mut self, block: BlockAt) -> Result<u64, Fault> {
        let class = block.class()?;
        let hot = FreeStack::Hot;
        let stack = if self.change_of(class, hot) == Ordering::Less { FreeStack::Cold } else { hot };
        let n = self.free_count(class, stack)?;
        if n == class.blocks() || self.change_of(class, stack) == Ordering::Less {
            return Err(too_many(class, stack, n));
        }
        self.memory.store(class.cell(stack, n), block.word());
        self.set(class.free(stack), n + 1);
        Ok(class.block_size())
    }

    /// Whether this transaction has popped more than it has pushed, or the other way round.
    fn change_of(&self, class: Class, stack: FreeStack) -> Ordering {
        let at = class.free(stack);
        self.get(at).cmp(&self.memory.load(at))
    }

    /// Whether a block of this class can be taken so that one can still be freed.
    fn may_take_beside(&self, class: Class) -> bool {
        let has_popped = self.change_of(class, FreeStack::Hot) == Ordering::Less;
        !has_popped || self.get(class.free(FreeStack::Hot)) > 0 || self.get(class.free(FreeStack::Cold)) == 0
    }

    /// How many free blocks are on a stack, checked.
    pub(crate) fn free_count(&self, class: Class, stack: FreeStack) -> Result<u64, Fault> {
        let n = self.get(class.free(stack));
        if n <= class.blocks() { Ok(n) } else { Err(too_many(class, stack, n)) }
    }

    /// The free block in cell `i` of a stack, checked.
    pub(crate) fn free_block(&self, class: Class, stack: FreeStack, i: u64) -> Result<BlockAt, Fault> {
        let block = BlockAt::named_by(self.memory.load(class.cell(stack, i)));
        match block.class()? {
            of if of == class => Ok(block),
            of => Err(Fault::damaged("the class of a free block", block, of.index() as u64)),
        }
    }

    /// Takes a free block of a class, the most recently used first.
    pub(crate) fn allocate(&mut self, class: Class) -> Result<BlockAt, Fault> {
        for stack in [FreeStack::Hot, FreeStack::Cold] {
            let n = self.free_count(class, stack)?;
            if n > 0 && self.change_of(class, stack) != Ordering::Greater {
                let block = self.free_block(class, stack, n - 1)?;
                if stack == FreeStack::Cold {
                    self.memory.reserve(block.area(class))?;
                }
                self.set(class.free(stack), n - 1);
                return Ok(block);
            }
        }
        self.carve(class)
    }

    /// A block that was never used yet.
    fn carve(&mut self, class: Class) -> Result<BlockAt, Fault> {
        let carved = self.get(class.carved());
        if carved >= class.blocks() {
            return Err(Fault::Exhausted(class.block_size()));
        }
        if self.memory.is_file() && carved >= self.get(class.prepared()) {
            let prepared = prepare(self.memory, class, carved)?;
            self.set(class.prepared(), prepared);
        }
        self.set(class.carved(), carved + 1);
        Ok(class.block(carved))
    }

    /// The descriptor of a new item, whose block is allocated, filled and charged to the queue. Until the commit the block
    /// counts as free: what is written there belongs to no item.
    pub(crate) fn new_item(&mut self, queue: QueueAt, bytes: &[u8]) -> Result<(u64, Meta), Fault> {
        let meta = Meta::item(bytes.len(), queue.id());
        if bytes.len() <= INLINE {
            return Ok((inline_word(bytes), meta));
        }
        let block = self.allocate(Class::for_len(bytes.len()))?;
        self.memory.fill(block, bytes.len(), |to| copy(bytes, to))?;
        self.add(queue + queue::BYTES, charged(bytes.len()));
        Ok((block.word(), meta))
    }
}

/// An item that goes its own way.
impl Tx<'_> {
    /// The descriptor of an item that has failed, outside of its extent where there is room for it: it may wait for long, and
    /// would keep the extent's block in use. All else stays where it is.
    pub(crate) fn detach(
        &mut self,
        queue: QueueAt,
        data: u64,
        meta: Meta,
        is_delayed: bool,
    ) -> Result<(u64, Meta), Fault> {
        let Some(Span { first, count: 1 }) = meta.as_span() else { return Ok((data, meta)) };
        let (memory, extent) = (self.memory, BlockAt::named_by(data));
        let bytes = memory.item_of(extent, first)?;
        let goes_alone = is_delayed || meta.failures() > 0;
        if !goes_alone || bytes.len() > INLINE && !self.has_room_for(queue, bytes.len()) {
            return Ok((data, meta));
        }
        let (own, item) = match self.new_item(queue, bytes) {
            Ok(new) => new,
            Err(Fault::Exhausted(_) | Fault::DiskFull(..)) => return Ok((data, meta)),
            Err(fault) => return Err(fault),
        };
        let freed = self.end_outstanding(extent, 1)?;
        if freed > 0 {
            self.subtract(queue + queue::BYTES, freed);
        }
        Ok((own, item.failed(u64::from(meta.failures()))))
    }
}

impl Tx<'_> {
    /// For an item outside of its extent.
    fn has_room_for(&self, queue: QueueAt, len: usize) -> bool {
        let used = self.get(queue + queue::BYTES).saturating_add(charged(len));
        used <= self.get(queue + queue::MAX_BYTES) && self.may_take_beside(Class::for_len(len))
    }
}

#[cold]
fn too_many(class: Class, stack: FreeStack, n: u64) -> Fault {
    Fault::damaged("the count of free blocks", class.free(stack), n)
}

/// In a file: takes the room for the next blocks of a class, and for their cells on both stacks.
#[cold]
fn prepare(memory: &Memory, class: Class, carved: u64) -> Result<u64, Fault> {
    let n = (PREPARED_BYTES / class.block_size()).clamp(1, class.blocks() - carved);
    match prepare_blocks(memory, class, carved, n) {
        Err(Fault::DiskFull(..)) if n > 1 => prepare_blocks(memory, class, carved, 1),
        prepared => prepared,
    }
}

fn prepare_blocks(memory: &Memory, class: Class, carved: u64, n: u64) -> Result<u64, Fault> {
    let blocks = class.blocks_area(carved, n);
    memory.reserve(blocks)?;
    for stack in [FreeStack::Hot, FreeStack::Cold] {
        if let Err(full) = memory.reserve(class.cells_area(stack, carved, n)) {
            // Another class can use their pages. Smaller blocks share theirs with blocks that are in use.
            if class.block_size() >= PAGE {
                memory.discard(blocks);
            }
            return Err(full);
        }
    }
    Ok(carved + n)
}
