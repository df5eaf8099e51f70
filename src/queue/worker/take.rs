//! Leasing: from the returned stack first, then from the ring, into free entries of the worker's table.

use super::handle::WorkerHandle;
use super::leases::Held;
use super::permit::Permit;
use super::wait::Wait;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::layout::{EventAt, MAX_BATCH, MAX_FAN, QueueAt, SlotAt, entry, queue, slot};
use crate::queue::arena::worker_time::{self, Waiting};
use crate::queue::arena::{fault::Fault, memory::Memory};
use crate::queue::transaction::delayed::{self, TAKE_WORDS};
use crate::queue::transaction::holdings::{self, End, EndedQueues, FreeEntries};
use crate::queue::transaction::ring::{self, Popped};
use crate::queue::transaction::{
    counts, failing, lock::LockPriority, places, returned, trim, tx::Tx, window,
};

use std::time::{Duration, Instant};

/// What came of a [`WorkerHandle::take`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taken {
    /// Items were leased. What waited in the first queue that gave any, before and after:
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
    /// The order or the tuning changed meanwhile: read them, and call again.
    Ordered,
}

impl WorkerHandle {
    /// Leases up to `max` items of the inputs (at most 16), fairly; they are appended to the leases held, of which
    /// there are never more than 512 (or see [`WorkerHandle::set_max_leases`]). Leases that `commit` finished without
    /// outputs end in the same step.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn take(&mut self, inputs: &[QueueId], max: usize, wait: Wait) -> Result<Taken, Fault> {
        let inputs = &inputs[..inputs.len().min(MAX_FAN)];
        let why = if self.is_hidden(inputs) { Waiting::ForTurn } else { Waiting::Starved };
        let mut came = false;
        if wait != Wait::No {
            let WorkerHandle { session, spin, .. } = &mut *self;
            let memory = session.memory();
            came = spin.spin_until(|| inputs.iter().any(|&q| may_have_items(memory, q)));
            self.count_spinning(why);
        }
        let priority = match inputs.first() {
            Some(&first) => self.lock_priority(QueueAt::of(first)?, came),
            None => LockPriority::High,
        };
        if self.max_leases > MAX_BATCH && self.free_entries() < max.min(self.leases_left()).min(MAX_BATCH) {
            self.settle()?; // what is finished or in reserve is in the way, until a transaction of its own
        }
        // Another thread may have slept in its place ([`WorkerHandle::waiter`]) and been woken.
        let mut slept = !std::mem::take(&mut self.empty_inputs).is_empty();
        let mut events = SleepOn::new();
        loop {
            let room = self.leases_left().min(MAX_BATCH);
            let taken = self.try_take(inputs, max.min(room), slept, priority, &mut events)?;
            let has_filled = self.fill(inputs)?;
            let events = events.all();
            if taken != Taken::Empty {
                return Ok(taken);
            }
            if has_filled {
                continue; // it may be for this worker
            }
            if self.has_new_orders() {
                return Ok(Taken::Ordered);
            }
            if wait.is_over() {
                self.empty_inputs.clear();
                self.empty_inputs.extend_from_slice(events);
                return Ok(Taken::Empty);
            }
            // If something came meanwhile the word to sleep on has changed.
            self.trim_while_idle(inputs)?;
            let why = if self.is_held_back(inputs) { Waiting::Blocked } else { why };
            self.sleep_on(events, wait.at_most(self.next_due), why)?;
            slept = true;
        }
    }

    /// There may be room in a queue now: what windows hold for it moves on, see `transaction/window.rs`. Whether there was
    /// anything.
    fn fill(&mut self, inputs: &[QueueId]) -> Result<bool, Fault> {
        let mut any = false;
        for &q in inputs {
            let queue = QueueAt::of(q)?;
            if self.session.memory().load(queue + queue::HELD_UP) != 0 {
                let mut tx = self.session.begin()?;
                any |= window::fill(&mut tx, queue)?;
                tx.commit()?;
            }
        }
        Ok(any)
    }

    /// Whether there are items, but no more may be taken: the window of their order is full.
    fn is_held_back(&self, inputs: &[QueueId]) -> bool {
        let memory = self.session.memory();
        let keeps_order = |q| QueueAt::of(q).is_ok_and(|queue| memory.load(queue + queue::WINDOW) != 0);
        inputs.iter().any(|&q| keeps_order(q) && may_have_items(memory, q))
    }

    fn is_hidden(&self, inputs: &[QueueId]) -> bool {
        matches!(inputs, [input] if self.hidden.contains(input))
    }

    /// Gives surplus memory back until there is something to do.
    fn trim_while_idle(&mut self, inputs: &[QueueId]) -> Result<(), Fault> {
        let mut large = trim::PartialDiscard::default();
        while trim::is_due(self.session.memory())
            && !self.has_new_orders()
            && !inputs.iter().any(|&q| may_have_items(self.session.memory(), q))
            && trim::some(&mut self.session.begin()?, &mut large)?
        {}
        Ok(())
    }

    /// One transaction. `events`: what to sleep on if nothing is there, as seen under the lock.
    fn try_take(
        &mut self,
        inputs: &[QueueId],
        max: usize,
        slept: bool,
        priority: LockPriority,
        events: &mut SleepOn,
    ) -> Result<Taken, Fault> {
        let is_hidden = self.is_hidden(inputs);
        let WorkerHandle { session, slot, leases, finished, first_input, next_due, place, hidden, .. } = self;
        let mut tx = session.begin_with(priority)?;
        let mut ended = EndedQueues::default();
        let finished_items = finished.iter().map(|part| part.items).sum();
        let touched = place.as_ref().filter(|place| place.is_touched(tx.memory));
        if let Some(place) = touched {
            place.ended(&mut tx, finished, End::Done, &mut ended);
        }
        holdings::end(&mut tx, *slot, finished.iter().copied(), End::Done, &mut ended)?;
        holdings::forget_begun(&mut tx, *slot);
        let permit = Permit::of(&mut tx, touched.filter(|_| !is_hidden), *slot, (leases, hidden), &mut ended);
        let mut batch = TakenBatch::new(*slot, leases, max);
        batch.new_first = touched.is_some();
        let (mut size, mut unused) = (None, None);
        let start = if inputs.len() > 1 { *first_input % inputs.len() } else { 0 };
        for &q in inputs[start..].iter().chain(&inputs[..start]) {
            let queue = QueueAt::of(q)?;
            if slept {
                tx.register_waiter(queue + queue::NOT_EMPTY); // others may still sleep
            }
            let before = counts::queued(&tx, queue);
            if before > 0 && permit.is_open(queue) && batch.take(&mut tx, queue)? > 0 {
                size = size.or(Some((before, counts::queued(&tx, queue))));
                unused = unused.or_else(|| ring::shrink_if_empty(&mut tx, queue));
            }
        }
        if let Some(fresh) = permit.probes().filter(|_| max > 0 && batch.got == 0) {
            size = batch.take_probe(&mut tx, inputs, fresh)?;
            if let Some(place) = touched.filter(|_| size.is_some()) {
                place.probed(&mut tx);
            }
        }
        let got = batch.got;
        let mut has_made_room = false;
        for &q in inputs.iter().filter(|_| !is_hidden) {
            has_made_room |= failing::make_room(&mut tx, QueueAt::of(q)?, touched.is_some());
        }
        count(&mut tx, *slot, finished_items, if is_hidden { 0 } else { got });
        tx.commit()?;
        *first_input = first_input.wrapping_add(1);
        finished.clear();
        if let Some(pages) = unused {
            // Under the lock: without it the ring could grow into the pages again.
            tx.memory.discard(pages);
        }
        ended.notify(&mut tx);
        let mut all_ended = true;
        *next_due = permit.opens_at();
        events.clear();
        for &q in inputs {
            let queue = QueueAt::of(q)?;
            pass_on(&mut tx, queue, got > 0 || has_made_room, slept && (got > 0 || max == 0));
            if got > 0 {
                continue;
            }
            all_ended &= counts::is_drained(&tx, queue);
            if permit.listens(queue) {
                *next_due = earliest(*next_due, delayed::next_due(&tx, queue));
                events.register(&mut tx, queue + queue::NOT_EMPTY);
            }
        }
        if let Some(place) = touched.filter(|_| got == 0) {
            match all_ended {
                // Those that may take nothing are to see it, too.
                true => tx.notify_all(place.event()),
                false => events.register(&mut tx, place.event()),
            }
        }
        drop(tx);
        if ended.recovered.is_some() {
            self.tell();
        }
        Ok(match size {
            Some((before, after)) => Taken::Items { before, after },
            None if all_ended => Taken::Ended,
            None => Taken::Empty,
        })
    }
}

