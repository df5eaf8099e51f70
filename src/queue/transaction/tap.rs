//! One item is shown as it is put, for a reader that only wants to see what passes through a queue.
//!
//! Nothing is taken and no worker waits. A wish is one word; the next put to that queue copies the beginning of its first
//! item, under the lock that it holds anyway, and clears the wish. Without a wish a put reads one word.

use crate::queue::QueueId;
use crate::queue::arena::layout::{DescriptorAt, QueueAt, TAP, sample};
use crate::queue::arena::memory::Memory;

/// The beginning of an item, for display.
pub struct ItemPreview {
    /// The beginning of its payload.
    pub start: Vec<u8>,
    /// All its bytes.
    pub len: usize,
    /// Which try of it this was, 1 for the first.
    pub attempt: u32,
    /// The queue it was leased from.
    pub queue: QueueId,
    /// Its number in that queue.
    pub id: u64,
}

/// Shows the item in a ring's slot, if its queue is tapped.
#[inline]
pub(super) fn show_if_tapped(memory: &Memory, queue: QueueAt, slot: DescriptorAt, id: u64) {
    if memory.load(TAP) == u64::from(queue) {
        show(memory, queue, slot, id);
    }
}

#[cold]
fn show(memory: &Memory, queue: QueueAt, slot: DescriptorAt, id: u64) {
    // What makes no sense is reported when it is taken.
    let Ok(item) = memory.item(slot) else { return };
    memory.store(sample::ID, id);
    memory.store(sample::LEN, item.len() as u64);
    memory.write_text(sample::TEXT, &item[..item.len().min(sample::TEXT_MAX)]);
    memory.store(sample::QUEUE, queue.into());
    memory.store(TAP, 0);
}

/// The item of this queue that was shown since the last call, under the lock; from now on the next one is waited for.
pub(crate) fn take_sample(memory: &Memory, queue: QueueAt) -> Option<ItemPreview> {
    let seen = (memory.load(sample::QUEUE) == u64::from(queue)).then(|| {
        let len = memory.load(sample::LEN) as usize;
        let start = memory.read_text(sample::TEXT, len.min(sample::TEXT_MAX));
        ItemPreview { start, len, attempt: 1, queue: queue.id(), id: memory.load(sample::ID) }
    });
    memory.store(sample::QUEUE, 0);
    memory.store(TAP, queue.into());
    seen
}
