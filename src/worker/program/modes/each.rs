//! `mode = "each"`: a fresh program for every item, or for a batch of them. Its outputs count only if it ends well.

use super::attempt::{Attempted, Attempts, Tag};
use crate::config::pipeline::{Collect, Command};
use crate::model::{Halt, HaltOf, Tried};
use crate::queue::{Ending, QueueId, Taken};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::program::arguments::ProgramItem;
use crate::worker::program::error::FailedAttempt;
use crate::worker::program::io::outputs::Outputs;
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::job_log::{JobRows, Row};
use crate::worker::program::spec::CommandSpec;
use crate::worker::program::spill;
use crate::worker::stop::{Stop, until_stop};
use std::time::{Duration, Instant, SystemTime};

struct EachLoop<'a> {
    worker: &'a mut WorkerContext,
    attempts: Attempts,
    /// What a program wrote that failed for good comes out.
    failed_output: FailedOutput,
    /// `joblog`.
    rows: Option<JobRows>,
    halt: Option<Halt>,
}

/// An item whose command begins, for its row.
struct Begun {
    sequence: u64,
    line: String,
    at: (SystemTime, Instant),
}

#[derive(Clone, Copy, PartialEq)]
enum FailedOutput {
    Kept,
    Dropped,
}

/// Serves the stage with a program for each attempt.
pub(crate) fn serve(
    worker: &mut WorkerContext,
    (spec, rows): (CommandSpec, Option<JobRows>),
    command: Command,
    collect: Collect,
    batch: Option<u32>,
) -> Stop {
    worker.queues.set_max_leases(batch.map_or(1, |batch| batch as usize));
    let (stderr, input, outputs) = (StderrRelay::new(), Vec::new(), Outputs::default());
    let Command { in_framing, out_framing, keep_failed_output, halt, .. } = command;
    let failed_output = if keep_failed_output { FailedOutput::Kept } else { FailedOutput::Dropped };
    let tag = if command.tag { Tag::Item } else { Tag::None };
    let attempts = Attempts { spec, in_framing, out_framing, collect, tag, batch, stderr, input, outputs };
    let mut each = EachLoop { worker, attempts, failed_output, rows, halt };
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
        self.check_halt()?;
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
        worker.take_together(most)
    }

    /// Works off all leases. A batch that fails is halved until the item is found that makes it fail.
    fn work(&mut self) -> Result<(), Stop> {
        let mut size = self.first_attempts()?;
        while !self.worker.queues.is_empty() {
            if self.was_done_before()? {
                self.worker.commit(1)?;
                continue;
            }
            // Others may have failed while this one was awaited.
            self.check_halt()?;
            // What goes together comes out together.
            size = self.worker.admit(size.clamp(1, self.worker.queues.publishable()))?;
            let begun = self.rows.as_ref().map(|_| self.begun()).transpose()?;
            let done = match self.attempt(size)? {
                Ok(()) => {
                    self.attempts.publish(self.worker, size)?;
                    self.note_row(begun, Some(Exit::Code(0)));
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
                    if self.fail(&failed)? {
                        self.note_row(begun, failed.error.exit());
                    }
                    1
                }
            };
            self.worker.recycling.count(done);
            self.worker.pause(|tuning| if done > 0 { tuning.sleep } else { Duration::ZERO })?;
        }
        Ok(())
    }

    /// `halt`: the queue's own ledger says whether another item may be tried, so that no worker can be late.
    fn check_halt(&mut self) -> Result<(), Stop> {
        let Some(halt) = self.halt else { return Ok(()) };
        if halt.of != HaltOf::Fail {
            self.worker.queues.settle()?;
        }
        let mut tried = Tried { is_all: true, ..Tried::default() };
        for (input, _) in &self.worker.spec.inputs {
            let (counts, has_ended) = self.worker.queues.counts_of(QueueId(*input))?;
            tried.put += counts.put;
            tried.done += counts.done;
            tried.dead += counts.dead;
            tried.is_all &= has_ended;
        }
        if halt.is_reached(tried) { Err(Stop(Ending::Halted)) } else { Ok(()) }
    }

    /// Returns whether the item has failed for good.
    fn fail(&mut self, failed: &FailedAttempt) -> Result<bool, Stop> {
        let EachLoop { worker, attempts, failed_output, .. } = self;
        let publish = |worker: &mut WorkerContext| attempts.publish(worker, 1);
        let outputs = (*failed_output == FailedOutput::Kept).then_some(&publish as dead_letters::Outputs<'_>);
        dead_letters::fail_with_outputs(worker, 0, failed.failure, failed.reason(), outputs)
    }

    /// Whether the job log has the first lease.
    fn was_done_before(&self) -> Result<bool, Stop> {
        let Some(rows) = &self.rows else { return Ok(false) };
        Ok(rows.is_done(self.worker.queues.item(0)?.id + 1))
    }

    /// What the row of the first lease needs, before its command runs.
    fn begun(&self) -> Result<Begun, Stop> {
        let lease = self.worker.queues.item(0)?;
        let item = ProgramItem { bytes: lease.bytes, attempt: lease.attempt, id: lease.id };
        let line = self.attempts.spec.line(item);
        Ok(Begun { sequence: lease.id + 1, line, at: (SystemTime::now(), Instant::now()) })
    }

    fn note_row(&mut self, begun: Option<Begun>, exit: Option<Exit>) {
        if let (Some(rows), Some(begun)) = (&mut self.rows, begun) {
            let (start, since) = begun.at;
            rows.add(&Row {
                sequence: begun.sequence,
                start,
                took: since.elapsed(),
                received: self.attempts.outputs.bytes(),
                exit,
                command: &begun.line,
            });
        }
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

    fn attempt(&mut self, size: usize) -> Attempted<FailedAttempt> {
        let EachLoop { worker, attempts, .. } = self;
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
