//! Items for the program: as many as it may soon read.

use super::streaming::{Found, Last, Streaming};
use crate::queue::{Taken, Wait};
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::program::conversation::Event;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::waker;
use crate::worker::program::pause::After;
use crate::worker::program::run::ProgramRun;
use crate::worker::stop::Stop;

/// This many items in one look make it likely that more are about to come.
const BURST_ITEMS: usize = 64;

impl Streaming<'_> {
    pub(super) fn pass_on_wake_up(&mut self, worker: &mut WorkerContext) -> Result<(), Stop> {
        if self.waker.has_fired() {
            // It was a wake-up for one worker: if this one can't use it, the look passes it on.
            worker.queues.take(&worker.inputs, 0, Wait::No)?;
        }
        Ok(())
    }

    pub(super) fn lease(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let live = run.worker.live;
        if !run.conversation.is_undecided() || !run.session.takes_input() {
            return Ok(());
        }
        self.frame(run.worker)?;
        let wants = !run.worker.inputs.is_empty() && run.conversation.is_open();
        if !wants || self.waker.is_armed() || self.pause.is_on() || live.must_pause() {
            return Ok(());
        }
        let mut more = true;
        while more && !self.feed.is_full() {
            let queues = &run.worker.queues;
            let most = match live.is_single() {
                true => usize::from(self.feed.is_empty()),
                false => queues.leases_left(),
            };
            let most = most.min(run.worker.recycling.items_left().saturating_sub(queues.len()));
            more = most > 0 && self.take_by_rate(most, run)?;
        }
        Ok(())
    }

    /// Takes as many as the stage's rate lets begin now.
    fn take_by_rate(&mut self, most: usize, run: &mut ProgramRun<'_>) -> Result<bool, Stop> {
        let known = run.worker.queues.len();
        match run.worker.try_admit(most) {
            Ok(admitted) => {
                let more = self.take_some(admitted, run);
                let begun = run.worker.queues.len().saturating_sub(known);
                run.worker.give_admitted_back(admitted.saturating_sub(begun));
                more
            }
            Err(at) => {
                // Only the end of the input is of interest, where no item waits.
                if !run.worker.has_waiting() {
                    self.take_some(0, run)?;
                }
                // One that has come meanwhile tells nobody: it waited already when the look was taken.
                if run.worker.has_waiting() {
                    self.found.last = Last::Items;
                    self.pause.begin_by_rate(at, &run.worker.live);
                }
                Ok(false)
            }
        }
    }

    /// One transaction's part of it. Returns whether more waits.
    fn take_some(&mut self, most: usize, run: &mut ProgramRun<'_>) -> Result<bool, Stop> {
        let live = run.worker.live;
        let wait = self.queue_wait(run);
        let worker = &mut *run.worker;
        let known = worker.queues.len();
        match worker.queues.take(&worker.inputs, most, wait)? {
            Taken::Items { before, after } => {
                let bursts = worker.queues.len() - known >= BURST_ITEMS;
                self.found = Found { last: Last::Items, bursts };
                worker.log_taken(known, before, after)?;
                self.frame(worker)?;
                return Ok(after > 0);
            }
            Taken::Ended => {
                run.apply(Event::InputEnded { early: !live.is_stopping() });
            }
            Taken::Ordered => self.found.last = Last::Unknown,
            Taken::Empty => match live.pause_when_empty() {
                Some(pause) => {
                    worker.item_log.empty(&worker.spec.inputs, Some(pause));
                    self.pause.begin(After::Empty, &worker.live);
                }
                None => {
                    self.found.last = Last::None;
                    self.found.bursts &= wait == Wait::No;
                }
            },
        }
        Ok(false)
    }

    /// How long a look for items may wait for the queues alone.
    fn queue_wait(&self, run: &ProgramRun<'_>) -> Wait {
        let live = run.worker.live;
        match () {
            () if !self.feed.is_empty() || live.pause_when_empty().is_some() => Wait::No,
            // A program that only reads has nothing to say.
            () if run.worker.outputs.is_empty() && !self.speaks => waker::queue_wait(),
            // What gives so much is about to give more, and the program has said what it had just now.
            () if self.found.bursts && !run.flows(false) => waker::burst_wait(),
            () => Wait::No,
        }
    }

    /// Makes leases bytes for the program, as far as they will soon be written.
    fn frame(&mut self, worker: &mut WorkerContext) -> Result<(), Stop> {
        while !self.feed.is_full() && self.feed.len() < worker.queues.len() {
            let next = self.feed.len();
            if let Some((lines, items)) = worker.queues.lines(next)?
                && self.feed.push_lines(lines, items)
            {
                continue;
            }
            if let Err(why) = self.feed.push_in_place(worker.queues.item(next)?.bytes) {
                let failed = FailedAttempt::charged(ProgramError::NotEncodable(why), Vec::new());
                dead_letters::fail_with(worker, next, failed.failure, failed.reason())?;
                self.found.last = Last::Unknown;
            }
        }
        Ok(())
    }
}
