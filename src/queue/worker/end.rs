//! The other ends of a lease: given back, or dead. And of what was staged: thrown away.

use super::handle::WorkerHandle;
use super::leases::{self, DeadLease, Held};
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{QueueAt, SlotAt, queue, slot};
use crate::queue::transaction::delayed::Delay;
use crate::queue::transaction::failing::Place;
use crate::queue::transaction::holdings::{self, End, EndedQueues, EntryPart, FreeEntries};
use crate::queue::transaction::tx::Tx;

/// Entries changed in one transaction: bounds the time under the lock.
const TX_ENTRIES: usize = 32;

impl WorkerHandle {
    /// Throws away what is staged and not published: the outputs of an item that failed.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn discard_staged(&mut self) -> Result<(), Fault> {
        if let Some(sharing) = &mut self.sharing {
            sharing.clear();
        }
        self.dead_lease = None;
        self.discard_local()
    }

    fn discard_local(&mut self) -> Result<(), Fault> {
        let entries = self.staging.truncate(0);
        self.staging.clear();
        self.free_blocks(&entries)
    }

    /// Throws away what is staged and not published for lease `i` and those after it; what the leases before it emitted
    /// stays. For outputs that were staged in the order of their leases.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn discard_staged_from(&mut self, i: usize) -> Result<(), Fault> {
        self.discard_shared_from(i);
        match self.staging.outputs.first_of(i) {
            None => Ok(()),
            Some(0) => self.discard_local(),
            Some(from) => {
                let entries = self.staging.truncate(from);
                self.free_blocks(&entries)
            }
        }
    }

    pub(super) fn free_spares(&mut self) -> Result<(), Fault> {
        let spares = self.staging.spares.drain(..).chain(self.staging.list.take());
        let entries: Vec<u16> = spares.map(|spare| spare.entry).collect();
        self.free_blocks(&entries)
    }

    pub(super) fn free_blocks(&mut self, entries: &[u16]) -> Result<(), Fault> {
        for chunk in entries.chunks(TX_ENTRIES) {
            self.give_back_entries(
                chunk.iter(),
                None,
                |meta| meta,
                |tx, queue| tx.notify_all_idle(queue + queue::BYTES_FREE),
            )?;
        }
        Ok(())
    }

    /// Gives lease `i` back to the front of its queue; `charge`: as one more failed attempt.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn give_back(&mut self, i: usize, charge: bool) -> Result<(), Fault> {
        self.isolate(i)?;
        let entry = self.leases.remove(i).entry;
        self.return_entries(&[entry], charge, None)
    }

    /// Delays lease `i`: it is taken again once its time has come, and others before that. It goes back to the front of its
    /// queue where no more can be delayed.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn delay(&mut self, i: usize, charge: bool, delay: Delay) -> Result<(), Fault> {
        self.isolate(i)?;
        let entry = self.leases.remove(i).entry;
        self.return_entries(&[entry], charge, Some(delay))
    }

    /// Ends what is finished and gives back everything else, uncharged: before a good exit.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn give_back_all(&mut self) -> Result<(), Fault> {
        self.discard_staged()?;
        self.settle()?;
        self.give_back_from(0)
    }

    /// Gives back the leases `from ..`, as they were.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn give_back_from(&mut self, from: usize) -> Result<(), Fault> {
        self.cut_before(from)?;
        while self.leases.len() > from {
            let entries: Vec<u16> = leases::spans(&self.leases[from..]).map(|span| span.entry).collect();
            let chunk = &entries[entries.len().saturating_sub(TX_ENTRIES)..];
            self.return_entries(chunk, false, None)?;
            let kept = self.leases.iter().position(|held| held.entry == chunk[0]);
            self.leases.truncate(kept.unwrap_or(from));
        }
        Ok(())
    }

    fn return_entries(
        &mut self,
        oldest_first: &[u16],
        charge: bool,
        delay: Option<Delay>,
    ) -> Result<(), Fault> {
        // The youngest first: the oldest ends on top of the stack, to be served first.
        self.give_back_entries(
            oldest_first.iter().rev(),
            delay,
            |meta| if charge { meta.failed_once_more() } else { meta },
            |tx, queue| tx.notify(queue + queue::NOT_EMPTY),
        )
    }

    /// Lease `i` gets an entry of its own, in which it can end by itself.
    pub(super) fn isolate(&mut self, i: usize) -> Result<(), Fault> {
        self.cut_before(i)?;
        if self.leases.get(i + 1).is_some_and(|next| next.entry == self.leases[i].entry) {
            self.cut_before(i + 1)?;
        }
        Ok(())
    }

    /// Lease `i` becomes the first of an entry. Killed after that, the same items are held as before.
    pub(super) fn cut_before(&mut self, i: usize) -> Result<(), Fault> {
        let WorkerHandle { session, slot, leases, .. } = self;
        let Some(&Held { entry, at }) = leases.get(i) else { return Ok(()) };
        let span = session.memory().meta(slot.entry(entry)).as_span();
        if span.is_none_or(|span| span.first == at as usize) {
            return Ok(());
        }
        let mut tx = session.begin()?;
        holdings::forget_begun(&mut tx, *slot);
        let new = FreeEntries::one(*slot, &tx)?;
        holdings::cut(&mut tx, *slot, entry, at as usize, new);
        tx.commit()?;
        leases::rename(&mut leases[i..], entry, new);
        Ok(())
    }

    fn give_back_entries<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e u16>,
        delay: Option<Delay>,
        change: impl Fn(Meta) -> Meta,
        notify: impl Fn(&mut Tx<'_>, QueueAt),
    ) -> Result<(), Fault> {
        let WorkerHandle { session, slot, dead_lease, .. } = self;
        let mut tx = session.begin()?;
        let mut queues = [None; TX_ENTRIES];
        for (&entry, queue) in entries.zip(&mut queues) {
            *queue = Some(holdings::give_back(&mut tx, *slot, entry, (delay, None), &change)?);
            holdings::clear(&mut tx, *slot, entry);
            dead_lease.take_if(|dead_lease| dead_lease.entry == entry);
        }
        tx.commit()?;
        queues.iter().flatten().for_each(|&queue| notify(&mut tx, queue));
        Ok(())
    }

    /// Ends lease `i` as a dead letter, which must be written already.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn dead_letter(&mut self, i: usize) -> Result<(), Fault> {
        self.isolate(i)?;
        let entry = self.leases.remove(i).entry;
        self.dead_lease.take_if(|dead_lease| dead_lease.entry == entry);
        self.end_leases(&[EntryPart { entry, items: 1 }], End::Dead)
    }

    /// Ends the leases that `commit` only noted as finished, and frees reserved blocks: before a rest.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn settle(&mut self) -> Result<(), Fault> {
        if !self.finished.is_empty() {
            let finished = std::mem::take(&mut self.finished);
            self.end_leases(&finished, End::Done)?;
            self.finished = finished;
            self.finished.clear();
        }
        let has_spares = !self.staging.spares.is_empty() || self.staging.list.is_some();
        if has_spares { self.free_spares() } else { Ok(()) }
    }

    fn end_leases(&mut self, parts: &[EntryPart], how: End) -> Result<(), Fault> {
        let WorkerHandle { session, slot, place, .. } = self;
        let mut tx = session.begin()?;
        let mut ended = EndedQueues::default();
        end_parts(&mut tx, (*slot, place.as_ref()), parts, how, &mut ended)?;
        let counter = if how == End::Done { slot::COMPLETED } else { slot::DEAD };
        tx.add(*slot + counter, parts.iter().map(|part| part.items as u64).sum());
        tx.commit()?;
        ended.notify(&mut tx);
        drop(tx);
        if ended.recovered.is_some() {
            self.tell();
        }
        Ok(())
    }
}

