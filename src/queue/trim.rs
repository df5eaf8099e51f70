//! Memory that a burst left behind goes back to the system, by workers that have nothing to do.
//!
//! A free block is *hot* while its pages are likely still there, *cold* once they were given back. Before a worker
//! falls asleep on empty inputs it makes surplus hot blocks cold, a bounded number in each transaction, and stops as
//! soon as an item comes. The block is cold first and its pages go then, still under the lock: whoever dies in between
//! leaves a cold block with pages. The other way round it would leave a hot one without, which in a file nobody would
//! make room for again. Blocks smaller than a page share theirs and stay.

use super::Fault;
use super::layout::{self, CLASSES, class};
use super::tx::Tx;

/// The first class whose blocks are whole pages (4 KiB).
const FIRST: usize = 6;
/// Bytes of a class that stay hot: a queue that runs empty now and then should not pay for new pages each time.
const KEEP: u64 = if cfg!(test) { 0 } else { 8 << 20 };
/// Given back in one transaction: bounds the time under the lock, to some 50 us.
const CHUNK_BYTES: u64 = 1 << 20;
const CHUNK_BLOCKS: u64 = 32;

/// A block larger than one transaction's worth goes piece by piece: which, and how much of it is gone. If somebody
/// uses it in between, some of its pages are back; cold is a hint, nothing depends on it.
#[derive(Default)]
pub(super) struct Piecemeal {
    block: u64,
    gone: u64,
}

/// Gives back some of the surplus; false if there was none.
pub(super) fn some(tx: &mut Tx<'_>, large: &mut Piecemeal) -> Result<bool, Fault> {
    for class in FIRST..CLASSES {
        let (size, hot) = (layout::block_size(class), tx.get(layout::class_at(class) + class::HOT));
        if hot <= keep(class) {
            continue;
        }
        // In a file a hot block has all its pages, so a large one goes at once.
        if size <= CHUNK_BYTES || tx.memory.is_file() || large.is_last(tx, class, hot)? {
            cool(tx, class, (hot - keep(class)).min((CHUNK_BYTES / size).clamp(1, CHUNK_BLOCKS)))?;
        }
        return Ok(true);
    }
    Ok(false)
}

impl Piecemeal {
    /// Gives back one piece of the topmost hot block; true if only the last one is left.
    fn is_last(&mut self, tx: &Tx<'_>, class: usize, hot: u64) -> Result<bool, Fault> {
        let top = top_block(tx, class, hot, 0)?;
        if self.block != top {
            *self = Piecemeal { block: top, gone: 0 };
        }
        let left = layout::block_size(class) - self.gone;
        if left > CHUNK_BYTES {
            tx.memory.discard((top + self.gone) as usize, CHUNK_BYTES as usize);
            self.gone += CHUNK_BYTES;
        }
        Ok(left <= CHUNK_BYTES)
    }
}

/// Whether there is any surplus, without the lock.
pub(super) fn is_due(memory: &super::memory::Memory) -> bool {
    (FIRST..CLASSES).any(|class| memory.load(layout::class_at(class) + class::HOT) > keep(class))
}

fn keep(class: usize) -> u64 {
    KEEP / layout::block_size(class)
}

/// The hot block `i` below the top, checked.
fn top_block(tx: &Tx<'_>, class: usize, hot: u64, i: u64) -> Result<u64, Fault> {
    if hot > layout::class_blocks(class) {
        return Err(Fault::damaged("the count of free blocks", layout::class_at(class) as u64, hot));
    }
    let block = tx.memory.load(layout::stack_cell(class, false, hot - 1 - i));
    match layout::class_of_block(block)? {
        of if of == class => Ok(block),
        of => Err(Fault::damaged("the class of a free block", block, of as u64)),
    }
}

fn cool(tx: &mut Tx<'_>, class: usize, n: u64) -> Result<(), Fault> {
    let at = layout::class_at(class);
    let (hot, cold) = (tx.get(at + class::HOT), tx.get(at + class::COLD));
    if cold.saturating_add(n) > layout::class_blocks(class) {
        return Err(Fault::damaged("the count of free blocks", (at + class::COLD) as u64, cold));
    }
    for i in 0..n {
        let block = top_block(tx, class, hot, i)?;
        tx.memory.store(layout::stack_cell(class, true, cold + i), block);
    }
    tx.set(at + class::HOT, hot - n);
    tx.set(at + class::COLD, cold + n);
    tx.commit()?;
    let size = layout::block_size(class);
    let left = if tx.memory.is_file() { size } else { size.min(CHUNK_BYTES) };
    for i in 0..n {
        let block = tx.memory.load(layout::stack_cell(class, true, cold + i));
        tx.memory.discard((block + size - left) as usize, left as usize);
    }
    Ok(())
}
