//! Publishing: staged outputs become items, and the leases they came from end, in one transaction.

use super::end::end_committed;
use super::handle::WorkerHandle;
use super::in_order::{self, Turn, WindowPublication};
use super::leases::{self, Held};
use super::outputs::NO_LEASE;
use super::published::Published;
use super::put::PutError;
use super::staging::Staging;
use super::wait::Wait;
use crate::model::WhenFull;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::layout::{EventAt, MAX_BATCH, QueueAt, SlotAt, descriptor, entry, queue, slot};
use crate::queue::arena::worker_time::{self, Waiting};
use crate::queue::arena::{fault::Fault, memory::Memory};
use crate::queue::transaction::holdings::{self, EndedQueues, FreeEntries};
use crate::queue::transaction::{counts, lock::LockPriority, tx::Tx};

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
        match self.stage_commit(upto)? {
            true => self.commit_staged(upto, wait),
            false => Ok(Committed::Ordered),
        }
    }

    pub(super) fn commit_staged(&mut self, upto: usize, wait: Wait) -> Result<Committed, Fault> {
        let mut upto = upto.min(self.leases.len());
        if self.staging.is_empty() {
            if upto > 0 && self.dead_lease.is_some() {
                self.dead_letter(0)?;
                upto -= 1;
            }
            leases::join(&mut self.finished, &self.leases[..upto]);
            self.leases.drain(..upto);
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
            let published = self.try_publish(upto, slept.take(), self.shares(), priority)?;
            upto -= held - self.leases.len();
            match published {
                Published::All { before, after } => {
                    // In order, leases without outputs may stand behind others.
                    leases::join(&mut self.finished, &self.leases[..upto]);
                    self.leases.drain(..upto);
                    return Ok(Committed::Done { before: first_before.unwrap_or(before), after });
                }
                Published::Closed => {
                    self.discard_staged()?;
                    return Ok(Committed::Closed);
                }
                Published::Part => {}
                Published::NeedsList(window, class) => {
                    if !self.reserve_list(window, class, wait)? {
                        return Ok(Committed::Ordered);
                    }
                }
                Published::Full { queue, size, event, sequence, for_none } => {
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
                    // Only `publish_early` waits so with no lease to end: it keeps back what can't go out yet.
                    if for_none && wait == Wait::Forever {
                        return Ok(Committed::Full { queue, size });
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
        let Some(([q], outputs)) = staging.outputs.runs().next() else {
            return Ok(LockPriority::High);
        };
        let (memory, queue) = (session.memory(), QueueAt::of(*q)?);
        let mut came = false;
        if wait != Wait::No && blocks_when_full(memory, queue) {
            let capacity = counts::capacity_roughly(memory, queue);
            let wanted = (outputs as u64).min(capacity.div_ceil(2));
            let has_room = || counts::queued_roughly(memory, queue).saturating_add(wanted) <= capacity;
            if !has_room() {
                came = spin.spin_until(has_room);
                self.count_spinning(Waiting::Blocked);
            }
        }
        Ok(self.lock_priority(queue, came))
    }

    /// Publishes what is staged before its input is done: there is too much of it to keep back. An output that is being
    /// staged stays where it is. False: it is not its turn, and it would be vain to wait for that.
    pub(super) fn publish_early(&mut self) -> Result<bool, PutError> {
        let committed = match self.marks_outputs() {
            true => self.commit(0, Wait::Forever)?,
            false => self.commit_staged(0, Wait::Forever)?,
        };
        match committed {
            Committed::Ordered => Err(PutError::Ordered),
            Committed::Done { .. } | Committed::Closed => Ok(true),
            Committed::Full { .. } => Ok(false),
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
        self.end_finished_in_order()?;
        let marks_outputs = self.marks_outputs();
        let WorkerHandle {
            session,
            slot,
            leases,
            finished,
            staging,
            targets,
            hidden,
            place,
            sharing,
            dead_lease,
            ..
        } = self;
        let mut tx = session.begin_with(priority)?;
        if let Some(event) = slept {
            tx.register_waiter(event); // others may still sleep
        }
        let standing = in_order::standing(&tx, *slot, leases)?;
        let (mut upto, mut limit) = (upto, MAX_BATCH);
        if let Some(standing) = standing {
            upto = upto.min(standing.run);
            limit = staging.outputs.first_of(standing.run).unwrap_or(limit).min(limit);
        }
        let mut fits = targets.fit(&tx, staging, limit)?;
        if let Some(standing) = standing
            && standing.turn != Turn::Before
        {
            let is_next = standing.turn == Turn::Next;
            if upto > 0 && (!is_next || whole && fits < staging.outputs.len()) {
                let (place, mut has_recovered) = (place.as_ref(), false);
                let held = WindowPublication {
                    slot: *slot,
                    leases,
                    finished,
                    staging,
                    targets,
                    dead_lease,
                    place,
                    has_recovered: &mut has_recovered,
                };
                if let Some(not) = held.commit(&mut tx, standing, upto)? {
                    return Ok(not);
                }
                let ((before, size_after), change) = (targets.first_sizes(&tx), tx.change());
                drop(tx);
                if has_recovered {
                    self.tell();
                }
                return Ok(self.published(change, before, size_after));
            }
            if let Some((event, sequence)) = in_order::await_turn(&mut tx, standing) {
                let for_none = !in_order::is_held_by_others(&tx, (*slot, leases), standing)?;
                let queue = standing.window.id();
                return Ok(Published::Full { queue, size: 0, event, sequence, for_none });
            }
        }
        // Fewer outputs may leave more leases unfinished, hence the loop; one output can always be marked.
        while let n = markable(staging, fits, upto)
            && n < fits
        {
            fits = targets.fit(&tx, staging, n)?;
        }
        if (fits == 0 || whole)
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
            let queue = target.queue.id();
            return Ok(Published::Full { queue, size, event, sequence, for_none: false });
        }
        if targets.are_closed(&tx, hidden) {
            return Ok(Published::Closed);
        }
        holdings::forget_begun(&mut tx, *slot);
        targets.publish(&mut tx, *slot, staging)?;
        let done = finished_by(staging, fits, upto);
        // A token ends its old lease and is an output, but neither is work done.
        let commits = usize::from(sharing.as_ref().is_some_and(|sharing| sharing.is_staged));
        let tokens = staging.outputs.last_tokens(fits - commits, hidden) as u64;
        let alone = sharing.as_mut().filter(|_| commits > 0).map_or(0, |sharing| sharing.take_alone());
        let finished_items: usize = finished.iter().map(|part| part.items).sum();
        leases::join(finished, &leases[..done]);
        let (of, mut ended) = ((*slot, place.as_ref()), EndedQueues::default());
        let dead = end_committed(&mut tx, of, finished, dead_lease.as_ref(), &mut ended)?;
        if done < staging.named && marks_outputs {
            let mut marking = Marking { slot: *slot, leases, free: FreeEntries::of(*slot) };
            marking.mark(&mut tx, staging, fits, done)?;
        }
        if worker_time::is_on() {
            tx.add(*slot + slot::EMITTED, (fits - commits) as u64 - tokens + alone);
            tx.add(*slot + slot::COMPLETED, (finished_items + done) as u64 - dead - tokens.min(done as u64));
        }
        tx.commit()?;
        leases.drain(..done);
        finished.clear();
        dead_lease.take_if(|_| dead > 0);
        staging.outputs.publish(fits, done);
        staging.named = staging.named.saturating_sub(done);
        targets.notify(&mut tx);
        ended.notify(&mut tx);
        let (before, size_after) = targets.first_sizes(&tx);
        let change = tx.change();
        drop(tx);
        if ended.recovered.is_some() {
            self.tell();
        }
        Ok(self.published(change, before, size_after))
    }

    /// After a transaction that has published something.
    pub(super) fn published(&mut self, change: Option<u64>, before: u64, after: u64) -> Published {
        if let Some(change) = change {
            self.wait_until_saved(change);
        }
        if !self.staging.is_empty() {
            return Published::Part;
        }
        self.staging.clear();
        if let Some(sharing) = self.sharing.as_mut().filter(|sharing| sharing.is_staged) {
            sharing.clear();
        }
        Published::All { before, after }
    }
}

/// Whether a put on the queue waits for room, read without the lock.
pub(super) fn blocks_when_full(memory: &Memory, queue: QueueAt) -> bool {
    !counts::is_closed(memory, queue)
        && WhenFull::from_word(memory.load(queue + queue::WHEN_FULL)) == WhenFull::Block
}

/// How many leases, from the oldest, have no output left once the first `published` outputs are out.
fn finished_by(staging: &Staging, published: usize, upto: usize) -> usize {
    staging.outputs.oldest_after(published).unwrap_or(usize::MAX).min(upto)
}

/// How many of the first `fits` outputs can be published at once, so that the marks of unfinished leases fit into the
/// journal.
fn markable(staging: &Staging, fits: usize, upto: usize) -> usize {
    let done = finished_by(staging, fits, upto);
    if staging.named <= done {
        return fits;
    }
    let (mut marks, mut before) = (0, 0);
    for (lease, outputs) in staging.outputs.owners() {
        if before >= fits {
            break;
        }
        if lease != NO_LEASE && lease as usize >= done {
            marks += 1;
            if marks > MAX_MARKS {
                return before;
            }
        }
        before += outputs;
    }
    fits
}

/// Leases that stay note how many of their outputs are published: a later try skips as many.
struct Marking<'a> {
    slot: SlotAt,
    leases: &'a mut [Held],
    free: FreeEntries,
}

impl Marking<'_> {
    fn mark(
        &mut self,
        tx: &mut Tx<'_>,
        staging: &Staging,
        published: usize,
        done: usize,
    ) -> Result<(), Fault> {
        let mut left = published;
        for (lease, outputs) in staging.outputs.owners() {
            let n = outputs.min(left);
            left -= n;
            if n > 0 && lease != NO_LEASE && (done..self.leases.len()).contains(&(lease as usize)) {
                let entry = self.first_of_entry(tx, lease as usize)?;
                tx.add(self.slot.entry(entry) + entry::MARK, n as u64);
            }
        }
        Ok(())
    }

    /// A mark is of the first item of an entry: so the entry is cut in front of this one.
    fn first_of_entry(&mut self, tx: &mut Tx<'_>, lease: usize) -> Result<u16, Fault> {
        let Held { entry, at } = self.leases[lease];
        let meta = Meta(tx.get(self.slot.entry(entry) + entry::DESCRIPTOR + descriptor::META));
        if meta.as_span().is_none_or(|run| run.first == at as usize) {
            return Ok(entry);
        }
        let new = self.free.require(tx)?;
        holdings::cut(tx, self.slot, entry, at as usize, new);
        leases::rename(&mut self.leases[lease..], entry, new);
        Ok(new)
    }
}
