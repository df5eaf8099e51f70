//! Releasing a dead worker: what it held goes back, in bounded transactions, each atomic. So this may itself be
//! killed at any store and be run again by any process, while the other workers run.

use super::queues::QueueAdmin;
use crate::queue::arena::layout::{LOCK, SlotAt, entry, slot};
use crate::queue::arena::{fault::Fault, futex};
use crate::queue::transaction::holdings::{self, Bitmap, End, EndedQueues};
use crate::queue::transaction::tap::ItemPreview;
use crate::queue::transaction::{checkpoint, tx::Tx};
use crate::queue::{QueueId, SlotId};
use std::io;

/// What a worker's death is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAttribution {
    /// The item that it had begun: one more failed attempt.
    Begun,
    /// No item: the supervisor itself ended the worker.
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

/// What became of a dead worker's holdings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Released {
    /// Items back in their queues.
    pub returned: u64,
    /// Items that ended as dead letters.
    pub dead: u64,
}

/// Holdings given back in one transaction.
const TX_ENTRIES: usize = 32;

impl QueueAdmin {
    /// Gives back what a worker held. Call it only when the whole process is gone (waited for).
    ///
    /// The item it had begun gets one more failed attempt if `charged_to` says so; when that was the last of `attempts`
    /// it is shown to `write_dead_letter`, and then ends. If that fails the item goes back.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn release(
        &mut self,
        id: SlotId,
        charged_to: FailureAttribution,
        attempts: u32,
        write_dead_letter: &mut dyn FnMut(DeadLetterCandidate<'_>) -> io::Result<()>,
    ) -> Result<Released, Fault> {
        let slot = self.slot_of_dead(id)?;
        let begun = self.begun(slot).filter(|_| charged_to == FailureAttribution::Begun);
        let mut released = Released::default();
        if let Some(entry) = begun
            && let Some(candidate) = self.candidate(slot, entry, attempts)?
            && write_dead_letter(candidate).is_ok()
        {
            self.end_as_dead(slot, entry)?;
            released.dead += 1;
        }
        released.returned = self.return_held(slot, begun, None)?;
        self.session.memory().store(slot + slot::BEGUN, 0);
        self.wake_all_after(slot)?;
        Ok(released)
    }