/// What to sleep on if nothing is there, as seen under the lock.
struct SleepOn {
    events: [(EventAt, u32); MAX_FAN + 1],
    n: usize,
}

impl SleepOn {
    fn new() -> SleepOn {
        SleepOn { events: [(QueueAt::nth(0) + queue::NOT_EMPTY, 0); MAX_FAN + 1], n: 0 }
    }

    fn clear(&mut self) {
        self.n = 0;
    }

    fn register(&mut self, tx: &mut Tx<'_>, event: EventAt) {
        self.events[self.n] = (event, tx.register_waiter(event));
        self.n += 1;
    }

    fn all(&self) -> &[(EventAt, u32)] {
        &self.events[..self.n]
    }
}

/// The earlier of a moment and of what is to come in this time.
fn earliest(moment: Option<Instant>, wait: Option<Duration>) -> Option<Instant> {
    let other = wait.map(|wait| Instant::now() + wait);
    moment.into_iter().chain(other).min()
}

/// Without the lock.
fn may_have_items(memory: &Memory, q: QueueId) -> bool {
    QueueAt::of(q).is_ok_and(|queue| counts::waiting_roughly(memory, queue) > 0)
}

/// Counters of the worker, in the same step.
fn count(tx: &mut Tx<'_>, slot: SlotAt, finished: usize, got: usize) {
    if finished > 0 && worker_time::is_on() {
        tx.add(slot + slot::COMPLETED, finished as u64);
    }
    if got > 0 && worker_time::is_on() {
        tx.add(slot + slot::TAKEN, got as u64);
    }
}

