//! Publishing: staged outputs become items, and the leases they came from end, in one transaction.

use super::handle::WorkerHandle;
use super::put::PutError;
use super::staging::{Disposition, Group, NO_LEASE, Put, Staging};
use super::wait::Wait;
use crate::model::WhenFull;
use crate::queue::QueueId;
use crate::queue::arena::layout::{EventAt, MAX_BATCH, QueueAt, SlotAt, entry, queue, slot};
use crate::queue::arena::worker_time::{self, Waiting};
use crate::queue::arena::{fault::Fault, layout::BlockAt, memory::Memory};
use crate::queue::transaction::holdings::{self, Bitmap, End, EndedQueues};
use crate::queue::transaction::{counts, lock::LockPriority, tx::Tx};
use std::ops::Range;

/// What came of a [`WorkerHandle::commit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Committed {
    /// All outputs are published and the leases have ended. What waited in the first output queue, before and after:
    Done {
        /// Waiting before.
        before: u64,
        /// Waiting after.
        after: u64,
    },
    /// No room in the time given; what is published is marked, the rest stays staged: call again.
    Full {
        /// Which queue is full.
        queue: QueueId,
        /// Items waiting there.
        size: u64,
    },
    /// No stage reads any of the outputs any more. The staged outputs are gone, the leases stay.
    Closed,
    /// An order to finish came while there was no room; the rest stays staged.
    Ordered,
}

/// Unfinished leases that one transaction may mark.
const MAX_MARKS: usize = 64;

/// What one transaction has published.
pub(super) enum Published {
    All { before: u64, after: u64 },
    Part,
    Full { queue: QueueId, size: u64, event: EventAt, sequence: u32 },
    Closed,
}

impl WorkerHandle {
    /// Publishes all staged outputs and ends the leases `0 .. upto`, all in one transaction if there is room for it
    /// all; else in parts, each lease ending together with the last of its outputs.
    ///
    /// When it returns early some leases may have ended already: they are gone from the front ([`WorkerHandle::len`] tells
    /// how many are left), so the next call's `upto` is less by as many.
    ///
    /// Without staged outputs the leases are only noted as finished: the next `take` (or `pause`) ends them. If the last
    /// `take` came back empty they end at once: a [`QueueWaiter`](super::QueueWaiter) may wait for just that.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn commit(&mut self, upto: usize, wait: Wait) -> Result<Committed, Fault> {
        let mut upto = upto.min(self.leases.len());
        if self.staging.is_empty() {
            self.finished.extend(self.leases.drain(..upto));
            if !self.empty_inputs.is_empty() {
                self.settle()?;
            }
            return Ok(Committed::Done { before: 0, after: 0 });
        }
        let mut slept = None;
        let mut first_before = None;
        loop {
            // Before the transaction: a waiter that is registered in it costs its waker a system call.
            let priority = self.spin_for_room(wait)?;
            let held = self.leases.len();
            let published = self.try_publish(upto, slept.take(), false, priority)?;
            upto -= held - self.leases.len();
            match published {
                Published::All { before, after } => {
                    return Ok(Committed::Done { before: first_before.unwrap_or(before), after });
                }
                Published::Closed => {
                    self.discard_staged()?;
                    return Ok(Committed::Closed);
                }
                Published::Part => {}
                Published::Full { queue, size, event, sequence } => {
                    first_before.get_or_insert(size);
                    if wait.is_over() {
                        return Ok(Committed::Full { queue, size });
                    }
                    if wait == Wait::UntilOrder && self.has_new_orders() && !self.must_finish() {
                        return Ok(Committed::Full { queue, size });
                    }
                    if self.must_finish() && wait != Wait::Regardless {
                        return Ok(Committed::Ordered);
                    }
                    self.sleep_on(&[(event, sequence)], wait, Waiting::Blocked)?;
                    slept = Some(event);
                }
            }
        }
    }

    /// Where what comes first goes to one queue that must be waited for: spins shortly until there is room for a good part
    /// of it.
    fn spin_for_room(&mut self, wait: Wait) -> Result<LockPriority, Fault> {
        let WorkerHandle { session, spin, staging, .. } = &mut *self;
        let unpublished = staging.published..staging.groups.len();
        let Some((Some(q), groups)) = staging.runs.of(unpublished).next() else {
            return Ok(LockPriority::High);
        };
        let (memory, queue) = (session.memory(), QueueAt::of(q)?);
        let mut came = false;
        if wait != Wait::No && blocks_when_full(memory, queue) {
            let capacity = memory.load(queue + queue::CAPACITY);
            let wanted = (groups.len() as u64).min(capacity.div_ceil(2));
            let has_room = || counts::queued_roughly(memory, queue).saturating_add(wanted) <= capacity;
            if !has_room() {
                came = spin.spin_until(has_room);
                self.count_spinning(Waiting::Blocked);
            }
        }
        Ok(self.lock_priority(queue, came))
    }

    /// Publishes what is staged before its input is done: there is too much of it to keep back.
    pub(super) fn publish_early(&mut self) -> Result<(), PutError> {
        self.publish_early_keeping(self.staging.puts.len())
    }

    /// The same, in the middle of staging an output whose puts start at `keep`.
    pub(super) fn publish_early_keeping(&mut self, keep: usize) -> Result<(), PutError> {
        let unfinished = self.staging.puts.split_off(keep);
        let result = self.commit(0, Wait::Forever);
        if self.staging.is_empty() {
            self.staging.blocks = unfinished.iter().filter(|put| put.entry().is_some()).count();
        }
        self.staging.puts.extend(unfinished);
        match result? {
            Committed::Ordered => Err(PutError::Ordered),
            Committed::Done { .. } | Committed::Full { .. } | Committed::Closed => Ok(()),
        }
    }

    /// One transaction. `whole`: with everything, or nothing happens.
    pub(super) fn try_publish(
        &mut self,
        upto: usize,
        slept: Option<EventAt>,
        whole: bool,
        priority: LockPriority,
    ) -> Result<Published, Fault> {
        let WorkerHandle { session, slot, live, leases, staging, targets, hidden, .. } = self;
        let mut tx = session.begin_with(priority)?;
        if let Some(event) = slept {
            tx.register_waiter(event); // others may still sleep
        }
        targets.clear();
        let mut fits = targets.fit(&tx, staging, MAX_BATCH)?;
        // Fewer groups may leave more leases unfinished, hence the loop; one group can always be marked.
        while let n = markable(staging, fits.clone(), upto)
            && n < fits.len()
        {
            staging.reconsider(fits);
            targets.clear();
            fits = targets.fit(&tx, staging, n)?;
        }
        if (fits.is_empty() || whole)
            && let Some((target, size)) = targets.full
        {
            let event = target.queue + queue::NOT_FULL;
            if let Some(other) = slept
                && other != event
            {
                // It was woken for room that it can't use now: another worker may.
                tx.notify(other);
            }
            let sequence = tx.register_waiter(event);
            return Ok(Published::Full { queue: target.queue.id(), size, event, sequence });
        }
        if targets.are_closed(*hidden) {
            return Ok(Published::Closed);
        }
        targets.publish(&mut tx, staging, fits.clone())?;
        let puts = staging.puts_of(fits.clone());
        let mut after = *live;
        if staging.blocks > 0 {
            release_blocks(&mut tx, &mut after, &staging.puts[puts])?;
        }
        let done = finished_by(staging, fits.end, upto);
        let mut ended = EndedQueues::default();
        holdings::end(&mut tx, *slot, &leases[..done], End::Done, &mut ended)?;
        leases[..done].iter().for_each(|&entry| after.clear(entry));
        if done < staging.named {
            mark(&mut tx, *slot, leases, done, &staging.groups[fits.clone()]);
        }
        after.save(&mut tx, *slot, live);
        // A token ends its old lease and is an output, but neither is work done.
        let tokens = u64::from(hidden.is_some() && staging.last_queue(fits.clone()) == *hidden);
        if worker_time::is_on() {
            tx.add(*slot + slot::EMITTED, fits.len() as u64 - tokens);
            tx.add(*slot + slot::COMPLETED, done as u64 - tokens.min(done as u64));
        }
        tx.commit()?;
        *live = after;
        leases.drain(..done);
        staging.published = fits.end;
        staging.named = staging.named.saturating_sub(done);
        for group in &mut staging.groups[fits.end..] {
            if group.lease != NO_LEASE {
                group.lease -= done as u32;
            }
        }
        targets.notify(&mut tx);
        ended.notify(&mut tx);
        let (before, size_after) = targets.first_sizes(&tx);
        let change = tx.change();
        drop(tx);
        if let Some(change) = change {
            self.wait_until_saved(change);
        }
        let staging = &mut self.staging;
        if staging.published < staging.groups.len() {
            return Ok(Published::Part);
        }
        staging.clear();
        Ok(Published::All { before, after: size_after })
    }
}