    /// Gives back what a worker held, but for the item that it had begun: that stays leased until its dead letter is
    /// written, and then [`QueueAdmin::release`] ends it. Call it only when the whole process is gone.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn release_others(&mut self, id: SlotId) -> Result<Released, Fault> {
        let slot = self.slot_of_dead(id)?;
        let begun = self.begun(slot);
        let returned = self.return_held(slot, None, begun)?;
        self.wake_all_after(slot)?;
        Ok(Released { returned, dead: 0 })
    }

    /// The item that a dead worker had begun, if that was the last of `attempts`.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn dead_letter_candidate(
        &mut self,
        id: SlotId,
        attempts: u32,
    ) -> Result<Option<DeadLetterCandidate<'_>>, Fault> {
        let slot = SlotAt::of(id)?;
        self.finish_its_transaction()?;
        self.begun(slot).map_or(Ok(None), |entry| self.candidate(slot, entry, attempts))
    }

    /// What a dead worker was at, with at most `most` bytes of it. Call it before [`QueueAdmin::release`].
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn begun_item(&mut self, id: SlotId, most: usize) -> Result<Option<ItemPreview>, Fault> {
        let slot = SlotAt::of(id)?;
        self.finish_its_transaction()?;
        let candidate = self.begun(slot).map_or(Ok(None), |entry| self.candidate(slot, entry, 0))?;
        Ok(candidate.map(|DeadLetterCandidate { item, attempts, queue, id }| {
            let start = item[..item.len().min(most)].to_vec();
            ItemPreview { start, len: item.len(), attempt: attempts, queue, id }
        }))
    }

    fn slot_of_dead(&mut self, id: SlotId) -> Result<SlotAt, Fault> {
        let slot = SlotAt::of(id)?;
        futex::wake(self.session.memory().word32(LOCK), 1); // it may have owed the lock's wake-up
        self.finish_its_transaction()?;
        Ok(slot)
    }

    fn finish_its_transaction(&mut self) -> Result<(), Fault> {
        self.session.begin().map(drop)
    }

    /// The dead one may have owed wake-ups, or consumed one: all who wait on its queues are woken.
    fn wake_all_after(&mut self, slot: SlotAt) -> Result<(), Fault> {
        self.session.memory().store(slot + slot::PID, 0);
        checkpoint::count_change_of_dead(self.session.memory());
        self.wake_beside(&[slot.id()])
    }

    /// The lease that the worker was working on, if it still holds it.
    fn begun(&self, slot: SlotAt) -> Option<u16> {
        let memory = self.session.memory();
        let entry = u16::try_from(memory.load(slot + slot::BEGUN).checked_sub(1)?).ok()?;
        Bitmap::load(memory, slot).is_live(entry).then_some(entry)
    }

    /// The begun item, if it is at its last attempt.
    fn candidate(
        &self,
        slot: SlotAt,
        entry: u16,
        attempts: u32,
    ) -> Result<Option<DeadLetterCandidate<'_>>, Fault> {
        let (memory, at) = (self.session.memory(), slot.entry(entry));
        let meta = memory.meta(at);
        let failures = meta.failures() + 1;
        if meta.is_block() || failures < attempts {
            return Ok(None);
        }
        let (item, id) = (memory.item(at)?, memory.load(at + entry::SEQUENCE));
        Ok(Some(DeadLetterCandidate { item, attempts: failures, queue: meta.queue(), id }))
    }

    fn end_as_dead(&mut self, slot: SlotAt, entry: u16) -> Result<(), Fault> {
        let mut tx = self.session.begin()?;
        let mut ended = EndedQueues::default();
        holdings::end(&mut tx, slot, &[entry], End::Dead, &mut ended)?;
        clear(&mut tx, slot, &[entry]);
        tx.commit()?;
        ended.notify(&mut tx);
        Ok(())
    }

    /// All of it but `spared`; how many were items. `begun` is charged.
    fn return_held(&mut self, slot: SlotAt, begun: Option<u16>, spared: Option<u16>) -> Result<u64, Fault> {
        let memory = self.session.memory();
        let live = Bitmap::load(memory, slot);
        let sequence = |entry| memory.load(slot.entry(entry) + entry::SEQUENCE);
        let mut held: Vec<u16> = live.entries().filter(|&entry| spared != Some(entry)).collect();
        // The youngest first: the oldest ends on top of the stack, to be served first.
        held.sort_by_cached_key(|&entry| std::cmp::Reverse((sequence(entry), entry)));
        let mut returned = 0;
        for chunk in held.chunks(TX_ENTRIES) {
            returned += self.return_some(slot, chunk, begun)?;
        }
        Ok(returned)
    }

    /// One transaction's worth; how many of the holdings were items.
    fn return_some(&mut self, slot: SlotAt, held: &[u16], begun: Option<u16>) -> Result<u64, Fault> {
        let mut tx = self.session.begin()?;
        let mut items = 0;
        for &entry in held {
            holdings::give_back(&mut tx, slot, entry, |meta| {
                items += 1;
                if begun == Some(entry) { meta.failed_once_more() } else { meta }
            })?;
        }
        clear(&mut tx, slot, held);
        tx.commit()?;
        Ok(items)
    }
}

fn clear(tx: &mut Tx<'_>, slot: SlotAt, entries: &[u16]) {
    let before = Bitmap::load(tx.memory, slot);
    let mut after = before;
    entries.iter().for_each(|&entry| after.clear(entry));
    after.save(tx, slot, &before);
}
