//! The other ends of a lease: given back, or dead. And of what was staged: thrown away.

use super::super::descriptor::Meta;
use super::super::event::Event;
use super::super::holdings::{self, End, Ended};
use super::super::layout::{self, queue, slot};
use super::super::{Fault, ring};
use super::WorkerHandle;
use super::staging::NO_LEASE;

/// Entries changed in one transaction: bounds the time under the lock.
const CHUNK: usize = 32;

impl WorkerHandle {
    /// Throws away what is staged and not published: the outputs of an item that failed.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn discard_staged(&mut self) -> Result<(), Fault> {
        let unpublished = self.staging.puts_of(self.staging.published..self.staging.groups.len());
        let holds: Vec<u16> = self.staging.puts[unpublished].iter().filter_map(|put| put.hold()).collect();
        self.staging.clear();
        self.free_blocks(&holds)
    }

    /// Throws away what is staged and not published for lease `i` and those after it; what the leases before it emitted
    /// stays. For outputs that were staged in the order of their leases.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn discard_staged_from(&mut self, i: usize) -> Result<(), Fault> {
        let groups = &self.staging.groups[self.staging.published..];
        let Some(keep) = groups.iter().position(|group| group.lease != NO_LEASE && group.lease as usize >= i)
        else {
            return Ok(());
        };
        let from = self.staging.published + keep;
        if from == 0 {
            return self.discard_staged();
        }
        let puts = self.staging.puts_of(from..self.staging.groups.len());
        let holds: Vec<u16> = self.staging.puts[puts.clone()].iter().filter_map(|put| put.hold()).collect();
        self.staging.truncate(from, puts.start, holds.len());
        self.free_blocks(&holds)
    }

    pub(super) fn free_spares(&mut self) -> Result<(), Fault> {
        let holds: Vec<u16> = self.staging.spares.drain(..).map(|spare| spare.hold()).collect();
        self.free_blocks(&holds)
    }

    pub(super) fn free_blocks(&mut self, holds: &[u16]) -> Result<(), Fault> {
        for chunk in holds.chunks(CHUNK) {
            let WorkerHandle { hand, slot, live, .. } = self;
            let mut tx = hand.begin()?;
            let mut after = *live;
            let mut queues = [0; CHUNK];
            for (i, &entry) in chunk.iter().enumerate() {
                let at = layout::holding(*slot, entry as usize);
                queues[i] = layout::queue_at(Meta(tx.memory.load(at + 8)).queue())?;
                let size = tx.free(tx.memory.load(at))?;
                tx.subtract(queues[i] + queue::BYTES, size);
                holdings::clear(&mut after, entry);
            }
            holdings::save(&mut tx, *slot, live, &after);
            tx.commit()?;
            *live = after;
            for &at in &queues[..chunk.len()] {
                tx.notify_all_idle(Event::of(at, queue::BYTES_FREE));
            }
        }
        Ok(())
    }

    /// Gives lease `i` back to the front of its queue; `blame`: as one more failed attempt.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn give_back(&mut self, i: usize, blame: bool) -> Result<(), Fault> {
        let entry = self.leases.remove(i);
        self.return_entries(&[entry], blame)
    }

    /// Ends what is finished and gives back everything else, unblamed: before a good exit.
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
        while self.leases.len() > from {
            // The youngest first: the oldest ends on top of the stack, to be served first.
            let start = self.leases.len().saturating_sub(CHUNK).max(from);
            let chunk = self.leases.split_off(start);
            self.return_entries(&chunk, false)?;
        }
        Ok(())
    }

    fn return_entries(&mut self, oldest_first: &[u16], blame: bool) -> Result<(), Fault> {
        let WorkerHandle { hand, slot, live, .. } = self;
        let mut tx = hand.begin()?;
        let mut after = *live;
        let mut queues = [0; CHUNK];
        for (i, &entry) in oldest_first.iter().rev().enumerate() {
            let at = layout::holding(*slot, entry as usize);
            let meta = Meta(tx.memory.load(at + 8));
            queues[i] = layout::queue_at(meta.queue())?;
            let meta = if blame { meta.failed_once_more() } else { meta };
            ring::push_returned(&mut tx, queues[i], at, meta)?;
            holdings::clear(&mut after, entry);
        }
        holdings::save(&mut tx, *slot, live, &after);
        tx.commit()?;
        *live = after;
        for &at in &queues[..oldest_first.len()] {
            tx.notify(Event::of(at, queue::NOT_EMPTY));
        }
        Ok(())
    }

    /// Ends lease `i` as a dead letter, which must be written already.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn bury(&mut self, i: usize) -> Result<(), Fault> {
        let entry = self.leases.remove(i);
        self.end_leases(&[entry], End::Dead)
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
        if self.staging.spares.is_empty() { Ok(()) } else { self.free_spares() }
    }

    fn end_leases(&mut self, entries: &[u16], how: End) -> Result<(), Fault> {
        let WorkerHandle { hand, slot, live, .. } = self;
        let mut tx = hand.begin()?;
        let (mut after, mut ended) = (*live, Ended::default());
        holdings::end(&mut tx, *slot, entries, how, &mut ended)?;
        entries.iter().for_each(|&entry| holdings::clear(&mut after, entry));
        holdings::save(&mut tx, *slot, live, &after);
        let counter = if how == End::Done { slot::COMPLETED } else { slot::BURIED };
        tx.add(*slot + counter, entries.len() as u64);
        tx.commit()?;
        *live = after;
        ended.tell(&mut tx);
        Ok(())
    }
}
