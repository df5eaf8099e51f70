//! Blocks: their size classes, where those of each class lie, and the words of one that is an extent (`extent.rs`).

use super::descriptor::DescriptorAt;
use super::parts::{
    CLASS_SIZE, CLASS_TABLE, CLASSES, HEAP, REGION_SHIFT, RING_SLOT, SMALLEST_SHIFT, STACK_SPAN, STACKS,
};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::place::{Area, At, Field, WordAt, Words};

/// A size class of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(pub(super) usize);

/// The free blocks of a class, on two stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FreeStack {
    /// Their pages are likely still there.
    Hot,
    /// Their pages were given back.
    Cold,
}

impl Class {
    /// The smallest class whose blocks hold `len` bytes.
    pub(crate) fn for_len(len: usize) -> Class {
        Class((len.max(1 << SMALLEST_SHIFT).next_power_of_two().trailing_zeros() - SMALLEST_SHIFT) as usize)
    }

    /// Every class, from the smallest.
    pub(crate) fn all() -> impl Iterator<Item = Class> {
        (0..CLASSES).map(Class)
    }

    /// Every class whose blocks have at least this many bytes.
    pub(crate) fn all_from(len: usize) -> impl Iterator<Item = Class> {
        (Class::for_len(len).0..CLASSES).map(Class)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// Bytes of a block.
    pub(crate) fn block_size(self) -> u64 {
        1 << (SMALLEST_SHIFT + self.0 as u32)
    }

    /// Blocks that it can ever have.
    pub(crate) fn blocks(self) -> u64 {
        1 << (REGION_SHIFT - SMALLEST_SHIFT - self.0 as u32)
    }

    fn word(self, i: usize) -> WordAt {
        At::new(CLASS_TABLE + self.0 * CLASS_SIZE + i * 8)
    }

    /// How many free blocks are on a stack.
    pub(crate) fn free(self, stack: FreeStack) -> WordAt {
        self.word(stack as usize)
    }

    /// Blocks ever cut from the region.
    pub(crate) fn carved(self) -> WordAt {
        self.word(2)
    }

    /// Blocks whose pages, and whose cells on the stacks, are reserved. Only in a file.
    pub(crate) fn prepared(self) -> WordAt {
        self.word(3)
    }

    fn cells(self, stack: FreeStack) -> At<Words> {
        At::new(STACKS + (2 * self.0 + stack as usize) * STACK_SPAN)
    }

    /// Cell `i` of the stack of free blocks.
    pub(crate) fn cell(self, stack: FreeStack, i: u64) -> WordAt {
        self.cells(stack).word(i as usize)
    }

    /// Cells `from ..` of the stack of free blocks.
    pub(crate) fn cells_area(self, stack: FreeStack, from: u64, n: u64) -> Area {
        Area { start: self.cell(stack, from).offset(), bytes: n as usize * 8 }
    }

    /// Block number `n`.
    pub(crate) fn block(self, n: u64) -> BlockAt {
        At::new(HEAP + (self.0 << REGION_SHIFT) + (n * self.block_size()) as usize)
    }

    /// Blocks `from ..`.
    pub(crate) fn blocks_area(self, from: u64, n: u64) -> Area {
        Area { start: self.block(from).offset(), bytes: (n * self.block_size()) as usize }
    }
}

/// The payload of an item, an extent, or room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {}
pub(crate) type BlockAt = At<Block>;

/// Items of it that have not ended.
pub(crate) const OUTSTANDING: Field<Block> = Field::new(0);

impl BlockAt {
    /// The block that a word of the arena names. Not to be followed unless its class was asked for.
    #[inline]
    pub(crate) fn named_by(word: u64) -> BlockAt {
        At::new(word as usize)
    }

    /// The word that names it.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.offset() as u64
    }

    /// Its class, if a block can lie there.
    #[inline]
    pub(crate) fn class(self) -> Result<Class, Fault> {
        let class = self.offset().wrapping_sub(HEAP) >> REGION_SHIFT;
        if self.offset() < HEAP || class >= CLASSES || self.word() & (Class(class).block_size() - 1) != 0 {
            return Err(Fault::damaged("a block's place", self, class as u64));
        }
        Ok(Class(class))
    }

    /// Descriptor `i` of a block that is a list of them.
    pub(crate) fn listed(self, i: usize) -> DescriptorAt {
        At::new(self.offset() + i * RING_SLOT)
    }

    /// The bytes of a block of this class.
    pub(crate) fn area(self, class: Class) -> Area {
        Area { start: self.offset(), bytes: class.block_size() as usize }
    }
}
