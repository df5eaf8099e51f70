//! Waits of a worker: what they are counted as, and that nobody is blamed for a crash meanwhile.

use super::super::event::Event;
use super::super::layout::slot;
use super::super::worker_time::{self, Waiting};
use super::super::{Fault, futex, saving};
use super::{Wait, WorkerHandle};
use std::time::{Duration, Instant};

impl WorkerHandle {
    /// Sleeps until then; false if it was cut short because the order or the tuning changed. `why`: what the time is
    /// counted as.
    pub fn pause(&mut self, until: Instant, why: Waiting) -> Result<bool, Fault> {
        self.settle()?;
        self.begin_wait(why);
        let seen = self.bell_seen.get();
        let word = self.hand.memory().word32(self.slot + slot::BELL);
        while Instant::now() < until && self.bell() == seen {
            futex::wait(word, seen as u32, Some(until));
        }
        self.end_wait(why);
        Ok(self.bell() == seen)
    }

    /// From now on the worker's time is counted as waited. Waits on queues and pauses count themselves.
    #[inline]
    pub fn begin_wait(&self, why: Waiting) {
        worker_time::begin(self.hand.memory(), self.slot, why);
    }

    /// From now on it is counted as worked again.
    #[inline]
    pub fn end_wait(&self, why: Waiting) {
        worker_time::end(self.hand.memory(), self.slot, why);
    }

    /// All its waits so far.
    pub fn waited(&self) -> Duration {
        worker_time::waited(self.hand.memory(), self.slot)
    }

    /// Sleeps until the order or the tuning changes.
    pub fn park(&mut self) -> Result<(), Fault> {
        self.settle()?;
        self.begin_wait(Waiting::Paused);
        let seen = self.bell_seen.get();
        let word = self.hand.memory().word32(self.slot + slot::BELL);
        while self.bell() == seen {
            futex::wait(word, seen as u32, None);
        }
        self.end_wait(Waiting::Paused);
        Ok(())
    }

    /// What looking for items or room has taken, as far as it was measured.
    pub(super) fn count_looking(&mut self, why: Waiting) {
        if let Some(spent) = self.patience.take_spent() {
            worker_time::add(self.hand.memory(), self.slot, why, spent);
        }
    }

    /// A wait that a crash meanwhile is not blamed on: the stage isn't at work.
    pub(super) fn sleep_on(&mut self, words: &[(Event, u32)], wait: Wait, why: Waiting) -> Result<(), Fault> {
        if !self.staging.spares.is_empty() {
            self.free_spares()?;
        }
        let memory = self.hand.memory();
        let begun = memory.load(self.slot + slot::BEGUN);
        memory.store(self.slot + slot::BEGUN, 0);
        self.begin_wait(why);
        if let [(event, sequence)] = words {
            futex::wait(event.sequence(memory), *sequence, wait.deadline());
        } else {
            let words: Vec<_> = words.iter().map(|&(event, seen)| (event.sequence(memory), seen)).collect();
            futex::wait_any(&words, wait.deadline());
        }
        self.end_wait(why);
        memory.store(self.slot + slot::BEGUN, begun);
        Ok(())
    }

    /// What was put goes on to exist after a power cut, if that is asked for.
    pub(super) fn wait_until_safe(&mut self, change: u64) {
        let memory = self.hand.memory();
        if !saving::must_wait(memory, change) {
            return;
        }
        let begun = memory.load(self.slot + slot::BEGUN);
        memory.store(self.slot + slot::BEGUN, 0);
        // It counts as work, as any other writing to a disk: no other stage could make it shorter.
        saving::wait_until_safe(memory, change);
        memory.store(self.slot + slot::BEGUN, begun);
    }
}