/// After the commit: what is left is for the next waiter, and so is the room that was made.
#[inline]
fn pass_on(tx: &mut Tx<'_>, queue: QueueAt, took: bool, leaves: bool) {
    let (waiting, delayed) = (takable(tx, queue), counts::delayed(tx, queue));
    // A sleeper that leaves may have been the only one who knows when the next delayed item is due.
    if waiting > 0 || delayed > 0 && (leaves || delayed::is_due(tx, queue)) {
        tx.notify(queue + queue::NOT_EMPTY);
    }
    if took && counts::queued(tx, queue) < counts::capacity(tx, queue) {
        tx.notify(queue + queue::NOT_FULL);
    }
}

/// Of the items waiting those that may be taken now.
fn takable(tx: &Tx<'_>, queue: QueueAt) -> u64 {
    let (waiting, returned) = (counts::waiting(tx, queue), tx.get(queue + queue::RETURNED));
    waiting.min(returned.saturating_add(window::admitted(tx, queue, 0)))
}

/// One transaction's taking.
pub(super) struct TakenBatch<'a> {
    slot: SlotAt,
    max: usize,
    free: FreeEntries,
    leases: &'a mut Vec<Held>,
    pub(super) got: usize,
    /// Words of heaps of delayed items that may change still.
    heap_words: u64,
    /// Something has failed and nothing was done since: what is new tells more than the same items over and over.
    new_first: bool,
    /// The queue's items keep their order.
    in_order: bool,
    /// Where they do: the number that must follow, for what is taken at once is published at once.
    next: Option<u64>,
}

