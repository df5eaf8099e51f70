//! An item put into a queue by the supervisor, once: a dead letter that gets another chance.
//!
//! The queue remembers, in the step that publishes the item, which letter that was. Whoever was killed after that and
//! before the letter was crossed out asks again, and hears that it is done.

use super::descriptor::{Meta, inline_word};
use super::event::Event;
use super::layout::{self, INLINE, queue};
use super::steward::QueueAdmin;
use super::{Fault, QueueId, ring, saving};
use std::time::Duration;

/// The supervisor has other things to do than to wait for a disk that is slow or full.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// It waits in the queue.
    Done,
    /// It was put before.
    Already,
    /// There is no room.
    Full,
    /// Nobody will take it: the queue has ended, or nobody reads it.
    Ended,
    /// The queue takes no item as long as this.
    TooLong,
    /// It is in the queue, but the disk has not taken it in time: asked again, it says how that went.
    NotSafe,
}

impl QueueAdmin {
    /// Puts an item, unless the last one that came this way had the same `key` (not 0). All of it or nothing.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn put_back(&mut self, q: QueueId, bytes: &[u8], key: u64) -> Result<PutBack, Fault> {
        let at = layout::queue_at(q)?;
        let mut tx = self.hand.begin()?;
        let flags = tx.get(at + queue::FLAGS);
        let size = if bytes.len() > INLINE { layout::block_size(layout::class_for(bytes.len())) } else { 0 };
        if tx.get(at + queue::PUT_BACK) == key {
            let change = tx.memory.load(layout::sync::CHANGES);
            drop(tx);
            return Ok(self.once_safe(Some(change), PutBack::Already));
        }
        if flags & queue::USED == 0 || flags & (queue::ENDED | queue::CLOSED) != 0 {
            return Ok(PutBack::Ended);
        }
        if bytes.len() as u64 > tx.get(at + queue::MAX_ITEM).min(layout::MAX_ITEM) {
            return Ok(PutBack::TooLong);
        }
        let is_full = ring::waiting(&tx, at) >= tx.get(at + queue::CAPACITY);
        if is_full || size > 0 && tx.get(at + queue::BYTES) + size > tx.get(at + queue::MAX_BYTES) {
            return Ok(PutBack::Full);
        }
        let data = if size == 0 {
            inline_word(bytes)
        } else {
            // Until the commit the block counts as free: what is written there is nobody's.
            let block = tx.allocate(layout::class_for(bytes.len()))?;
            tx.memory.fill(block, bytes.len(), |to| to.copy_from_slice(bytes))?;
            tx.add(at + queue::BYTES, size);
            block
        };
        ring::push(&mut tx, q, at, 1, std::iter::once((data, Meta::item(bytes.len(), q))))?;
        tx.set(at + queue::PUT_BACK, key);
        tx.commit()?;
        tx.notify(Event::of(at, queue::NOT_EMPTY));
        let change = tx.change();
        drop(tx);
        Ok(self.once_safe(change, PutBack::Done))
    }

    /// Whether the item of this `key` was the last one that was put back into the queue.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn was_put_back(&mut self, q: QueueId, key: u64) -> Result<bool, Fault> {
        let at = layout::queue_at(q)?;
        let tx = self.hand.begin()?;
        Ok(tx.get(at + queue::PUT_BACK) == key)
    }

    fn once_safe(&self, change: Option<u64>, outcome: PutBack) -> PutBack {
        let memory = self.hand.memory();
        match change {
            Some(change) if !saving::is_safe_within(memory, change, PATIENCE) => PutBack::NotSafe,
            _ => outcome,
        }
    }
}
