//! An extent: a block with the items of one put, one after the other, each followed by a line end.
//!
//! ```text
//! outstanding | item 0 \n item 1 \n … | free | … | end 1 | end 0
//! ```
//!
//! `outstanding` (a word that only a transaction changes, once a queue has items of it) counts the items of the block
//! that have not ended: the last one's end frees the block. The ends (32 bits each, the line end included, from the first
//! item's start) grow down from the block's end. All but `outstanding` is written by the worker that has reserved the
//! block, and never again once it is published. The line ends let a span go to a reader of lines as it is, if its items
//! hold no others.

use super::descriptor::Span;
use super::fault::Fault;
use super::inject;
use super::layout::{BlockAt, Class};
use super::memory::{Memory, copy};
use std::ptr::NonNull;

const HEADER: usize = 8;
const END: usize = size_of::<u32>();
/// Bytes of an item in an extent besides its own.
pub(crate) const PER_ITEM: usize = END + 1;
/// Bytes of a block that are not items'.
pub(crate) const OVERHEAD: usize = HEADER;

/// Whether `items` items more, of `bytes` bytes together, fit behind `items_before` of `bytes_before` (line ends included).
#[inline]
pub(crate) fn fits(block_size: usize, items_before: usize, bytes_before: usize, bytes: usize) -> bool {
    HEADER + bytes_before + bytes + 1 + (items_before + 1) * END <= block_size
}

impl Memory {
    /// Writes an item of `len` bytes behind those that take `start` bytes, as number `n`, into a block that the caller has
    /// reserved. Returns where the next one starts.
    ///
    /// The caller has asked [`fits`], and the block is of this class as [`BlockAt::class`] says.
    #[inline]
    pub(crate) fn append(
        &self,
        block: BlockAt,
        class: Class,
        (n, start): (usize, usize),
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> usize {
        let size = class.block_size() as usize;
        let end = start + len + 1;
        assert!(fits(size, n, start, len), "no room in an extent");
        inject::step();
        // SAFETY: a block that was reserved lies inside of the mapping (its class was asked for when it was allocated), and the
        // check above says that the item, its line end and its cell of the table lie apart inside of it. It is the caller's alone.
        unsafe {
            let base = self.base.add(block.offset());
            let at = base.add(HEADER + start);
            fill(std::slice::from_raw_parts_mut(at.as_ptr(), len));
            at.add(len).write(b'\n');
            end_cell(base, size, n).write_unaligned(end as u32);
        }
        end
    }

    /// Appends the whole lines at the start of `bytes`, each an item: at most `most`, none longer than `max_item`, as far as there
    /// is room. Returns how many there were, and where the next item starts. The caller keeps to what [`Memory::append`] asks.
    pub(crate) fn append_lines(
        &self,
        block: BlockAt,
        class: Class,
        (n, start): (usize, usize),
        bytes: &[u8],
        (most, max_item): (usize, usize),
    ) -> (usize, usize) {
        let size = class.block_size() as usize;
        inject::step();
        // SAFETY: as in `append`.
        let base = unsafe { self.base.add(block.offset()) };
        let (mut lines, mut end) = (0, 0);
        for line_end in memchr::memchr_iter(b'\n', bytes).take(most) {
            let len = line_end - end;
            if len > max_item || !fits(size, n + lines, start + end, len) {
                break;
            }
            end = line_end + 1;
            // SAFETY: `fits` says that the cell and the bytes up to here lie apart inside of the block, which is the caller's alone.
            unsafe { end_cell(base, size, n + lines).write_unaligned((start + end) as u32) };
            lines += 1;
        }
        // SAFETY: as above: `fits` was asked for the last of the lines.
        let to = unsafe { std::slice::from_raw_parts_mut(base.add(HEADER + start).as_ptr(), end) };
        to.copy_from_slice(&bytes[..end]);
        (lines, start + end)
    }

    /// Item `n` of an extent.
    #[inline]
    pub(crate) fn item_of(&self, block: BlockAt, n: usize) -> Result<&[u8], Fault> {
        let lines = self.lines(block, Span { first: n, count: 1 })?;
        Ok(&lines[..lines.len() - 1])
    }

    /// Copies item number `n` of an extent.
    pub(crate) fn copy_item_out(&self, block: BlockAt, n: usize, to: &mut [u8]) -> Result<(), Fault> {
        let item = self.item_of(block, n)?;
        if item.len() != to.len() {
            return Err(Fault::damaged("the end of an item", block, item.len() as u64));
        }
        copy(item, to);
        Ok(())
    }

    /// The items of a span, each followed by a line end.
    #[inline]
    pub(crate) fn lines(&self, block: BlockAt, Span { first, count }: Span) -> Result<&[u8], Fault> {
        let size = block.class()?.block_size() as usize;
        let base = self.block_start(block, size)?;
        let last = first + count;
        let room = size.saturating_sub(HEADER + last * END);
        if count == 0 || room == 0 {
            return Err(Fault::damaged("a span of items", block, last as u64));
        }
        // SAFETY: the cells of the table up to `last` lie inside of the block. It belongs to the caller's lease (or to the
        // lock that the caller holds), so no process that keeps to the rules writes it meanwhile.
        let end_of = |n: usize| unsafe { end_cell(base, size, n).read_unaligned() } as usize;
        let start = if first == 0 { 0 } else { end_of(first - 1) };
        let end = end_of(last - 1);
        if start >= end || end > room {
            return Err(Fault::damaged("the end of an item", block, end as u64));
        }
        // SAFETY: the check above keeps the slice in front of the table; the rest as above.
        Ok(unsafe { std::slice::from_raw_parts(base.add(HEADER + start).as_ptr(), end - start) })
    }

    /// Where item `n` of an extent that the caller is filling starts.
    pub(crate) fn start_of(&self, block: BlockAt, n: usize) -> Result<usize, Fault> {
        let Some(before) = n.checked_sub(1) else { return Ok(0) };
        let size = block.class()?.block_size() as usize;
        let base = self.block_start(block, size)?;
        if HEADER + n * END > size {
            return Err(Fault::damaged("a span of items", block, n as u64));
        }
        // SAFETY: as in `lines`.
        Ok(unsafe { end_cell(base, size, before).read_unaligned() } as usize)
    }

    /// Changes an item in its place.
    pub(crate) fn change_item_of(&self, block: BlockAt, n: usize, bytes: &[u8]) -> Result<(), Fault> {
        let (start, len) = (self.start_of(block, n)?, self.item_of(block, n)?.len());
        let base = self.block_start(block, block.class()?.block_size() as usize)?;
        inject::step();
        // SAFETY: `item_of` found the item inside of the block; the caller alone uses it.
        let to = unsafe { std::slice::from_raw_parts_mut(base.add(HEADER + start).as_ptr(), len) };
        let len = len.min(bytes.len());
        to[..len].copy_from_slice(&bytes[..len]);
        Ok(())
    }
}

/// The end of item `n`, in a block of `size` bytes.
///
/// # Safety
/// `base` is the start of a block of that size, and `(n + 1) * 4` is not more.
#[inline]
unsafe fn end_cell(base: NonNull<u8>, size: usize, n: usize) -> NonNull<u32> {
    // SAFETY: inside of the block, as the caller says.
    unsafe { base.add(size - (n + 1) * END).cast() }
}