/// Ends leases in a transaction, also for the outage of their stage.
fn end_parts(
    tx: &mut Tx<'_>,
    (slot, place): (SlotAt, Option<&Place>),
    parts: &[EntryPart],
    how: End,
    ended: &mut EndedQueues,
) -> Result<(), Fault> {
    if let Some(place) = place.filter(|place| place.is_touched(tx.memory)) {
        place.ended(tx, parts, how, ended);
    }
    holdings::end(tx, slot, parts.iter().copied(), how, ended)
}

/// The same for all that a commit ends: they are done, but for one that is marked as dead. Returns how many are dead.
pub(super) fn end_committed(
    tx: &mut Tx<'_>,
    of: (SlotAt, Option<&Place>),
    parts: &[EntryPart],
    dead_lease: Option<&DeadLease>,
    ended: &mut EndedQueues,
) -> Result<u64, Fault> {
    let at = dead_lease.and_then(|dead_lease| parts.iter().position(|part| part.entry == dead_lease.entry));
    let Some(at) = at else { return end_parts(tx, of, parts, End::Done, ended).map(|()| 0) };
    end_parts(tx, of, &parts[..at], End::Done, ended)?;
    end_parts(tx, of, &parts[at..=at], End::Dead, ended)?;
    end_parts(tx, of, &parts[at + 1..], End::Done, ended)?;
    tx.add(of.0 + slot::DEAD, 1);
    Ok(1)
}
