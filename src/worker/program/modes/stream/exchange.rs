//! Bytes between the worker and the program.

use super::output::publish_any;
use super::streaming::Streaming;
use crate::queue::{Fault, Waiting, WorkerHandle};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::WorkerContext;
use crate::worker::program::conversation::{Effect, Event};
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::session::{Turn, TurnRequest, WriteBuffers};
use crate::worker::program::pause::After;
use crate::worker::program::run::ProgramRun;
use crate::worker::stop::Stop;

impl Streaming<'_> {
    /// Writes, reads, publishes.
    pub(super) fn exchange(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let live = run.worker.live;
        let is_source = run.worker.inputs.is_empty();
        // A source that pauses is not read any more: then its program waits, too.
        let mut pauses = self.pause.is_on() || live.must_pause();
        let is_single = live.is_single() && run.conversation.is_undecided();
        // A source with a pause after each item: what it has written already comes first.
        let by_rate = live.tuning.rate.is_some();
        let is_paced =
            is_source && (is_single || by_rate || live.must_pause()) && run.conversation.is_undecided();
        let (mut written, mut left, mut emitted) = (0, 0, 0);
        if is_paced && !pauses {
            emitted = self.emit_one(run.worker)?;
            pauses = self.pause.is_on();
        }
        if emitted == 0 {
            written = self.wait(run, is_paced && pauses)?;
            left = written;
            emitted = match (is_paced, pauses) {
                (true, true) => 0,
                (true, false) => self.emit_one(run.worker)?,
                (false, _) => {
                    let more_comes = self.flows_on(run);
                    self.output.emit_pieces(run.worker, self.feed, &mut left, more_comes)?
                }
            };
        }
        self.owes = is_paced && (pauses || self.pause.is_on() || emitted > 0);
        publish_any(run.worker, left, emitted)?;
        if is_single && (if is_source { emitted } else { written }) > 0 {
            run.worker.queues.settle()?; // there is no `take` during the pause
            self.pause.begin(After::Item, &run.worker.live);
        }
        Ok(())
    }

    /// A turn that waits. `holds_back`: what the program writes is left where it is. Returns how many items were wholly
    /// written.
    fn wait(&mut self, run: &mut ProgramRun<'_>, holds_back: bool) -> Result<usize, Stop> {
        let live = run.worker.live;
        let now = self.found.begin_wait(&mut self.waker, &run.worker.queues);
        let why = self.waits_for(run.worker, self.pause.is_on() || live.must_pause());
        let until = run.wakes_at([self.pause.until(), self.output.tidy(self.feed), now]);
        if holds_back && run.session.exit().is_some() {
            let wait = |_: &_| readiness::wait_any(&mut [], until);
            run.worker.counted_as(why, wait).map_err(Failure::from)?;
            return Ok(0);
        }
        self.announce(run);
        let ProgramRun { worker, stderr, session, .. } = run;
        let request = TurnRequest {
            out: to_write(self.feed, &worker.queues)?,
            into: (!holds_back).then_some(&mut self.output.decoder),
            until,
            wake_fd: self.waker.fd(),
        };
        let turn = worker.counted_as(why, |queues| session.turn(request, stderr, queues.program()))?;
        Ok(self.note(run, turn))
    }

    pub(super) fn exchange_unpolled(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        self.announce(run);
        let ProgramRun { worker, stderr, session, .. } = run;
        let out = to_write(self.feed, &worker.queues)?;
        let turn =
            session.exchange_unpolled(out, &mut self.output.decoder, stderr, worker.queues.program())?;
        let mut left = self.note(run, turn);
        let more_comes = run.flows(!self.feed.is_empty());
        let emitted = self.output.emit_pieces(run.worker, self.feed, &mut left, more_comes)?;
        self.owes = false;
        publish_any(run.worker, left, emitted)
    }

    /// What is about to be written counts before it is.
    fn announce(&mut self, run: &ProgramRun<'_>) {
        if !self.feed.is_empty() {
            let has_rest = || run.session.has_unread() || self.output.decoder.pending() > 0;
            self.unaccounted.hand_over(self.feed.len(), has_rest, &run.worker.queues);
        }
    }

    /// Returns how many items were wholly written by it.
    fn note(&mut self, run: &mut ProgramRun<'_>, turn: Turn) -> usize {
        run.note(turn);
        let mut written = self.feed.note_written(turn.written);
        if written > 0 && !run.apply(Event::Done).contains(&Effect::Acknowledge) {
            written = 0;
        }
        self.speaks |= turn.read > 0;
        if turn.read + turn.written > 0 {
            self.unaccounted.moved(written, &run.worker.queues);
        }
        written
    }

    /// One item of a source, if its rate lets it begin now.
    fn emit_one(&mut self, worker: &mut WorkerContext) -> Result<usize, Stop> {
        if let Err(at) = worker.try_admit(1) {
            // With nothing read there is nothing to hold back, and the program's end is to be seen in time.
            if self.output.decoder.pending() > 0 {
                self.pause.begin_by_rate(at, &worker.live);
            }
            return Ok(0);
        }
        let emitted = self.emit(worker, 1)?;
        worker.give_admitted_back(1 - emitted.min(1));
        Ok(emitted)
    }

    fn emit(&mut self, worker: &mut WorkerContext, most: usize) -> Result<usize, Stop> {
        let emitted = self.output.emit(worker, most)?;
        if emitted > 0 {
            self.output.tidy(self.feed);
        }
        Ok(emitted)
    }

    /// What a turn waits for, if it isn't the program. What a program does with an item that it has read is unknown:
    /// it is at work as long as it has not read all there is. A source's program is always.
    fn waits_for(&self, worker: &WorkerContext, pauses: bool) -> Option<Waiting> {
        let is_fed = !self.feed.is_empty();
        match pauses {
            true => (!is_fed).then_some(Waiting::Paused),
            false => (!is_fed && !worker.inputs.is_empty()).then_some(Waiting::Starved),
        }
    }
}

/// The feed's bytes; of a long item those in the queue itself.
fn to_write<'a>(feed: &'a Feed, queues: &'a WorkerHandle) -> Result<WriteBuffers<'a>, Fault> {
    let last = match feed.len().checked_sub(1) {
        Some(last) if feed.needs_last() => queues.item(last)?.bytes,
        Some(_) | None => b"",
    };
    Ok(feed.out(last))
}