impl<'a> TakenBatch<'a> {
    pub(super) fn new(slot: SlotAt, leases: &'a mut Vec<Held>, max: usize) -> TakenBatch<'a> {
        TakenBatch {
            slot,
            max,
            free: FreeEntries::of(slot),
            leases,
            got: 0,
            heap_words: TAKE_WORDS,
            new_first: false,
            in_order: false,
            next: None,
        }
    }

    /// Whatever waits, due or not.
    pub(super) fn take_all(&mut self, tx: &mut Tx<'_>, queue: QueueAt) -> Result<(), Fault> {
        self.take_fresh(tx, queue)?;
        self.take_delayed(tx, queue, true)
    }

    fn take(&mut self, tx: &mut Tx<'_>, queue: QueueAt) -> Result<usize, Fault> {
        let got_before = self.got;
        self.in_order = window::of(tx, queue).is_some();
        if self.in_order {
            let more = places::MAX_LEASES.saturating_sub(self.leases.len());
            self.max = self.max.min(self.got + more);
        }
        self.take_returned(tx, queue)?;
        if self.new_first {
            self.take_new(tx, queue)?;
            self.take_delayed(tx, queue, false)?;
        } else {
            self.take_delayed(tx, queue, false)?;
            self.take_new(tx, queue)?;
        }
        Ok(self.got - got_before)
    }

    fn take_fresh(&mut self, tx: &mut Tx<'_>, queue: QueueAt) -> Result<(), Fault> {
        self.take_returned(tx, queue)?;
        self.take_new(tx, queue)
    }

    /// Out of the ring.
    fn take_new(&mut self, tx: &mut Tx<'_>, queue: QueueAt) -> Result<(), Fault> {
        if !self.follows(tx.get(queue + queue::HEAD)) {
            return Ok(());
        }
        // Where only failures are known, one more: what the window waits for may be what fails.
        let least = u64::from(self.new_first && self.got == 0);
        let wanted = ((self.max - self.got) as u64).min(window::admitted(tx, queue, least));
        let want = returned::returnable(tx, queue, wanted)?;
        let popped = ring::pop(tx, queue, want, |tx, Popped { data, meta, sequence }| {
            let Some(entry) = self.free.next(tx) else { return Ok(false) };
            let to = self.slot.entry(entry);
            tx.memory.store_descriptor(to, data, meta);
            tx.memory.store(to + entry::SEQUENCE, sequence);
            tx.memory.store(to + entry::MARK, 0);
            tx.memory.store(to + entry::PUT_OFF, 0);
            tx.memory.store(to + entry::FAILURES, 0);
            tx.memory.store(to + entry::FIRST_BIRTH, 0);
            self.hold(tx, entry, meta);
            Ok(true)
        })?;
        if popped > 0 && self.in_order {
            self.next = Some(tx.get(queue + queue::HEAD));
        }
        Ok(())
    }

    /// Whether the item of this number may be taken with those before it.
    fn follows(&self, number: u64) -> bool {
        self.next.is_none_or(|next| next == number)
    }

    /// One item of a stage that is failing: a fresh one, or one that is delayed, whichever is there. What waited in its
    /// queue, before and after; `None`: there is no item.
    fn take_probe(
        &mut self,
        tx: &mut Tx<'_>,
        inputs: &[QueueId],
        fresh: bool,
    ) -> Result<Option<(u64, u64)>, Fault> {
        self.max = 1;
        for fresh in [fresh, !fresh] {
            for &q in inputs {
                let queue = QueueAt::of(q)?;
                let before = counts::queued(tx, queue);
                match fresh {
                    true => self.take_fresh(tx, queue)?,
                    false => self.take_delayed(tx, queue, true)?,
                }
                if self.got > 0 {
                    return Ok(Some((before, counts::queued(tx, queue))));
                }
            }
        }
        Ok(None)
    }

    fn take_delayed(&mut self, tx: &mut Tx<'_>, queue: QueueAt, regardless: bool) -> Result<(), Fault> {
        if counts::delayed(tx, queue) == 0 {
            return Ok(());
        }
        let (want, mut words) =
            (returned::returnable(tx, queue, (self.max - self.got) as u64)?, self.heap_words);
        delayed::take_due(tx, queue, want, (&mut words, regardless), |tx, from| {
            let number = tx.memory.load(from + entry::SEQUENCE);
            if !self.follows(number) {
                return false;
            }
            let Some(entry) = self.free.next(tx) else { return false };
            self.next = self.in_order.then_some(number.wrapping_add(1));
            tx.memory.copy_entry(from, self.slot.entry(entry));
            self.hold(tx, entry, tx.memory.meta(from));
            true
        })?;
        self.heap_words = words;
        Ok(())
    }

    fn take_returned(&mut self, tx: &mut Tx<'_>, queue: QueueAt) -> Result<(), Fault> {
        let mut left = returned::len(tx, queue)?;
        while left > 0 && self.got < self.max {
            let number = tx.memory.load(queue.returned(left - 1) + entry::SEQUENCE);
            if !self.follows(number) {
                break;
            }
            let Some(entry) = self.free.next(tx) else { break };
            left -= 1;
            let got_before = self.got;
            returned::pop(tx, queue, left, self.max - self.got, |tx, at, meta| {
                let to = self.slot.entry(entry);
                tx.memory.copy_entry(at, to);
                tx.memory.store_descriptor(to, tx.memory.data(at), meta);
                self.hold(tx, entry, meta);
                Ok(())
            })?;
            self.next = self.in_order.then_some(number.wrapping_add((self.got - got_before) as u64));
        }
        Ok(())
    }

    /// The items that a descriptor stands for are held in this entry.
    #[inline]
    fn hold(&mut self, tx: &mut Tx<'_>, entry: u16, meta: Meta) {
        holdings::mark(tx, self.slot, entry);
        self.got += meta.items();
        match meta.as_span() {
            None => self.leases.push(Held { entry, at: 0 }),
            Some(Span { first, count }) => {
                self.leases.extend((first..first + count).map(|at| Held { entry, at: at as u16 }));
            }
        }
    }
}
