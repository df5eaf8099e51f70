//! Leasing: from the returned stack first, then from the ring, into free entries of the worker's table.

use super::super::event::Event;
use super::super::holdings::{self, Bitmap, End, Ended, Free};
use super::super::layout::{self, MAX_BATCH, MAX_FAN, queue, slot};
use super::super::lock::Haste;
use super::super::tx::Tx;
use super::super::worker_time;
use super::super::{Fault, QueueId, Waiting, counts, ring, trim};
use super::{Wait, WorkerHandle};

/// What came of a [`WorkerHandle::take`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taken {
    /// Items were leased; so many waited in the first queue that gave any, before and after.
    Items {
        /// Waiting before.
        before: u64,
        /// Waiting after.
        after: u64,
    },
    /// Nothing came in the time given.
    Empty,
    /// All inputs have ended: nothing is left, nothing will come.
    Ended,
    /// The order or the tuning changed meanwhile: look at them, and call again.
    Ordered,
}

impl WorkerHandle {
    /// Leases up to `max` items of the inputs (at most 16), fairly; they are appended to the leases held, of which
    /// there are never more than 512 (or see [`WorkerHandle::hold_up_to`]). Leases that `commit` finished without outputs end in the same step.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn take(&mut self, inputs: &[QueueId], max: usize, wait: Wait) -> Result<Taken, Fault> {
        let inputs = &inputs[..inputs.len().min(MAX_FAN)];
        let is_token = self.memory.is_some_and(|memory| inputs == [memory]);
        let why = if is_token { Waiting::ForTurn } else { Waiting::Starved };
        let mut came = false;
        if wait != Wait::No {
            let WorkerHandle { hand, patience, .. } = &mut *self;
            let memory = hand.memory();
            came = patience.look(|| inputs.iter().any(|&q| counts::waiting_roughly(memory, q) > 0));
            self.count_looking(why);
        }
        let haste = inputs.first().map_or(Ok(Haste::Eager), |&q| self.haste(q, came))?;
        if self.most_leases > MAX_BATCH && self.free_entries() < max.min(self.leases_left()).min(MAX_BATCH) {
            self.settle()?; // what is finished or in reserve is in the way, until a transaction of its own
        }
        // Another thread may have slept in its place ([`WorkerHandle::sleeper`]) and been woken.
        let mut slept = !std::mem::take(&mut self.unslept).is_empty();
        let mut sleep = Sleep::default();
        loop {
            let room = self.leases_left().min(MAX_BATCH);
            let taken = self.try_take(inputs, max.min(room), slept, haste, &mut sleep)?;
            if taken != Taken::Empty {
                return Ok(taken);
            }
            if self.is_disturbed() {
                return Ok(Taken::Ordered);
            }
            if wait.is_over() {
                self.unslept.clear();
                self.unslept.extend_from_slice(&sleep.events[..inputs.len()]);
                return Ok(Taken::Empty);
            }
            // If something came meanwhile the word to sleep on has changed.
            self.trim_while_idle(inputs)?;
            self.sleep_on(&sleep.events[..inputs.len()], wait, why)?;
            slept = true;
        }
    }

    /// Gives surplus memory back until there is something to do.
    fn trim_while_idle(&mut self, inputs: &[QueueId]) -> Result<(), Fault> {
        let mut large = trim::Piecemeal::default();
        while trim::is_due(self.hand.memory())
            && !self.is_disturbed()
            && inputs.iter().all(|&q| counts::waiting_roughly(self.hand.memory(), q) == 0)
            && trim::some(&mut self.hand.begin()?, &mut large)?
        {}
        Ok(())
    }

    fn try_take(
        &mut self,
        inputs: &[QueueId],
        max: usize,
        slept: bool,
        haste: Haste,
        sleep: &mut Sleep,
    ) -> Result<Taken, Fault> {
        let WorkerHandle { hand, slot, live, leases, finished, turn, memory, .. } = self;
        let mut tx = hand.begin_with(haste)?;
        let (mut after, mut ended) = (*live, Ended::default());
        finished.iter().for_each(|&entry| holdings::clear(&mut after, entry));
        forget_begun(&mut tx, *slot, &after);
        holdings::end(&mut tx, *slot, finished, End::Done, &mut ended)?;
        let mut round = Round { slot: *slot, max, free: Free::neither(live, &after), after, leases, got: 0 };
        let (mut size, mut idle_pages) = (None, None);
        for i in 0..inputs.len() {
            let q = inputs[(*turn + i) % inputs.len()];
            let at = layout::queue_at(q)?;
            if slept {
                tx.expect(Event::of(at, queue::NOT_EMPTY)); // others may sleep on
            }
            let before = ring::waiting(&tx, at);
            if before > 0 && round.take(&mut tx, q, at)? > 0 {
                size = size.or(Some((before, ring::waiting(&tx, at))));
                idle_pages = idle_pages.or_else(|| ring::shrink_if_empty(&mut tx, q, at));
            }
        }
        let (got, after) = (round.got, round.after);
        holdings::save(&mut tx, *slot, live, &after);
        let is_token = memory.is_some_and(|memory| inputs == [memory]);
        count(&mut tx, *slot, finished.len(), if is_token { 0 } else { got });
        tx.commit()?;
        *live = after;
        *turn = turn.wrapping_add(1);
        finished.clear();
        if let Some((at, bytes)) = idle_pages {
            // Under the lock: without it the ring could grow into the pages again.
            tx.memory.discard(at, bytes);
        }
        ended.tell(&mut tx);
        let mut all_ended = true;
        for (i, &q) in inputs.iter().enumerate() {
            let at = layout::queue_at(q)?;
            pass_on(&mut tx, at, got > 0);
            if got == 0 {
                all_ended &= ring::is_drained(&tx, at);
                let event = Event::of(at, queue::NOT_EMPTY);
                sleep.events[i] = (event, tx.expect(event));
            }
        }
        Ok(match size {
            Some((before, after)) => Taken::Items { before, after },
            None if all_ended => Taken::Ended,
            None => Taken::Empty,
        })
    }
}

