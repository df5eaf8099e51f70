//! A look at an item as it is put, for whoever wants to see what passes through a queue.
//!
//! Nothing is taken and nobody waits. A wish is one word; the next put to that queue copies the beginning of its first
//! item, under the lock that it holds anyway, and takes the wish away. Without a wish a put reads one word.

use super::descriptor::Meta;
use super::layout::{self, SAMPLE, TAP, sample};
use super::memory::Memory;
use super::release::Look;
use super::steward::QueueAdmin;
use super::{Fault, QueueId};

/// Shows the item of the ring's slot at `slot` to whoever taps the queue at `at`.
#[inline]
pub(super) fn pass(memory: &Memory, at: usize, slot: usize, id: u64) {
    if memory.load(TAP) == at as u64 {
        show(memory, at, slot, id);
    }
}

#[cold]
fn show(memory: &Memory, at: usize, slot: usize, id: u64) {
    let meta = Meta(memory.load(slot + 8));
    let item = match meta.has_block() {
        false => Ok(memory.inline(slot, meta.len())),
        true => memory.block(memory.load(slot), meta.len()),
    };
    // What makes no sense is told by whoever takes it.
    let Ok(item) = item else { return };
    memory.store(SAMPLE + sample::ID, id);
    memory.store(SAMPLE + sample::LEN, meta.len() as u64);
    memory.write_text(SAMPLE + sample::TEXT, &item[..item.len().min(sample::TEXT_MAX)]);
    memory.store(SAMPLE + sample::QUEUE, at as u64);
    memory.store(TAP, 0);
}

impl QueueAdmin {
    /// The item of a queue that was seen since the last call, if there was one; from now on the next one is looked for.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn tap(&mut self, q: QueueId) -> Result<Option<Look>, Fault> {
        let at = layout::queue_at(q)?;
        let tx = self.hand.begin()?;
        let memory = tx.memory;
        let seen = (memory.load(SAMPLE + sample::QUEUE) == at as u64).then(|| {
            let len = memory.load(SAMPLE + sample::LEN) as usize;
            let start = memory.read_text(SAMPLE + sample::TEXT, len.min(sample::TEXT_MAX));
            Look { start, len, attempt: 1, queue: q, id: memory.load(SAMPLE + sample::ID) }
        });
        memory.store(SAMPLE + sample::QUEUE, 0);
        memory.store(TAP, at as u64);
        Ok(seen)
    }
}
