//! An item put into a queue by the supervisor, once: a dead letter that gets another chance.
//!
//! The queue notes, in the step that publishes the item, which letter that was. A supervisor that was killed after that
//! and before the letter was marked as done asks again, and learns that it is done.

use super::queues::QueueAdmin;
use crate::queue::QueueId;
use crate::queue::arena::birth::Origin;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{self, QueueAt, entry, queue};
use crate::queue::transaction::{blocks, checkpoint, counts, delayed, ring, tx::Tx};
use std::time::{Duration, Instant};

/// The supervisor has other things to do than to wait for a disk that is slow or full.
const DISK_TIMEOUT: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// It waits in the queue.
    Done,
    /// It was put before.
    Already,
    /// There is no room.
    Full,
    /// It would never be taken: the queue has ended, or no stage reads it.
    Ended,
    /// The queue takes no item as long as this.
    TooLong,
    /// It is in the queue, but was not saved on the disk in time: asked again, it says how that went.
    NotSafe,
}

impl QueueAdmin {
    /// Puts an item, unless the last one that came this way had the same `key` (not 0). All of it or nothing. `origin`: what names
    /// it still.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn put_back(
        &mut self,
        q: QueueId,
        bytes: &[u8],
        key: u64,
        origin: Option<Origin>,
    ) -> Result<PutBack, Fault> {
        let queue = QueueAt::of(q)?;
        let mut tx = self.session.begin()?;
        if tx.get(queue + queue::PUT_BACK) == key {
            let change = tx.memory.load(layout::checkpoint::CHANGES);
            drop(tx);
            return Ok(self.once_saved(Some(change), PutBack::Already));
        }
        let (flags, size) = (tx.get(queue + queue::FLAGS), blocks::charged(bytes.len()));
        if flags & queue::USED == 0 || flags & (queue::ENDED | queue::CLOSED) != 0 {
            return Ok(PutBack::Ended);
        }
        if bytes.len() as u64 > tx.get(queue + queue::MAX_ITEM).min(layout::MAX_ITEM) {
            return Ok(PutBack::TooLong);
        }
        let is_full = counts::queued(&tx, queue) >= tx.get(queue + queue::CAPACITY);
        if is_full || size > 0 && tx.get(queue + queue::BYTES) + size > tx.get(queue + queue::MAX_BYTES) {
            return Ok(PutBack::Full);
        }
        let item = match tx.new_item(queue, bytes) {
            Err(Fault::Exhausted(_)) => return Ok(PutBack::Full),
            item => item?,
        };
        match origin {
            None => ring::push(&mut tx, queue, 1, std::iter::once(item))?,
            Some(origin) if push_named(&mut tx, queue, item, origin)? => {}
            Some(_) => return Ok(PutBack::Full),
        }
        tx.set(queue + queue::PUT_BACK, key);
        tx.commit()?;
        tx.notify(queue + queue::NOT_EMPTY);
        let change = tx.change();
        drop(tx);
        Ok(self.once_saved(change, PutBack::Done))
    }

    /// Whether the item of this `key` was the last one that was put back into the queue: [`PutBack::Already`], or `NotSafe`.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn was_put_back(&mut self, q: QueueId, key: u64) -> Result<Option<PutBack>, Fault> {
        let queue = QueueAt::of(q)?;
        let tx = self.session.begin()?;
        let was = tx.get(queue + queue::PUT_BACK) == key;
        let change = tx.memory.load(layout::checkpoint::CHANGES);
        drop(tx);
        Ok(was.then(|| self.once_saved(Some(change), PutBack::Already)))
    }

    fn once_saved(&self, change: Option<u64>, outcome: PutBack) -> PutBack {
        let (memory, until) = (self.session.memory(), Instant::now() + DISK_TIMEOUT);
        match change {
            Some(change) if !checkpoint::wait_until_saved(memory, change, Some(until)) => PutBack::NotSafe,
            _ => outcome,
        }
    }
}

/// A ring has no room for the name of an item: it goes to the delayed ones, where it is due at once. It gets the number of the next one that
/// would be taken out of the ring, which no worker has seen yet. False: there is no room.
fn push_named(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    (data, meta): (u64, Meta),
    origin: Origin,
) -> Result<bool, Fault> {
    let number = tx.get(queue + queue::HEAD);
    let most = tx.get(queue + queue::DELAY_MOST).max(1);
    let put = delayed::put_at(tx, queue, delayed::clock::now(), most, |tx, to| {
        tx.memory.store_descriptor(to, data, meta);
        tx.memory.store(to + entry::SEQUENCE, number);
        [entry::MARK, entry::PUT_OFF, entry::FAILURES].iter().for_each(|&word| tx.memory.store(to + word, 0));
        tx.memory.store(to + entry::FIRST_BIRTH, origin.birth);
        tx.memory.store(to + entry::FIRST_NUMBER, origin.number);
    })?;
    if put.is_some() {
        tx.set(queue + queue::HEAD, number.wrapping_add(1));
        tx.add(queue + queue::TAIL, 1);
    }
    Ok(put.is_some())
}
