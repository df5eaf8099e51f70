//! The other ends of a lease: given back, or dead. And of what was staged: thrown away.

use super::handle::WorkerHandle;
use super::staging::{NO_LEASE, Put};
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{QueueAt, queue, slot};
use crate::queue::transaction::delayed::Delay;
use crate::queue::transaction::holdings::{self, End, EndedQueues};
use crate::queue::transaction::tx::Tx;

/// Entries changed in one transaction: bounds the time under the lock.
const TX_ENTRIES: usize = 32;

impl WorkerHandle {
    /// Throws away what is staged and not published: the outputs of an item that failed.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn discard_staged(&mut self) -> Result<(), Fault> {
        let unpublished = self.staging.puts_of(self.staging.published..self.staging.groups.len());
        let entries = entries_of(&self.staging.puts[unpublished]);
        self.staging.clear();
        self.free_blocks(&entries)
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
        let entries = entries_of(&self.staging.puts[puts.clone()]);
        self.staging.truncate(from, puts.start, entries.len());
        self.free_blocks(&entries)
    }

    pub(super) fn free_spares(&mut self) -> Result<(), Fault> {
        let entries: Vec<u16> = self.staging.spares.drain(..).map(|spare| spare.entry).collect();
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
        let entry = self.leases.remove(i);
        self.return_leases(&[entry], charge, None)
    }

    /// Delays lease `i`: it is taken again once its time has come, and others before that. It goes back to the front of its
    /// queue where no more can be delayed.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn delay(&mut self, i: usize, charge: bool, delay: Delay) -> Result<(), Fault> {
        let entry = self.leases.remove(i);
        self.return_leases(&[entry], charge, Some(delay))
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
        while self.leases.len() > from {
            let start = self.leases.len().saturating_sub(TX_ENTRIES).max(from);
            let chunk = self.leases.split_off(start);
            self.return_leases(&chunk, false, None)?;
        }
        Ok(())
    }

    fn return_leases(
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

    fn give_back_entries<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e u16>,
        delay: Option<Delay>,
        change: impl Fn(Meta) -> Meta,
        notify: impl Fn(&mut Tx<'_>, QueueAt),
    ) -> Result<(), Fault> {
        let WorkerHandle { session, slot, live, .. } = self;
        let mut tx = session.begin()?;
        let (mut after, mut queues) = (*live, [None; TX_ENTRIES]);
        for (&entry, queue) in entries.zip(&mut queues) {
            *queue = Some(holdings::give_back(&mut tx, *slot, entry, delay, &change)?);
            after.clear(entry);
        }
        after.save(&mut tx, *slot, live);
        tx.commit()?;
        *live = after;
        queues.iter().flatten().for_each(|&queue| notify(&mut tx, queue));
        Ok(())
    }

    /// Ends lease `i` as a dead letter, which must be written already.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn dead_letter(&mut self, i: usize) -> Result<(), Fault> {
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
        let WorkerHandle { session, slot, live, .. } = self;
        let mut tx = session.begin()?;
        let (mut after, mut ended) = (*live, EndedQueues::default());
        holdings::end(&mut tx, *slot, entries, how, &mut ended)?;
        entries.iter().for_each(|&entry| after.clear(entry));
        after.save(&mut tx, *slot, live);
        let counter = if how == End::Done { slot::COMPLETED } else { slot::DEAD };
        tx.add(*slot + counter, entries.len() as u64);
        tx.commit()?;
        *live = after;
        ended.notify(&mut tx);
        Ok(())
    }
}

fn entries_of(puts: &[Put]) -> Vec<u16> {
    puts.iter().filter_map(Put::entry).collect()
}
