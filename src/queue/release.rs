//! Settling a dead worker: what it held goes back, in bounded transactions, each atomic. So this may itself be
//! killed at any store and be run again by anybody, while the other workers run on.

use super::counts::QueueCounts;
use super::descriptor::Meta;
use super::holdings::{self, End, Ended};
use super::layout::{self, LOCK, queue, slot};
use super::steward::QueueAdmin;
use super::tx::Tx;
use super::{Fault, QueueId, SlotId, lock, ring};
use std::io;

/// Whose fault a worker's death is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAttribution {
    /// The item's that it had begun: one more failed attempt.
    Begun,
    /// Nobody's: the supervisor itself ended the worker.
    Nobody,
}

/// An item that has failed as often as it may.
pub struct DeadLetterCandidate<'a> {
    /// Its payload.
    pub item: &'a [u8],
    /// Failed attempts, this one included.
    pub attempts: u32,
    /// The queue it was leased from.
    pub queue: QueueId,
    /// Its number in that queue.
    pub id: u64,
}

/// The beginning of an item, for whoever only looks.
pub struct Look {
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

/// What became of a dead worker's holdings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Released {
    /// Items back in their queues.
    pub returned: u64,
    /// Items that ended as dead letters.
    pub dead: u64,
}

/// Holdings settled in one transaction.
const CHUNK: usize = 32;

impl QueueAdmin {
    /// Gives back what a worker held. Call it only when the whole process is gone (waited for).
    ///
    /// The item it had begun gets one more failed attempt if `blame` says so; when that was the last of `attempts`
    /// it is shown to `bury`, which writes the dead letter, and then ends. If `bury` fails the item goes back.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn release(
        &mut self,
        id: SlotId,
        blame: FailureAttribution,
        attempts: u32,
        bury: &mut dyn FnMut(DeadLetterCandidate<'_>) -> io::Result<()>,
    ) -> Result<Released, Fault> {
        let at = layout::slot_at(id)?;
        lock::wake_one(self.hand.memory().word32(LOCK)); // it may have owed the lock's wake-up
        self.finish_its_transaction()?;
        let begun = match blame {
            FailureAttribution::Begun => self.begun(at),
            FailureAttribution::Nobody => None,
        };
        let mut released = Released::default();
        if let Some(entry) = begun
            && self.judge(at, entry, attempts, bury)?
        {
            released.dead += 1;
        }
        released.returned = self.return_held(at, begun, None)?;
        self.hand.memory().store(at + slot::BEGUN, 0);
        self.wake_all_after(at)?;
        Ok(released)
    }