/// Whether a put on the queue waits for room, read without the lock.
pub(super) fn blocks_when_full(memory: &Memory, queue: QueueAt) -> bool {
    !counts::is_closed(memory, queue)
        && WhenFull::from_word(memory.load(queue + queue::WHEN_FULL)) == WhenFull::Block
}

/// How many leases, from the oldest, have no output left once the groups before `end` are published.
fn finished_by(staging: &Staging, end: usize, upto: usize) -> usize {
    let rest = staging.groups[end..].iter().map(|group| group.lease as usize);
    rest.min().unwrap_or(usize::MAX).min(upto)
}

/// How many of the groups can be published at once, so that the marks of unfinished leases fit into the journal.
fn markable(staging: &Staging, fits: Range<usize>, upto: usize) -> usize {
    let done = finished_by(staging, fits.end, upto);
    if staging.named <= done {
        return fits.len();
    }
    let (mut marks, mut last) = (0, NO_LEASE);
    for (n, group) in staging.groups[fits.clone()].iter().enumerate() {
        if group.lease != NO_LEASE && group.lease as usize >= done && group.lease != last {
            (marks, last) = (marks + 1, group.lease);
            if marks > MAX_MARKS {
                return n;
            }
        }
    }
    fits.len()
}

/// Published blocks leave the worker's holdings; those of dropped outputs become free.
fn release_blocks(tx: &mut Tx<'_>, after: &mut Bitmap, puts: &[Put]) -> Result<(), Fault> {
    for put in puts {
        if let Some(entry) = put.entry() {
            after.clear(entry);
            if put.disposition != Disposition::Publish {
                let size = tx.free(BlockAt::named_by(put.data))?;
                tx.subtract(QueueAt::of(put.queue)? + queue::BYTES, size);
            }
        }
    }
    Ok(())
}

/// Leases that stay note how many of their outputs are published: a later try skips as many.
fn mark(tx: &mut Tx<'_>, slot: SlotAt, leases: &[u16], done: usize, published: &[Group]) {
    for group in published {
        let lease = group.lease as usize;
        if group.lease != NO_LEASE && lease >= done && lease < leases.len() {
            tx.add(slot.entry(leases[lease]) + entry::MARK, 1);
        }
    }
}