/// The begun mark names a table entry. If that lease has ended, what comes into the entry next is not to blame.
#[inline]
fn forget_begun(tx: &mut Tx<'_>, slot: usize, kept: &Bitmap) {
    let begun = tx.get(slot + slot::BEGUN);
    if begun != 0 && !holdings::is_live(kept, (begun - 1) as u16) {
        tx.set(slot + slot::BEGUN, 0);
    }
}

/// Counters of the worker, in the same step.
fn count(tx: &mut Tx<'_>, slot: usize, finished: usize, got: usize) {
    if finished > 0 && worker_time::is_on() {
        tx.add(slot + slot::COMPLETED, finished as u64);
    }
    if got > 0 && worker_time::is_on() {
        tx.add(slot + slot::TAKEN, got as u64);
    }
}

/// After the commit: what is left is for the next sleeper, and so is the room that was made.
#[inline]
fn pass_on(tx: &mut Tx<'_>, at: usize, took: bool) {
    let waiting = ring::waiting(tx, at);
    if waiting > 0 {
        tx.notify(Event::of(at, queue::NOT_EMPTY));
    }
    if took && waiting < tx.get(at + queue::CAPACITY) {
        tx.notify(Event::of(at, queue::NOT_FULL));
    }
}

/// The events to sleep on, as seen under the lock.
struct Sleep {
    events: [(Event, u32); MAX_FAN],
}

impl Default for Sleep {
    fn default() -> Sleep {
        Sleep { events: [(Event::of(0, queue::NOT_EMPTY), 0); MAX_FAN] }
    }
}

/// One transaction's taking.
struct Round<'a> {
    slot: usize,
    max: usize,
    free: Free,
    after: Bitmap,
    leases: &'a mut Vec<u16>,
    got: usize,
}

impl Round<'_> {
    fn take(&mut self, tx: &mut Tx<'_>, q: QueueId, at: usize) -> Result<usize, Fault> {
        let got_before = self.got;
        self.take_returned(tx, q, at)?;
        let want = ring::returnable(tx, q, at, (self.max - self.got) as u64)?;
        ring::pop(tx, q, at, want, |tx, from, position| {
            let Some(entry) = self.free.next() else { return Ok(false) };
            let to = layout::holding(self.slot, entry as usize);
            tx.memory.copy(from, to, 16);
            tx.memory.store(to + 16, position);
            tx.memory.store(to + 24, 0);
            self.hold(entry);
            Ok(true)
        })?;
        Ok(self.got - got_before)
    }

    fn take_returned(&mut self, tx: &mut Tx<'_>, q: QueueId, at: usize) -> Result<(), Fault> {
        let n = ring::returned(tx, at)?;
        let mut left = n;
        while left > 0 && self.got < self.max {
            let Some(entry) = self.free.next() else { break };
            left -= 1;
            let from = layout::returned_entry(q, left);
            tx.memory.copy(from, layout::holding(self.slot, entry as usize), layout::ENTRY);
            self.hold(entry);
        }
        if left < n {
            tx.set(at + queue::RETURNED, left);
        }
        Ok(())
    }

    #[inline]
    fn hold(&mut self, entry: u16) {
        holdings::mark(&mut self.after, entry);
        self.leases.push(entry);
        self.got += 1;
    }
}
