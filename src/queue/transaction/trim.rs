//! Memory that a burst left behind goes back to the system, by workers that have nothing to do.
//!
//! A free block is *hot* while its pages are likely still there, *cold* once they were given back. Before a worker
//! falls asleep on empty inputs it makes surplus hot blocks cold, a bounded number in each transaction, and stops as
//! soon as an item comes. The block is cold first and its pages go then, still under the lock: a death in between
//! leaves a cold block with pages. The other way round it would leave a hot one without, for which a file would not make
//! room again. Blocks smaller than a page share theirs and stay.

use super::tx::Tx;
use crate::queue::arena::layout::{BlockAt, Class, FreeStack};
use crate::queue::arena::{fault::Fault, memory::Memory};

/// Bytes of a class that stay hot: a queue that runs empty now and then should not pay for new pages each time.
const HOT_BYTES: u64 = if cfg!(test) { 0 } else { 8 << 20 };
/// Given back in one transaction: bounds the time under the lock, to some 50 us.
const TX_BYTES: u64 = 1 << 20;
const TX_BLOCKS: u64 = 32;

/// The classes whose blocks are whole pages.
fn classes() -> impl Iterator<Item = Class> {
    Class::all_from(4096)
}

/// A block larger than one transaction's worth goes piece by piece: which, and how much of it is gone. If it is used in
/// between, some of its pages are back; cold is a hint, nothing depends on it.
#[derive(Default)]
pub(crate) struct PartialDiscard(Option<(BlockAt, u64)>);

/// Gives back some of the surplus; false if there was none.
pub(crate) fn some(tx: &mut Tx<'_>, large: &mut PartialDiscard) -> Result<bool, Fault> {
    for class in classes() {
        let (size, hot) = (class.block_size(), tx.get(class.free(FreeStack::Hot)));
        if hot <= kept(class) {
            continue;
        }
        // In a file a hot block has all its pages, so a large one goes at once.
        if size <= TX_BYTES || tx.memory.is_file() || large.is_last(tx, class)? {
            cool(tx, class, (hot - kept(class)).min((TX_BYTES / size).clamp(1, TX_BLOCKS)))?;
        }
        return Ok(true);
    }
    Ok(false)
}

impl PartialDiscard {
    /// Gives back one piece of the topmost hot block; true if only the last one is left.
    fn is_last(&mut self, tx: &Tx<'_>, class: Class) -> Result<bool, Fault> {
        let hot = tx.free_count(class, FreeStack::Hot)?;
        let top = tx.free_block(class, FreeStack::Hot, hot - 1)?;
        let gone = self.0.filter(|(block, _)| *block == top).map_or(0, |(_, gone)| gone);
        let is_last = class.block_size() - gone <= TX_BYTES;
        if !is_last {
            tx.memory.discard(top.area(class).part(gone, TX_BYTES));
        }
        self.0 = Some((top, if is_last { gone } else { gone + TX_BYTES }));
        Ok(is_last)
    }
}

/// Gives back free blocks of all classes, though they are likely needed again soon: where the disk is full one class has
/// what another needs.
pub(crate) fn for_others(tx: &mut Tx<'_>) -> Result<(), Fault> {
    for class in classes() {
        let hot = tx.get(class.free(FreeStack::Hot));
        let n = hot.min((TX_BYTES / class.block_size()).clamp(1, TX_BLOCKS));
        if n > 0 {
            cool(tx, class, n)?;
        }
    }
    Ok(())
}

/// Whether there is any surplus, without the lock.
pub(crate) fn is_due(memory: &Memory) -> bool {
    classes().any(|class| memory.load(class.free(FreeStack::Hot)) > kept(class))
}

/// Blocks of a class that stay hot.
fn kept(class: Class) -> u64 {
    HOT_BYTES / class.block_size()
}

fn cool(tx: &mut Tx<'_>, class: Class, n: u64) -> Result<(), Fault> {
    let (hot, cold) = (tx.free_count(class, FreeStack::Hot)?, tx.free_count(class, FreeStack::Cold)?);
    if cold + n > class.blocks() {
        return Err(Fault::damaged("the count of free blocks", class.free(FreeStack::Cold), cold));
    }
    for i in 0..n {
        let block = tx.free_block(class, FreeStack::Hot, hot - 1 - i)?;
        tx.memory.store(class.cell(FreeStack::Cold, cold + i), block.word());
    }
    tx.set(class.free(FreeStack::Hot), hot - n);
    tx.set(class.free(FreeStack::Cold), cold + n);
    tx.commit()?;
    let left = if tx.memory.is_file() { class.block_size() } else { TX_BYTES };
    for i in 0..n {
        let block = tx.free_block(class, FreeStack::Cold, cold + i)?;
        tx.memory.discard(block.area(class).last(left));
    }
    Ok(())
}
