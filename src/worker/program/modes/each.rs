//! `mode = "each"`: a fresh program for every item, or for a batch of them. Its outputs count only if it ends well.

use super::attempt::{Attempted, Attempts};
use crate::config::pipeline::{Collect, Command};
use crate::queue::{Ending, Taken, Wait};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::program::error::FailedAttempt;
use crate::worker::program::io::outputs::Outputs;
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::spec::CommandSpec;
use crate::worker::program::spill;
use crate::worker::stop::{Stop, until_stop};
use std::time::{Duration, Instant};

struct EachLoop<'a> {
    worker: &'a mut WorkerContext,
    attempts: Attempts,
}

/// Serves the stage with a program for each attempt.
pub(crate) fn serve(
    worker: &mut WorkerContext,
    spec: CommandSpec,
    command: Command,
    collect: Collect,
    batch: Option<u32>,
) -> Stop {
    worker.queues.set_max_leases(batch.map_or(1, |batch| batch as usize));
    let (stderr, input, outputs) = (StderrRelay::new(), Vec::new(), Outputs::default());
    let Command { in_framing, out_framing, .. } = command;
    let attempts = Attempts { spec, in_framing, out_framing, collect, batch, stderr, input, outputs };
    let mut each = EachLoop { worker, attempts };
    until_stop(|| each.round())
}

impl EachLoop<'_> {
    fn round(&mut self) -> Result<(), Stop> {
        self.worker.poll_orders()?;
        if readiness::is_terminated() {
            return Err(Stop(Ending::Ordered));
        }
        self.worker.recycling.check()?;
        spill::drain(self.worker)?;
        match self.take()? {
            Taken::Items { .. } if spill::keep_only_batch(self.worker)? => spill::publish_batch(self.worker),
            Taken::Items { before, after } => {
                self.worker.log_taken(0, before, after)?;
                self.work()
            }
            Taken::Empty | Taken::Ordered => Ok(()),
            Taken::Ended => Err(Stop(Ending::InputEnded)),
        }
    }

    /// Leases a batch, or as much of one as is there.
    fn take(&mut self) -> Result<Taken, Stop> {
        let live = self.worker.live;
        let worker = &mut *self.worker;
        let most = self.attempts.batch.filter(|_| !live.is_single()).map_or(1, |batch| batch as usize);
        let most = most.min(worker.recycling.items_left());
        let mut taken = worker.take(most)?;
        // A transaction takes a limited number of items.
        while let Taken::Items { after, .. } = &mut taken
            && *after > 0
            && worker.queues.len() < most
            && let Taken::Items { after: left, .. } =
                worker.queues.take(&worker.inputs, most - worker.queues.len(), Wait::No)?
        {
            *after = left;
        }
        Ok(taken)
    }

    /// Works off all leases. A batch that fails is halved until the item is found that makes it fail.
    fn work(&mut self) -> Result<(), Stop> {
        let mut size = self.first_attempts()?;
        while !self.worker.queues.is_empty() {
            // What goes together comes out together.
            size = self.worker.admit(size.clamp(1, self.worker.queues.publishable()))?;
            let done = match self.attempt(size)? {
                Ok(()) => {
                    self.publish(size)?;
                    size
                }
                Err(failed) if size > 1 => {
                    log::debug!("a batch of {size} failed: {failed}");
                    size /= 2;
                    0
                }
                Err(failed) => {
                    self.worker.item_log.forget();
                    // The others first: so the failed one is the first in its queue again.
                    self.worker.queues.give_back_from(1)?;
                    dead_letters::fail_with(self.worker, 0, failed.failure, failed.reason())?;
                    1
                }
            };
            self.worker.recycling.count(done);
            self.worker.pause(|tuning| if done > 0 { tuning.sleep } else { Duration::ZERO })?;
        }
        Ok(())
    }

    /// How many of the leases may go together: one that has failed before goes alone.
    fn first_attempts(&self) -> Result<usize, Stop> {
        for i in 0..self.worker.queues.len() {
            if self.worker.queues.item(i)?.attempt > 1 {
                return Ok(i.max(1));
            }
        }
        Ok(self.worker.queues.len())
    }

    /// Publishes the outputs of the first `size` leases and ends them. What was collected as a whole is no line, so
    /// standard output gets no line end that the program has not written.
    fn publish(&mut self, size: usize) -> Result<(), Stop> {
        if self.attempts.collect == Collect::Lines || !self.worker.outputs.is_empty() {
            return spill::publish(self.worker, self.attempts.outputs.all(), size);
        }
        self.worker.console.begin_item();
        self.attempts.outputs.all().iter().try_for_each(|output| self.worker.console.put_as_it_is(output))?;
        self.worker.commit(size)
    }

    fn attempt(&mut self, size: usize) -> Attempted<FailedAttempt> {
        let EachLoop { worker, attempts } = self;
        // Which one of several has killed this worker can't be known.
        if size == 1 {
            worker.queues.begin(0);
        }
        attempts.outputs.clear();
        attempts.stderr.forget();
        readiness::hold_termination().map_err(Failure::from)?;
        let start = Instant::now();
        let result = attempts.run(worker, size);
        worker.queues.note_items(size, start.elapsed());
        worker.queues.rest();
        if !readiness::is_terminated() {
            readiness::release_termination().map_err(Failure::from)?;
        }
        result.map(|result| {
            result.map_err(|error| attempts.spec.failed(error, attempts.stderr.take_last_lines()))
        })
    }
}
