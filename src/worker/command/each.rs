//! `mode = "each"`: a fresh program for every item, or for a batch of them. Its outputs count only if it ends well.

use super::defeat::{Defeat, Trouble};
use super::errors::Errors;
use super::framing::{Decoder, encode};
use super::outbox;
use super::outputs::Outputs;
use super::recipe::{NotStarted, Recipe};
use super::session::{Out, Session, Wish};
use crate::config::pipeline::{Collect, Command};
use crate::queue::{Ending, QueueId, Taken, Wait, Waiting};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::context::{Pace, WorkerContext};
use crate::worker::failed::{self, Reason};
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

pub(super) struct EachLoop<'a> {
    worker: &'a mut WorkerContext,
    recipe: Recipe,
    command: Command,
    collect: Collect,
    /// Items at once, each framed; `None`: one, as it is.
    batch: Option<u32>,
    inputs: Vec<QueueId>,
    errors: Errors,
    /// What the program gets on its standard input.
    input: Vec<u8>,
    outputs: Outputs,
}

impl<'a> EachLoop<'a> {
    pub fn new(
        worker: &'a mut WorkerContext,
        recipe: Recipe,
        command: Command,
        collect: Collect,
        batch: Option<u32>,
    ) -> EachLoop<'a> {
        let inputs = outbox::inputs(worker);
        worker.queues.set_max_leases(batch.map_or(1, |batch| batch as usize));
        let (errors, input, outputs) = (Errors::new(), Vec::new(), Outputs::default());
        EachLoop { worker, recipe, command, collect, batch, inputs, errors, input, outputs }
    }

    pub fn run(mut self) -> Stop {
        loop {
            if let Err(stop) = self.round() {
                return stop;
            }
        }
    }

    fn round(&mut self) -> Result<(), Stop> {
        let pace = self.worker.heed()?;
        if readiness::is_terminated() {
            return Err(Stop(Ending::Ordered));
        }
        self.worker.recycling.check()?;
        outbox::work_off(self.worker)?;
        match self.take(&pace)? {
            Taken::Items { before, after } => {
                if self.set_bundle_apart()? {
                    return outbox::publish_bundle(self.worker);
                }
                super::log_taken(self.worker, before, after)?;
                self.work(&pace)
            }
            Taken::Empty | Taken::Ordered => Ok(()),
            Taken::Ended => Err(Stop(Ending::InputEnded)),
        }
    }

    /// Leases a batch, or as much of one as is there.
    fn take(&mut self, pace: &Pace) -> Result<Taken, Stop> {
        let one = pace.is_single() || self.batch.is_none();
        let most = if one { 1 } else { self.batch.map_or(1, |batch| batch as usize) };
        let most = most.min(self.worker.recycling.items_left());
        let mut taken = self.take_first(pace, most)?;
        // A transaction takes only so many.
        while let Taken::Items { after, .. } = &mut taken
            && *after > 0
            && self.worker.queues.len() < most
            && let Taken::Items { after: left, .. } =
                self.worker.queues.take(&self.inputs, most - self.worker.queues.len(), Wait::No)?
        {
            *after = left;
        }
        Ok(taken)
    }

    fn take_first(&mut self, pace: &Pace, most: usize) -> Result<Taken, Stop> {
        let looks = pace.when_empty().is_some() || self.worker.item_log.is_on;
        if !looks {
            return Ok(self.worker.queues.take(&self.inputs, most, Wait::Forever)?);
        }
        let taken = self.worker.queues.take(&self.inputs, most, Wait::No)?;
        if taken != Taken::Empty {
            return Ok(taken);
        }
        self.worker.item_log.empty(&self.worker.spec.inputs, pace.when_empty());
        match pace.when_empty() {
            Some(length) => {
                self.worker.pause_as(Waiting::Starved, |tuning| tuning.sleep_when_empty.unwrap_or(length))?;
                Ok(Taken::Empty)
            }
            None => Ok(self.worker.queues.take(&self.inputs, most, Wait::Forever)?),
        }
    }

    /// If outputs that wait for room are among the leases, all others go back for now.
    fn set_bundle_apart(&mut self) -> Result<bool, Stop> {
        for i in 0..self.worker.queues.len() {
            if outbox::is_bundle(self.worker, i)? {
                self.worker.queues.give_back_from(i + 1)?;
                while self.worker.queues.len() > 1 {
                    self.worker.queues.give_back(0, false)?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Works off all leases. A batch that fails is halved until the item is found that makes it fail.
    fn work(&mut self, pace: &Pace) -> Result<(), Stop> {
        let mut size = self.trusted()?;
        while !self.worker.queues.is_empty() {
            size = size.clamp(1, self.worker.queues.len());
            let done = match self.attempt(size, pace)? {
                Ok(()) => {
                    self.publish(size)?;
                    size
                }
                Err(defeat) if size > 1 => {
                    log::debug!("a batch of {size} failed: {defeat}");
                    size /= 2;
                    0
                }
                Err(defeat) => {
                    self.worker.item_log.forget();
                    let (text, cause) = (defeat.to_string(), defeat.trouble.cause());
                    let reason = Reason { text, cause, stderr: &defeat.stderr };
                    // The others first: so the failed one is the first in its queue again.
                    self.worker.queues.give_back_from(1)?;
                    failed::settle_for(self.worker, 0, reason, pace)?;
                    1
                }
            };
            self.worker.recycling.count(done);
            self.worker.pause(|tuning| if done > 0 { tuning.sleep } else { Duration::ZERO })?;
        }
        Ok(())
    }

    /// Publishes the outputs of the first `size` leases and ends them. What was collected as a whole is no line, so
    /// standard output gets no line end that the program has not written.
    fn publish(&mut self, size: usize) -> Result<(), Stop> {
        if self.collect == Collect::Lines || !self.worker.outputs.is_empty() {
            return outbox::publish(self.worker, self.outputs.all(), size);
        }
        self.worker.console.begin_item();
        self.outputs.all().iter().try_for_each(|output| self.worker.console.put_as_it_is(output))?;
        self.worker.commit(size)
    }

    /// How many of the leases may go together: one that has failed before goes alone.
    fn trusted(&self) -> Result<usize, Stop> {
        for i in 0..self.worker.queues.len() {
            if self.worker.queues.item(i)?.attempt > 1 {
                return Ok(i.max(1));
            }
        }
        Ok(self.worker.queues.len())
    }

    /// Runs the program on the first `size` leases. The inner result is theirs, the outer one the worker's.
    fn attempt(&mut self, size: usize, pace: &Pace) -> Result<Result<(), Defeat>, Stop> {
        // Who of several is to blame for the death of this worker, nobody could say.
        if size == 1 {
            self.worker.queues.begin(0);
        }
        self.outputs.clear();
        self.errors.forget();
        readiness::hold_termination().map_err(Failure::from)?;
        let start = Instant::now();
        let result = self.hand_over(size, pace);
        self.worker.queues.note_items(size, start.elapsed());
        self.worker.queues.rest();
        if !readiness::is_terminated() {
            readiness::release_termination().map_err(Failure::from)?;
        }
        result.map(|result| result.map_err(|trouble| Defeat { trouble, stderr: self.errors.take_kept() }))
    }

    fn hand_over(&mut self, size: usize, pace: &Pace) -> Result<Result<(), Trouble>, Stop> {
        self.input.clear();
        if self.recipe.reads {
            for i in 0..size {
                let bytes = self.worker.queues.item(i)?.bytes;
                if self.batch.is_none() {
                    self.input.extend_from_slice(bytes);
                } else if let Err(why) = encode(self.command.in_framing, bytes, &mut self.input) {
                    return Ok(Err(Trouble::NotEncodable(why)));
                }
            }
        }
        let first = self.worker.queues.item(0)?;
        match self.recipe.start(Some((first.bytes, first.attempt)), self.worker.queues.program()) {
            Ok(session) => self.attend(session, pace),
            Err(NotStarted::Item(trouble)) => Ok(Err(trouble)),
            Err(never) => Err(never.stop(self.worker)),
        }
    }

    /// Keeps the program company to its end.
    fn attend(&mut self, mut session: Session, pace: &Pace) -> Result<Result<(), Trouble>, Stop> {
        let limit = pace.tuning.item_timeout;
        let until = limit.map(|limit| Instant::now() + limit);
        let most = self.worker.queues.max_item(&self.worker.outputs)?;
        let most_in_all = self.worker.queues.max_bytes(&self.worker.outputs)?;
        let mut decoder = Decoder::new(self.command.out_framing, most);
        let (mut written, mut trouble) = (0, None);
        if self.input.is_empty() {
            session.close_input();
        }
        while !session.is_over() {
            let watched = until.filter(|_| !session.is_terminated());
            let out = Out::from(&self.input[written..]);
            let wish = Wish { out, into: Some(&mut decoder), until: watched, bell: None };
            written += session.turn(wish, &mut self.errors, self.worker.queues.program())?.written;
            if written == self.input.len() {
                session.close_input();
            }
            if trouble.is_none()
                && let Err(bad) = self.collect(&mut decoder, session.is_over(), most, most_in_all)
            {
                session.kill();
                trouble = Some(bad);
            }
            if trouble.is_some() {
                // What follows is of no use; but the pipe must not hold up the end.
                let rest = decoder.pending();
                decoder.forget(rest);
            }
            if readiness::is_terminated() && !session.is_terminated() {
                session.terminate(self.worker.spec.stop_timeout);
            }
            if watched.is_some_and(|until| until <= Instant::now()) && session.exit().is_none() {
                session.terminate(self.worker.spec.stop_timeout);
                trouble = limit.map(Trouble::TimedOut);
            }
        }
        if readiness::is_terminated() {
            return Err(Stop(Ending::Ordered));
        }
        Ok(match (trouble, session.exit()) {
            (Some(trouble), _) => Err(trouble),
            (None, Some(Exit::Code(code))) if self.recipe.is_success(code) => Ok(()),
            (None, Some(exit)) => Err(Trouble::Ended(exit)),
            // A session is over only with an exit.
            (None, None) => return Err(Failure::fatal("the program's end is unknown").into()),
        })
    }

    /// Takes outputs out of what was read.
    fn collect(
        &mut self,
        decoder: &mut Decoder,
        is_over: bool,
        most: u64,
        most_in_all: u64,
    ) -> Result<(), Trouble> {
        match self.collect {
            Collect::Whole if decoder.pending() as u64 > most => {
                let least = decoder.pending() as u64;
                return Err(Trouble::BadFrame(super::framing::BadFrame::TooLong { least, most }));
            }
            Collect::Whole if is_over => {
                self.outputs.push(decoder.rest());
                let rest = decoder.pending();
                decoder.forget(rest);
            }
            Collect::Whole => {}
            Collect::Lines => {
                while let Some(item) = decoder.next().map_err(Trouble::BadFrame)? {
                    self.outputs.push(item);
                }
                if is_over && let Some(item) = decoder.last().map_err(Trouble::BadFrame)? {
                    self.outputs.push(item);
                }
            }
        }
        match self.outputs.size() as u64 > most_in_all {
            true => Err(Trouble::TooMuch(most_in_all)),
            false => Ok(()),
        }
    }
}
