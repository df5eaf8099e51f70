//! `mode = "stream"`: one program that runs on; what it reads and what it writes are unrelated.
//!
//! An item's lease ends when the item is wholly written: from then on it is in the program's hands, as in a shell pipe.
//! What the program has written is published as it comes. Without an input the program is a source, or, without an
//! output too, simply a process under supervision.

mod ending;
mod give;
mod slack;

use super::defeat::Trouble;
use super::errors::Errors;
use super::feed::Feed;
use super::framing::Decoder;
use super::lingering::Lingering;
use super::recipe::Recipe;
use super::rest::Rest;
use super::session::{Out, Session, Turn, Wish};
use super::waiting;
use super::waker::{self, Waker};
use crate::config::pipeline::Command;
use crate::exit;
use crate::queue::{Ending, Fault, Taken, Wait, Waiting, WorkerHandle};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::{Pace, WorkerContext};
use crate::worker::failed::{self, Reason};
use crate::worker::stop::Stop;
use give::Pieces;
use std::time::{Duration, Instant};

/// Asked for as the size of the pipes.
const PIPE: i32 = 256 * 1024;
/// A program that has neither read nor written for so long has done what it had.
const QUIET: Duration = Duration::from_secs(1);
/// Items in one look that make it likely that more are about to come.
const PLENTY: usize = 64;

pub(super) struct StreamLoop<'a> {
    worker: &'a mut WorkerContext,
    recipe: Recipe,
    feed: Feed,
    decoder: Decoder,
    /// What the program's output is called in messages.
    output: String,
    errors: Errors,
    waker: Waker,
    input_ended: bool,
    /// The input ended before the pipeline was to end.
    ended_first: bool,
    lingering: Lingering,
    /// How the worker is to end, once the program has.
    stopping: Option<Ending>,
    /// When a program that was given the end of its input is asked by a signal.
    ends_by: Option<Instant>,
    /// A source's program may be over, but what it has written comes no faster for that.
    owes: bool,
    rest: Rest,
    /// There may be an item, though nothing will tell of it: no waiting.
    looks_again: bool,
    /// The last look found no item: before a wait somebody must be asked to tell of one.
    found_none: bool,
    /// Items come in plenty.
    plenty: bool,
    /// The program has written something.
    speaks: bool,
    pieces: Pieces,
    /// When memory that long items needed is given back.
    slack_ends: Option<Instant>,
    /// Items that the program may hold.
    inside: u64,
    moved: Instant,
}

