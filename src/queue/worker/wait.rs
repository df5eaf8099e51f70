//! Waits of a worker: what they are counted as, and that no item is charged for a crash meanwhile.

use super::handle::WorkerHandle;
use crate::queue::arena::layout::{EventAt, slot};
use crate::queue::arena::worker_time::{self, Waiting};
use crate::queue::arena::{attach::Arena, fault::Fault, futex};
use crate::queue::transaction::{checkpoint, event};
use std::time::{Duration, Instant};

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until then.
    Until(Instant),
    /// As long as it takes.
    Forever,
    /// As long as it takes, also under an order to finish: what is at hand can't be made again.
    Regardless,
    /// Until the order or the tuning changes.
    UntilOrder,
}

impl Wait {
    fn deadline(self) -> Option<Instant> {
        if let Wait::Until(deadline) = self { Some(deadline) } else { None }
    }

    /// The same, for as long as it takes until a moment, if that comes first.
    pub(super) fn at_most(self, moment: Option<Instant>) -> Wait {
        self.deadline().into_iter().chain(moment).min().map_or(self, Wait::Until)
    }

    pub(super) fn is_over(self) -> bool {
        match self {
            Wait::No => true,
            Wait::Until(deadline) => Instant::now() >= deadline,
            Wait::Forever | Wait::Regardless | Wait::UntilOrder => false,
        }
    }
}

impl WorkerHandle {
    /// Sleeps until then; false if it was cut short because the order or the tuning changed. `why`: what the time is
    /// counted as.
    pub fn pause(&mut self, until: Instant, why: Waiting) -> Result<bool, Fault> {
        self.sleep_until_order(Some(until), why)?;
        Ok(!self.has_new_orders())
    }

    /// Sleeps until the order or the tuning changes.
    pub fn park(&mut self) -> Result<(), Fault> {
        self.sleep_until_order(None, Waiting::Paused)
    }

    fn sleep_until_order(&mut self, until: Option<Instant>, why: Waiting) -> Result<(), Fault> {
        self.settle()?;
        self.begin_wait(why);
        let (word, seen) = (self.order_word(), self.order_seen.get());
        while until.is_none_or(|until| Instant::now() < until) && self.order_sequence() == seen {
            futex::wait(word, seen as u32, until);
        }
        self.end_wait(why);
        Ok(())
    }

    /// From now on the worker's time is counted as waited. Waits on queues and pauses count themselves.
    #[inline]
    pub fn begin_wait(&self, why: Waiting) {
        worker_time::begin(self.session.memory(), self.slot, why);
    }

    /// From now on it is counted as worked again.
    #[inline]
    pub fn end_wait(&self, why: Waiting) {
        worker_time::end(self.session.memory(), self.slot, why);
    }

    /// All its waits so far.
    pub fn waited(&self) -> Duration {
        worker_time::waited(self.session.memory(), self.slot)
    }

    /// What spinning for items or room has taken, as far as it was measured.
    pub(super) fn count_spinning(&mut self, why: Waiting) {
        if let Some(spent) = self.spin.take_spent() {
            worker_time::add(self.session.memory(), self.slot, why, spent);
        }
    }

    /// A wait that no item is charged for after a crash: the stage isn't at work.
    pub(super) fn sleep_on(
        &mut self,
        events: &[(EventAt, u32)],
        wait: Wait,
        why: Waiting,
    ) -> Result<(), Fault> {
        if !self.staging.spares.is_empty() {
            self.free_spares()?;
        }
        self.without_begun(|worker| {
            let memory = worker.session.memory();
            worker.begin_wait(why);
            if let [(event, sequence)] = events {
                futex::wait_any(&[(event::sequence(memory, *event), *sequence)], wait.deadline());
            } else {
                futex::wait_any(&event::words(memory, events), wait.deadline());
            }
            worker.end_wait(why);
        });
        Ok(())
    }

    /// What was put will exist after a power cut, if that is asked for.
    pub(super) fn wait_until_saved(&mut self, change: u64) {
        if checkpoint::must_wait(self.session.memory(), change) {
            // It counts as work, as any other writing to a disk: no other stage could make it shorter.
            self.without_begun(|worker| {
                _ = checkpoint::wait_until_saved(worker.session.memory(), change, None)
            });
        }
    }

    /// What has changed so far will exist after a power cut, if the queues are saved at all: before something is done
    /// outside that a restored token must know of.
    pub fn save_first(&self) {
        self.without_begun(|worker| checkpoint::wait_until_all_saved(worker.session.memory()));
    }

    fn without_begun(&self, wait: impl FnOnce(&WorkerHandle)) {
        let (memory, at) = (self.session.memory(), self.slot + slot::BEGUN);
        let begun = memory.load(at);
        memory.store(at, 0);
        wait(self);
        memory.store(at, begun);
    }

    /// After a `take` that came back empty: waits in its place, in another thread.
    pub fn waiter(&self) -> QueueWaiter {
        let events = self.empty_inputs.clone();
        QueueWaiter { arena: self.session.arena.clone(), events, next_due: self.next_due }
    }
}

/// What a `take` without waiting would have slept on: for a worker that waits for more than the kernel's futexes can
/// report.
///
/// The worker that it wakes must take, or at least `take` no items: the wake-up is for one worker, and is passed on by
/// that. Until then the worker may continue with the leases it holds: their end may be what ends its queues.
pub struct QueueWaiter {
    arena: Arena,
    events: Vec<(EventAt, u32)>,
    next_due: Option<Instant>,
}

impl QueueWaiter {
    /// Sleeps until there may be an item, a delayed one is due, or there is an order. Makes no change to the queues, so it needs no slot.
    pub fn sleep(&self) {
        let words = event::words(&self.arena.0, &self.events);
        let is_unchanged =
            || words.iter().all(|(word, seen)| word.load(std::sync::atomic::Ordering::Acquire) == *seen);
        let is_due = || self.next_due.is_some_and(|due| due <= Instant::now());
        while !words.is_empty() && is_unchanged() && !is_due() {
            futex::wait_any(&words, self.next_due);
        }
    }
}