    /// Gives back what a worker held, but for the item that it had begun: that stays leased until its dead letter is
    /// written, and then [`QueueAdmin::release`] ends it. Call it only when the whole process is gone.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn release_others(&mut self, id: SlotId) -> Result<Released, Fault> {
        let at = layout::slot_at(id)?;
        lock::wake_one(self.hand.memory().word32(LOCK)); // as in `release`
        self.finish_its_transaction()?;
        let begun = self.begun(at);
        let returned = self.return_held(at, None, begun)?;
        self.wake_all_after(at)?;
        Ok(Released { returned, dead: 0 })
    }

    /// The item that a dead worker had begun, if that was the last of `attempts`.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn doomed(&mut self, id: SlotId, attempts: u32) -> Result<Option<DeadLetterCandidate<'_>>, Fault> {
        let at = layout::slot_at(id)?;
        self.finish_its_transaction()?;
        match self.begun(at) {
            Some(entry) => self.condemned(at, entry, attempts),
            None => Ok(None),
        }
    }

    /// All of it but `spared`; how many were items. `begun` is charged.
    fn return_held(&mut self, at: usize, begun: Option<u16>, spared: Option<u16>) -> Result<u64, Fault> {
        let mut held: Vec<(u64, u16)> = {
            let memory = self.hand.memory();
            let live = holdings::bitmap(memory, at);
            let left = holdings::entries(&live).filter(|&i| spared != Some(i));
            left.map(|i| (memory.load(layout::holding(at, i as usize) + 16), i)).collect()
        };
        // The youngest first: the oldest ends on top of the stack, to be served first.
        held.sort_unstable_by(|a, b| b.cmp(a));
        let mut returned = 0;
        for chunk in held.chunks(CHUNK) {
            returned += self.return_some(at, chunk, begun)?;
        }
        Ok(returned)
    }

    /// The dead one may have owed wake-ups, or eaten one: everybody looks again.
    fn wake_all_after(&mut self, at: usize) -> Result<(), Fault> {
        self.hand.memory().store(at + slot::PID, 0);
        super::saving::make_good(self.hand.memory());
        self.disturb_all()
    }

    /// What a dead worker was at, with at most `most` bytes of it. Call it before [`QueueAdmin::release`].
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn begun_item(&mut self, id: SlotId, most: usize) -> Result<Option<Look>, Fault> {
        let at = layout::slot_at(id)?;
        self.finish_its_transaction()?;
        let Some(entry) = self.begun(at) else { return Ok(None) };
        let memory = self.hand.memory();
        let words = layout::holding(at, entry as usize);
        let meta = Meta(memory.load(words + 8));
        if meta.is_block() {
            return Ok(None);
        }
        let item = match meta.has_block() {
            false => memory.inline(words, meta.len()),
            true => memory.block(memory.load(words), meta.len())?,
        };
        let start = item[..item.len().min(most)].to_vec();
        let (attempt, id) = (meta.failures() + 1, memory.load(words + 16));
        Ok(Some(Look { start, len: meta.len(), attempt, queue: meta.queue(), id }))
    }

    fn finish_its_transaction(&mut self) -> Result<(), Fault> {
        self.hand.begin().map(drop)
    }

    /// The lease that the worker was working on, if it still holds it.
    fn begun(&self, at: usize) -> Option<u16> {
        let memory = self.hand.memory();
        let entry = u16::try_from(memory.load(at + slot::BEGUN).checked_sub(1)?).ok()?;
        holdings::entries(&holdings::bitmap(memory, at)).find(|&live| live == entry)
    }

    /// True if the begun item was at its last attempt and has ended as a dead letter.
    fn judge(
        &mut self,
        at: usize,
        entry: u16,
        attempts: u32,
        bury: &mut dyn FnMut(DeadLetterCandidate<'_>) -> io::Result<()>,
    ) -> Result<bool, Fault> {
        let Some(doomed) = self.condemned(at, entry, attempts)? else { return Ok(false) };
        if bury(doomed).is_err() {
            return Ok(false);
        }
        let mut tx = self.hand.begin()?;
        let mut ended = Ended::default();
        holdings::end(&mut tx, at, &[entry], End::Dead, &mut ended)?;
        clear_bit(&mut tx, at, entry);
        tx.commit()?;
        ended.tell(&mut tx);
        Ok(true)
    }

    /// The begun item, if it is at its last attempt.
    fn condemned(
        &self,
        at: usize,
        entry: u16,
        attempts: u32,
    ) -> Result<Option<DeadLetterCandidate<'_>>, Fault> {
        let memory = self.hand.memory();
        let words = layout::holding(at, entry as usize);
        let meta = Meta(memory.load(words + 8));
        let failures = meta.failures() + 1;
        if meta.is_block() || failures < attempts {
            return Ok(None);
        }
        let item = match meta.has_block() {
            false => memory.inline(words, meta.len()),
            true => memory.block(memory.load(words), meta.len())?,
        };
        Ok(Some(DeadLetterCandidate {
            item,
            attempts: failures,
            queue: meta.queue(),
            id: memory.load(words + 16),
        }))
    }

    /// One transaction's worth; how many of the holdings were items.
    fn return_some(&mut self, at: usize, held: &[(u64, u16)], begun: Option<u16>) -> Result<u64, Fault> {
        let mut tx = self.hand.begin()?;
        let mut items = 0;
        for &(_, entry) in held {
            let words = layout::holding(at, entry as usize);
            let meta = Meta(tx.memory.load(words + 8));
            let queue = layout::queue_at(meta.queue())?;
            if meta.is_block() {
                let size = tx.free(tx.memory.load(words))?;
                tx.subtract(queue + queue::BYTES, size);
            } else {
                let meta = if begun == Some(entry) { meta.failed_once_more() } else { meta };
                ring::push_returned(&mut tx, queue, words, meta)?;
                items += 1;
            }
            clear_bit(&mut tx, at, entry);
        }
        tx.commit()?;
        Ok(items)
    }

    /// Looks at every structure of the arena, as nobody else is at work: does it all add up?
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn audit(&mut self) -> Result<Vec<(QueueId, QueueCounts)>, String> {
        let tx = self.hand.begin().map_err(|fault| fault.to_string())?;
        super::audit::check(&tx)
    }

    /// The part of [`QueueAdmin::audit`] that can be done beside a pipeline at work: do the ledgers say what workers hold?
    ///
    /// # Errors
    /// The first queue that does not add up.
    pub fn audit_leases(&mut self) -> Result<(), String> {
        let tx = self.hand.begin().map_err(|fault| fault.to_string())?;
        super::audit::leases(&tx)
    }
}

fn clear_bit(tx: &mut Tx<'_>, at: usize, entry: u16) {
    let word = at + slot::BITMAP + entry as usize / 64 * 8;
    tx.set(word, tx.get(word) & !(1 << (entry % 64)));
}