impl<'a> StreamLoop<'a> {
    pub fn new(
        worker: &'a mut WorkerContext,
        recipe: Recipe,
        command: &Command,
    ) -> Result<StreamLoop<'a>, Failure> {
        let most = worker.queues.max_item(&worker.outputs)?;
        if worker.outputs.is_empty() {
            worker.queues.set_max_leases(usize::MAX);
        }
        Ok(StreamLoop {
            worker,
            recipe,
            feed: Feed::new(command.in_framing),
            decoder: Decoder::new(command.out_framing, most),
            output: format!("the output of `{}`", command.invocation.title()),
            errors: Errors::new(),
            waker: Waker::new()?,
            input_ended: false,
            ended_first: false,
            lingering: Lingering::default(),
            stopping: None,
            ends_by: None,
            owes: false,
            rest: Rest::default(),
            looks_again: false,
            found_none: false,
            plenty: false,
            speaks: false,
            pieces: Pieces::default(),
            slack_ends: None,
            inside: 0,
            moved: Instant::now(),
        })
    }

    pub fn run(mut self) -> Stop {
        let mut session = match self.recipe.start(None, self.worker.queues.program()) {
            Ok(session) => session,
            Err(not_started) => return not_started.stop(self.worker),
        };
        session.widen(PIPE);
        self.worker.recycling.watch(session.pid());
        while !session.is_over() || self.owes {
            if let Err(stop) = self.round(&mut session) {
                self.dismiss(&mut session);
                return self.fail(stop);
            }
        }
        if session.was_killed_from_outside() {
            self.worker.exit_code = Some(exit::PROGRAM_KILLED);
        }
        self.conclude(session.exit()).unwrap_or_else(|stop| self.fail(stop))
    }

    fn is_source(&self) -> bool {
        self.worker.inputs.is_empty()
    }

    fn round(&mut self, session: &mut Session) -> Result<(), Stop> {
        let pace = self.worker.look();
        self.heed(&pace, session);
        if self.waker.has_rung() {
            // It was a wake-up for one worker: if this one can't use it, the look passes it on.
            self.worker.queues.take(&self.worker.inputs, 0, Wait::No)?;
        }
        self.take(&pace, session)?;
        if !self.can_go_on(&pace, session) {
            self.let_go()?;
        }
        if (self.input_ended || self.stopping.is_some()) && self.feed.is_empty() {
            session.close_input();
        }
        if pace.must_pause && self.feed.is_empty() {
            self.worker.come_to_rest();
        }
        self.look_for_lingering(&pace, session);
        self.exchange(&pace, session)
    }

    /// A program that does not end though its input has: what it still holds nobody knows, so only a stop ends it.
    fn look_for_lingering(&mut self, pace: &Pace, session: &mut Session) {
        if !self.input_ended || session.takes_input() || session.exit().is_some() || self.stopping.is_some() {
            return;
        }
        if self.lingering.deadline(true).is_none() {
            self.lingering.note(Instant::now());
        }
        self.lingering.note(self.moved);
        self.lingering.look(session.pid(), "");
        if pace.is_stopping() && self.ended_first && self.lingering.is_quiet() {
            self.stopping = Some(Ending::InputEnded);
            session.terminate(self.worker.spec.stop_timeout);
        }
    }

    /// Orders, and the end of this worker's time.
    fn heed(&mut self, pace: &Pace, session: &mut Session) {
        let patience = self.worker.spec.stop_timeout;
        self.rest.look(pace);
        if readiness::is_terminated() {
            self.stopping.get_or_insert(Ending::Ordered);
            session.terminate(patience);
        }
        if self.stopping.is_some() {
            return;
        }
        let ending = match pace.must_finish {
            true => Some(Ending::Ordered),
            // Of a program that is over there is nothing to replace.
            false if session.exit().is_some() => None,
            false => self.worker.recycling.check().err().map(|stop| stop.0),
        };
        let Some(ending) = ending else { return };
        self.stopping = Some(ending);
        self.feed.take_back();
        if let Err(fault) = self.worker.queues.give_back_from(self.feed.len()) {
            self.stopping = Some(Ending::Failed(fault.to_string()));
        }
        if self.is_source() {
            session.terminate(patience);
        } else {
            // The end of its input should be enough; it gets as long for it as for a signal.
            let had_its_time = self.ended_first && self.lingering.is_quiet();
            self.ends_by = Some(Instant::now() + if had_its_time { Duration::ZERO } else { patience });
        }
    }

    /// Leases items, as many as the program may soon read.
    fn take(&mut self, pace: &Pace, session: &Session) -> Result<(), Stop> {
        if self.stopping.is_none() && session.takes_input() {
            self.frame(pace)?;
        }
        let wants =
            !self.is_source() && !self.input_ended && self.stopping.is_none() && session.takes_input();
        if !wants || self.waker.is_armed() || self.is_resting() || pace.must_pause {
            return Ok(());
        }
        let mut more = true;
        while more && !self.feed.is_full() {
            let most = match pace.is_single() {
                true => usize::from(self.feed.is_empty()),
                false => self.worker.queues.leases_left(),
            };
            let most = most.min(self.worker.recycling.items_left().saturating_sub(self.worker.queues.len()));
            more = most > 0 && self.take_some(most, pace, session)?;
        }
        Ok(())
    }

    /// One transaction's part of it. Returns whether more waits.
    fn take_some(&mut self, most: usize, pace: &Pace, session: &Session) -> Result<bool, Stop> {
        let known = self.worker.queues.len();
        let wait = self.nap(pace, session);
        match self.worker.queues.take(&self.worker.inputs, most, wait)? {
            Taken::Items { before, after } => {
                self.plenty = self.worker.queues.len() - known >= PLENTY;
                self.found_none = false;
                super::log_taken_from(self.worker, known, before, after)?;
                self.frame(pace)?;
                return Ok(after > 0);
            }
            Taken::Ended => (self.input_ended, self.ended_first) = (true, !pace.is_stopping()),
            Taken::Ordered => self.looks_again = true,
            Taken::Empty => match pace.when_empty() {
                Some(pause) => {
                    self.worker.item_log.empty(&self.worker.spec.inputs, Some(pause));
                    self.rest.while_empty(pace);
                }
                None => {
                    self.found_none = true;
                    self.plenty &= wait == Wait::No;
                }
            },
        }
        Ok(false)
    }

    /// How long a look for items may wait for the queues alone.
    fn nap(&self, pace: &Pace, session: &Session) -> Wait {
        match () {
            () if !self.feed.is_empty() || pace.when_empty().is_some() => Wait::No,
            // A program that only reads has nothing to say.
            () if self.worker.outputs.is_empty() && !self.speaks => waker::nap(),
            // Whoever gives so much is about to give more, and the program has said what it had just now.
            () if self.plenty && !session.flows(false) => waker::short_nap(),
            () => Wait::No,
        }
    }

    /// Makes leases bytes for the program, as far as they will soon be written.
    fn frame(&mut self, pace: &Pace) -> Result<(), Stop> {
        while !self.feed.is_full() && self.feed.len() < self.worker.queues.len() {
            let next = self.feed.len();
            if let Err(why) = self.feed.push_in_place(self.worker.queues.item(next)?.bytes) {
                let trouble = Trouble::NotEncodable(why);
                let reason = Reason { text: trouble.to_string(), cause: trouble.cause(), stderr: &[] };
                failed::settle_for(self.worker, next, reason, pace)?;
                self.looks_again = true;
            }
        }
        Ok(())
    }

    fn is_resting(&self) -> bool {
        self.rest.until().is_some()
    }

    /// Writes, reads, publishes.
    fn exchange(&mut self, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        if self.ends_by.is_some_and(|by| by <= Instant::now()) {
            session.terminate(self.worker.spec.stop_timeout);
            self.ends_by = None;
        }
        if self.can_go_on(pace, session) {
            return self.go_on(session);
        }
        // A source that pauses is not read any more: then its program waits, too.
        let resting = self.is_resting() || pace.must_pause;
        let single = pace.is_single() && self.stopping.is_none();
        // A source with a pause after each item: what it has written already comes first.
        let paced = (single || pace.must_pause) && self.is_source() && self.stopping.is_none();
        let (mut written, mut left, mut emitted) = (0, 0, 0);
        if paced && !resting {
            emitted = self.emit(1)?;
        }
        if emitted == 0 {
            written = self.wait(pace, session, paced && resting)?;
            left = written;
            emitted = match (paced, resting) {
                (true, true) => 0,
                (true, false) => self.emit(1)?,
                (false, _) => {
                    let more_comes = self.can_go_on(pace, session);
                    self.emit_pieces(&mut left, more_comes)?
                }
            };
        }
        self.owes = paced && (resting || emitted > 0);
        self.publish_rest(left, emitted)?;
        if single && (if self.is_source() { emitted } else { written }) > 0 {
            self.worker.queues.settle()?; // there is no other `take` for so long
            self.rest.after_item(pace);
        }
        Ok(())
    }

    /// A turn that waits. `holds_back`: what the program writes is left where it is. Returns how many items were wholly
    /// written.
    fn wait(&mut self, pace: &Pace, session: &mut Session, holds_back: bool) -> Result<usize, Stop> {
        if std::mem::take(&mut self.found_none) {
            self.waker.arm(&self.worker.queues);
        }
        let (rest, tidy) = (self.rest.until(), self.tidy());
        let now = std::mem::take(&mut self.looks_again).then(Instant::now);
        let why = self.waits_for(rest.is_some() || pace.must_pause);
        let lingers = self.lingering.deadline(pace.is_stopping() && self.ended_first);
        let wish = Wish {
            out: to_write(&self.feed, &self.worker.queues)?,
            into: (!holds_back).then_some(&mut self.decoder),
            until: [rest, tidy, self.ends_by, now, lingers].into_iter().flatten().min(),
            bell: self.waker.bell(),
        };
        let turn = waiting(&self.worker.queues, why, || match holds_back && session.exit().is_some() {
            true => Ok(session.rest(wish.until)?),
            false => session.turn(wish, &mut self.errors, self.worker.queues.program()),
        })?;
        Ok(self.note(turn))
    }

    /// Whether more can be done at once, most likely: then a wait would only be a system call more.
    fn can_go_on(&self, pace: &Pace, session: &Session) -> bool {
        let waits = pace.is_single() || pace.must_pause || self.is_resting() || self.stopping.is_some();
        !waits && session.flows(!self.feed.is_empty())
    }

    fn go_on(&mut self, session: &mut Session) -> Result<(), Stop> {
        let StreamLoop { worker, feed, decoder, errors, .. } = &mut *self;
        let turn =
            session.go_on(to_write(feed, &worker.queues)?, decoder, errors, worker.queues.program())?;
        let mut left = self.note(turn);
        let emitted = self.emit_pieces(&mut left, session.flows(!self.feed.is_empty()))?;
        self.owes = false;
        self.publish_rest(left, emitted)
    }

    /// Returns how many items were wholly written by it.
    fn note(&mut self, turn: Turn) -> usize {
        let written = self.feed.note_written(turn.written);
        self.speaks |= turn.read > 0;
        self.note_moves(turn.written + turn.read, written);
        written
    }

    /// What a turn waits for, if it isn't the program. What a program does with an item that it has read, nobody knows:
    /// it is at work as long as it has not read all there is. A source's program is always.
    fn waits_for(&self, rests: bool) -> Option<Waiting> {
        let is_fed = !self.feed.is_empty();
        match rests {
            true => (!is_fed).then_some(Waiting::Paused),
            false => (!is_fed && !self.is_source()).then_some(Waiting::Starved),
        }
    }

    fn note_moves(&mut self, bytes: usize, items: usize) {
        if bytes == 0 {
            return;
        }
        let now = Instant::now();
        if now.duration_since(self.moved) > QUIET {
            self.inside = 0;
        }
        self.moved = now;
        self.inside += items as u64;
    }
}

/// The feed's bytes; of a long item those in the queue itself.
fn to_write<'a>(feed: &'a Feed, queues: &'a WorkerHandle) -> Result<Out<'a>, Fault> {
    let last = match feed.len().checked_sub(1) {
        Some(last) if feed.needs_last() => queues.item(last)?.bytes,
        Some(_) | None => b"",
    };
    Ok(feed.out(last))
}
