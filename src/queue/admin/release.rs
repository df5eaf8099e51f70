//! Releasing a dead worker: what it held goes back, in bounded transactions, each atomic. So this may itself be
//! killed at any store and be run again by any process, while the other workers run.

use super::append;
use super::queues::QueueAdmin;
use super::windows;
use crate::model::{Tuning, WhenFailing};
use crate::queue::arena::birth::{self, Origin};
use crate::queue::arena::layout::{LOCK, QueueAt, SlotAt, entry, queue, slot};
use crate::queue::arena::{fault::Fault, futex, tuning};
use crate::queue::transaction::delayed::Delay;
use crate::queue::transaction::failing::{self, Failed, Place};
use crate::queue::transaction::holdings::{self, Begun, Bitmap, End, EndedQueues, EntryPart, FreeEntries};
use crate::queue::transaction::outage::{Charge, Verdict};
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
    /// What names it, if that was ever asked for.
    pub origin: Option<Origin>,
}

/// What a worker's death means for the item that it had begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Death {
    /// It is a dead letter, if it is to blame.
    pub is_last_attempt: bool,
    /// It has not failed before, since one of the stage was done: the failure may be that of the stage.
    pub with_another: bool,
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
        let begun = self.isolate_begun(slot)?.filter(|_| charged_to == FailureAttribution::Begun);
        let mut released = Released::default();
        if let Some(entry) = begun
            && self.is_last_attempt(slot, entry, attempts)?
            && let Some(at) = self.begun(slot)
            && let Some(candidate) = self.candidate(slot, at)?
            && write_dead_letter(candidate).is_ok()
        {
            self.end_as_dead(slot, entry, None)?;
            released.dead += 1;
        }
        self.release_rest(slot, begun, attempts, released)
    }

    /// Gives back what a worker held, and ends the item that it had begun, whose dead letter is written. Call it only when
    /// the whole process is gone.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn release_dead(&mut self, id: SlotId) -> Result<Released, Fault> {
        self.release_dead_with(id, None)
    }

    /// The same for an item whose letter is what `line` gets, in the step that ends it.
    ///
    /// # Errors
    /// Only when the memory is damaged; or [`Fault::DiskFull`].
    pub fn release_dead_into(&mut self, id: SlotId, line: QueueId, letter: &[u8]) -> Result<Released, Fault> {
        self.release_dead_with(id, Some((QueueAt::of(line)?, letter)))
    }

    fn release_dead_with(&mut self, id: SlotId, letter: Option<(QueueAt, &[u8])>) -> Result<Released, Fault> {
        let slot = self.slot_of_dead(id)?;
        let mut released = Released::default();
        if let Some(entry) = self.isolate_begun(slot)? {
            self.end_as_dead(slot, entry, letter)?;
            released.dead += 1;
        }
        self.release_rest(slot, None, 0, released)
    }

    fn release_rest(
        &mut self,
        slot: SlotAt,
        begun: Option<u16>,
        attempts: u32,
        released: Released,
    ) -> Result<Released, Fault> {
        let returned = self.return_held(slot, begun, None, attempts)?;
        self.session.memory().store(slot + slot::BEGUN, 0);
        self.leave_stage(slot)?;
        self.wake_all_after(slot)?;
        Ok(Released { returned, ..released })
    }

    /// If it was the one that probed, another one does.
    fn leave_stage(&mut self, slot: SlotAt) -> Result<(), Fault> {
        let Some(place) = Place::of(self.session.memory(), slot) else { return Ok(()) };
        let mut tx = self.session.begin()?;
        if place.leave(&mut tx) {
            tx.commit()?;
        }
        Ok(())
    }

    /// Gives back what a worker held, but for the item that it had begun: that stays leased until its dead letter is
    /// written, and then [`QueueAdmin::release`] ends it. Call it only when the whole process is gone.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn release_others(&mut self, id: SlotId) -> Result<Released, Fault> {
        let slot = self.slot_of_dead(id)?;
        let begun = self.isolate_begun(slot)?;
        let returned = self.return_held(slot, None, begun, 0)?;
        self.leave_stage(slot)?;
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
        let Some(begun) = self.begun(slot) else { return Ok(None) };
        match self.is_last_attempt(slot, begun.entry, attempts)? {
            true => self.candidate(slot, begun),
            false => Ok(None),
        }
    }

    /// What a worker's death means for the item that it had begun. Call it before [`QueueAdmin::release`].
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn death(&mut self, id: SlotId) -> Result<Death, Fault> {
        let slot = SlotAt::of(id)?;
        self.finish_its_transaction()?;
        let Some(begun) = self.begun(slot) else { return Ok(Death::default()) };
        let tuning = tuning::load(self.session.memory(), slot);
        let is_last_attempt = self.is_last_attempt(slot, begun.entry, tuning.attempts)?;
        let place =
            Place::of(self.session.memory(), slot).filter(|_| tuning.when_failing != WhenFailing::DeadLetter);
        let tx = self.session.begin()?;
        let with_another = place.is_some_and(|place| place.is_another(&tx, slot.entry(begun.entry)));
        Ok(Death { is_last_attempt, with_another })
    }

    /// Whether the item of this entry is a dead letter if it fails once more.
    fn is_last_attempt(&mut self, slot: SlotAt, entry: u16, attempts: u32) -> Result<bool, Fault> {
        let mut tx = self.session.begin()?;
        Ok(fail(&mut tx, slot, entry, attempts).verdict == Verdict::Dead)
    }

    /// What a dead worker was at, with at most `most` bytes of it. Call it before [`QueueAdmin::release`].
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn begun_item(&mut self, id: SlotId, most: usize) -> Result<Option<ItemPreview>, Fault> {
        let slot = SlotAt::of(id)?;
        self.finish_its_transaction()?;
        let candidate = self.begun(slot).map_or(Ok(None), |begun| self.candidate(slot, begun))?;
        Ok(candidate.map(|DeadLetterCandidate { item, attempts, queue, id, .. }| {
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

    /// The dead one may have owed wake-ups, or consumed one: all who wait on its queues are woken. What it has made room for
    /// moves on.
    fn wake_all_after(&mut self, slot: SlotAt) -> Result<(), Fault> {
        for queue in self.queues_of(slot) {
            windows::fill(&mut self.session, queue)?;
        }
        self.session.memory().store(slot + slot::PID, 0);
        self.session.memory().store(slot + slot::HANDED_OVER, 0);
        checkpoint::count_change_of_dead(self.session.memory());
        self.wake_beside(&[slot.id()])
    }

    /// The lease that the worker was working on, if it still holds it.
    fn begun(&self, slot: SlotAt) -> Option<Begun> {
        let memory = self.session.memory();
        let begun = Begun::from_word(memory.load(slot + slot::BEGUN))?;
        let is_held = Bitmap::load(memory, slot).is_live(begun.entry);
        let span = is_held.then(|| memory.meta(slot.entry(begun.entry)).as_span())?;
        span.is_none_or(|span| (span.first..span.first + span.count).contains(&begun.at)).then_some(begun)
    }

    /// The same lease gets an entry of its own. Killed in between, this is done again.
    fn isolate_begun(&mut self, slot: SlotAt) -> Result<Option<u16>, Fault> {
        let Some(begun) = self.begun(slot) else { return Ok(None) };
        self.cut(slot, begun.entry, begun.at)?;
        let Some(begun) = self.begun(slot) else { return Ok(None) };
        self.cut(slot, begun.entry, begun.at + 1)?;
        Ok(Some(begun.entry))
    }

    /// Cuts an entry's span in front of item `at` of its extent, if it has items on both sides.
    fn cut(&mut self, slot: SlotAt, entry: u16, at: usize) -> Result<(), Fault> {
        let span = self.session.memory().meta(slot.entry(entry)).as_span();
        if !span.is_some_and(|span| span.first < at && at < span.first + span.count) {
            return Ok(());
        }
        let mut tx = self.session.begin()?;
        let new = FreeEntries::one(slot, &tx)?;
        holdings::cut(&mut tx, slot, entry, at, new);
        tx.commit()
    }

    /// The begun item, as it is if it fails once more.
    fn candidate(&self, slot: SlotAt, begun: Begun) -> Result<Option<DeadLetterCandidate<'_>>, Fault> {
        let (memory, at) = (self.session.memory(), slot.entry(begun.entry));
        let meta = memory.meta(at);
        let failures = meta.failures() + 1;
        if meta.is_block() {
            return Ok(None);
        }
        let before = meta.as_span().map_or(0, |span| begun.at - span.first);
        let item = memory.payload(at.into(), meta, begun.at)?;
        let id = memory.load(at + entry::SEQUENCE).wrapping_add(before as u64);
        let origin = birth::known(memory, at, QueueAt::of(meta.queue())?, id);
        Ok(Some(DeadLetterCandidate { item, attempts: failures, queue: meta.queue(), id, origin }))
    }

    fn end_as_dead(
        &mut self,
        slot: SlotAt,
        entry: u16,
        letter: Option<(QueueAt, &[u8])>,
    ) -> Result<(), Fault> {
        let mut tx = self.session.begin()?;
        let mut ended = EndedQueues::default();
        if let Some((line, bytes)) = letter {
            append::push(&mut tx, line, bytes)?;
        }
        let part = EntryPart { entry, items: 1 };
        if let Some(place) = Place::of(tx.memory, slot) {
            place.ended(&mut tx, &[part], End::Dead, &mut ended);
        }
        holdings::end(&mut tx, slot, std::iter::once(part), End::Dead, &mut ended)?;
        tx.commit()?;
        ended.notify(&mut tx);
        if let Some((line, _)) = letter {
            tx.notify(line + queue::NOT_EMPTY);
        }
        Ok(())
    }

    /// All of it but `spared`; how many were items. `begun` is charged.
    fn return_held(
        &mut self,
        slot: SlotAt,
        begun: Option<u16>,
        spared: Option<u16>,
        attempts: u32,
    ) -> Result<u64, Fault> {
        let memory = self.session.memory();
        let live = Bitmap::load(memory, slot);
        let sequence = |entry| memory.load(slot.entry(entry) + entry::SEQUENCE);
        let mut held: Vec<u16> = live.entries().filter(|&entry| spared != Some(entry)).collect();
        // The youngest first: the oldest ends on top of the stack, to be served first.
        held.sort_by_cached_key(|&entry| std::cmp::Reverse((sequence(entry), entry)));
        let mut returned = 0;
        for chunk in held.chunks(TX_ENTRIES) {
            returned += self.return_some(slot, chunk, begun, attempts)?;
        }
        Ok(returned)
    }

    /// One transaction's worth; how many of the holdings were items.
    fn return_some(
        &mut self,
        slot: SlotAt,
        held: &[u16],
        begun: Option<u16>,
        attempts: u32,
    ) -> Result<u64, Fault> {
        let mut tx = self.session.begin()?;
        let mut items = 0;
        for &entry in held {
            let failed = (begun == Some(entry)).then(|| fail(&mut tx, slot, entry, attempts));
            let delay = failed.and_then(|failed| delay_of(&tx, slot, entry, &failed));
            let record = failed.map(|failed| failed.record);
            holdings::give_back(&mut tx, slot, entry, (delay, record), |meta| {
                items += meta.items() as u64;
                failed.map_or(meta, |failed| meta.failed(failed.failures.into()))
            })?;
            holdings::clear(&mut tx, slot, entry);
        }
        tx.commit()?;
        Ok(items)
    }
}

/// The item that a worker died of has failed, by the settings that the worker had.
fn fail(tx: &mut Tx<'_>, slot: SlotAt, entry: u16, attempts: u32) -> Failed {
    let (at, tuning) = (slot.entry(entry), Tuning { attempts, ..tuning::load(tx.memory, slot) });
    match Place::of(tx.memory, slot) {
        Some(place) => place.failed(tx, at, Charge::Attempt, &tuning),
        None => failing::failed_alone(tx.memory.meta(at), Charge::Attempt, &tuning),
    }
}

/// How long it waits then.
fn delay_of(tx: &Tx<'_>, slot: SlotAt, entry: u16, failed: &Failed) -> Option<Delay> {
    let (memory, at) = (tx.memory, slot.entry(entry));
    let put_off = memory.load(at + entry::PUT_OFF) as u32;
    failed.delay(tuning::load(memory, slot).retry, put_off, memory.load(at + entry::SEQUENCE))
}
