//! `mode = "stream"`: one program that runs on; what it reads and what it writes are unrelated.
//!
//! An item's lease ends when the item is wholly written: from then on it is in the program's hands, as in a shell pipe.
//! What the program has written is published as it comes. Without an input the program is a source, or, without an
//! output too, simply a process under supervision.

use super::defeat::{Defeat, Trouble, ended};
use super::errors::Errors;
use super::feed::Feed;
use super::framing::{BadFrame, Decoder};
use super::recipe::{NotStarted, Recipe};
use super::rest::Rest;
use super::session::{Session, Wish};
use super::waiting;
use super::waker::{self, Waker};
use crate::config::pipeline::Command;
use crate::queue::{Ending, Taken, Wait, Waiting};
use crate::stage::{Failure, Outlet};
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::desk::{Desk, Pace};
use crate::worker::failed::{self, Reason};
use crate::worker::outlet::ToQueues;
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

/// Asked for as the size of the pipes.
const PIPE: i32 = 256 * 1024;
/// A program that has neither read nor written for so long has done what it had.
const QUIET: Duration = Duration::from_secs(1);

pub(super) struct StreamLoop<'a> {
    desk: &'a mut Desk,
    recipe: Recipe,
    feed: Feed,
    decoder: Decoder,
    errors: Errors,
    waker: Waker,
    input_ended: bool,
    /// How the worker is to end, once the program has.
    stopping: Option<Ending>,
    /// When a program that was given the end of its input is asked by a signal.
    ends_by: Option<Instant>,
    /// A source's program may be over, but what it has written comes no faster for that.
    owes: bool,
    rest: Rest,
    /// There may be an item, though nothing will tell of it: no waiting.
    looks_again: bool,
    /// Items that the program may hold.
    inside: u64,
    moved: Instant,
}

impl<'a> StreamLoop<'a> {
    pub fn new(desk: &'a mut Desk, recipe: Recipe, command: &Command) -> Result<StreamLoop<'a>, Failure> {
        let most = desk.port.max_item(&desk.outputs)?;
        if desk.outputs.is_empty() {
            desk.port.hold_up_to(usize::MAX);
        }
        Ok(StreamLoop {
            desk,
            recipe,
            feed: Feed::new(command.in_framing),
            decoder: Decoder::new(command.out_framing, most),
            errors: Errors::new(),
            waker: Waker::new()?,
            input_ended: false,
            stopping: None,
            ends_by: None,
            owes: false,
            rest: Rest::default(),
            looks_again: false,
            inside: 0,
            moved: Instant::now(),
        })
    }

    pub fn run(mut self) -> Stop {
        let mut session = match self.recipe.start(None, self.desk.port.program()) {
            Ok(session) => session,
            Err(NotStarted::Failed(failure)) => return failure.into(),
            Err(NotStarted::Item(trouble)) => return Stop(Ending::Failed(trouble.to_string())),
        };
        session.widen(PIPE);
        self.desk.recycling.watch(session.pid());
        while !session.is_over() || self.owes {
            if let Err(stop) = self.round(&mut session) {
                self.dismiss(&mut session);
                return stop;
            }
        }
        match self.conclude(session.exit()) {
            Ok(stop) | Err(stop) => stop,
        }
    }

    fn is_source(&self) -> bool {
        self.desk.inputs.is_empty()
    }

    fn round(&mut self, session: &mut Session) -> Result<(), Stop> {
        let pace = self.desk.look();
        self.heed(&pace, session);
        if self.waker.has_rung() {
            // It was a wake-up for one worker: if this one can't use it, the look passes it on.
            self.desk.port.take(&self.desk.inputs, 0, Wait::No)?;
        }
        self.take(&pace, session)?;
        if (self.input_ended || self.stopping.is_some()) && self.feed.is_empty() {
            session.close_input();
        }
        if pace.must_pause && self.feed.is_empty() {
            self.desk.come_to_rest();
        }
        self.exchange(&pace, session)
    }

    /// Orders, and the end of this worker's time.
    fn heed(&mut self, pace: &Pace, session: &mut Session) {
        let patience = self.desk.ticket.stop_timeout;
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
            false => self.desk.recycling.check().err().map(|stop| stop.0),
        };
        let Some(ending) = ending else { return };
        self.stopping = Some(ending);
        let back = self.feed.take_back();
        let keep = self.desk.port.len() - back;
        if let Err(fault) = self.desk.port.give_back_from(keep) {
            self.stopping = Some(Ending::Failed(fault.to_string()));
        }
        if self.is_source() {
            session.terminate(patience);
        } else {
            // The end of its input should be enough; it gets as long for it as for a signal.
            self.ends_by = Some(Instant::now() + patience);
        }
    }

    /// Leases items, as many as the program may soon read.
    fn take(&mut self, pace: &Pace, session: &Session) -> Result<(), Stop> {
        let wants =
            !self.is_source() && !self.input_ended && self.stopping.is_none() && session.takes_input();
        if !wants || self.waker.is_armed() || self.is_resting() || pace.must_pause {
            return Ok(());
        }
        let mut more = true;
        while more && !self.feed.is_full() {
            let most = match pace.is_single() {
                true => usize::from(self.feed.is_empty()),
                false => self.desk.port.leases_left(),
            };
            let most = most.min(self.desk.recycling.items_left().saturating_sub(self.desk.port.len()));
            more = most > 0 && self.take_some(most, pace)?;
        }
        Ok(())
    }

    /// One transaction's part of it. Returns whether more waits.
    fn take_some(&mut self, most: usize, pace: &Pace) -> Result<bool, Stop> {
        let known = self.desk.port.len();
        // A program that only reads has nothing to say.
        let naps = known == 0 && self.desk.outputs.is_empty() && pace.when_empty().is_none();
        let wait = if naps { waker::nap() } else { Wait::No };
        match self.desk.port.take(&self.desk.inputs, most, wait)? {
            Taken::Items { before, after } => {
                super::log_taken_from(self.desk, known, before, after)?;
                self.frame(known, pace)?;
                return Ok(after > 0);
            }
            Taken::Ended => self.input_ended = true,
            Taken::Ordered => self.looks_again = true,
            Taken::Empty => match pace.when_empty() {
                Some(pause) => {
                    self.desk.item_log.empty(&self.desk.ticket.inputs, Some(pause));
                    self.rest.while_empty(pace);
                }
                None => self.waker.arm(&self.desk.port),
            },
        }
        Ok(false)
    }

    /// Makes the new leases bytes for the program.
    fn frame(&mut self, known: usize, pace: &Pace) -> Result<(), Stop> {
        let mut i = known;
        while i < self.desk.port.len() {
            match self.feed.push(self.desk.port.item(i)?.bytes) {
                Ok(()) => i += 1,
                Err(why) => {
                    let trouble = Trouble::NotEncodable(why);
                    let reason = Reason { text: trouble.to_string(), cause: trouble.cause(), stderr: &[] };
                    failed::settle_for(self.desk, i, reason, pace)?;
                    self.looks_again = true;
                }
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
            session.terminate(self.desk.ticket.stop_timeout);
            self.ends_by = None;
        }
        // A source that pauses is not read any more: then its program waits, too.
        let resting = self.is_resting() || pace.must_pause;
        let single = pace.is_single() && self.stopping.is_none();
        // A source with a pause after each item: what it has written already comes first.
        let paced = (single || pace.must_pause) && self.is_source() && self.stopping.is_none();
        let (mut written, mut emitted) = (0, 0);
        if paced && !resting {
            emitted = self.emit(1)?;
        }
        if emitted == 0 {
            let rest = self.rest.until();
            let now = std::mem::take(&mut self.looks_again).then(Instant::now);
            let why = self.waits_for(rest.is_some() || pace.must_pause);
            let wish = Wish {
                out: self.feed.rest(),
                into: (!paced || !resting).then_some(&mut self.decoder),
                until: [rest, self.ends_by, now].into_iter().flatten().min(),
                bell: self.waker.bell(),
            };
            let turn =
                waiting(&self.desk.port, why, || match paced && resting && session.exit().is_some() {
                    true => Ok(session.rest(wish.until)?),
                    false => session.turn(wish, &mut self.errors, self.desk.port.program()),
                })?;
            written = self.feed.note_written(turn.written);
            self.note_moves(turn.written + turn.read, written);
            emitted = match (paced, resting) {
                (true, true) => 0,
                (true, false) => self.emit(1)?,
                (false, _) => self.emit(usize::MAX)?,
            };
        }
        self.owes = paced && (resting || emitted > 0);
        if written > 0 || emitted > 0 {
            self.publish(written)?;
            let items = if self.is_source() { emitted } else { written };
            self.desk.recycling.count(items);
            if items > 0 && single {
                self.desk.port.settle()?; // there is no other `take` for so long
                self.rest.after_item(pace);
            }
        }
        Ok(())
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

    /// Stages up to `most` of the items that are read. Returns how many there were.
    fn emit(&mut self, most: usize) -> Result<usize, Stop> {
        let mut emitted = 0;
        while emitted < most {
            let item = self.decoder.next().map_err(|bad| Failure::fatal(bad.to_string()))?;
            let Some(item) = item else { break };
            match self.desk.outputs.is_empty() {
                true => self.desk.console.put(item)?,
                false => ToQueues::new(self.desk, None).put(item)?,
            }
            emitted += 1;
        }
        if emitted > 0 {
            self.decoder.shrink(1 << 20);
        }
        Ok(emitted)
    }

    /// Publishes what is staged, and ends the leases of so many items more.
    fn publish(&mut self, written: usize) -> Result<(), Stop> {
        self.desk.commit_regardless(written)
    }

    /// Nobody wants what it would still do.
    fn dismiss(&mut self, session: &mut Session) {
        session.close_input();
        session.close_output();
        session.terminate(self.desk.ticket.stop_timeout);
        while !session.is_over() {
            let wish = Wish { out: b"", into: None, until: None, bell: None };
            if session.turn(wish, &mut self.errors, self.desk.port.program()).is_err() {
                return;
            }
        }
    }

    /// The program is over, and all that it wrote is read.
    fn conclude(&mut self, exit: Option<Exit>) -> Result<Stop, Stop> {
        self.emit(usize::MAX)?;
        let last = self.last(exit)?;
        self.publish(0)?;
        if let Some(ending) = self.stopping.take() {
            return Ok(Stop(ending));
        }
        match (last, exit) {
            (Err(bad), _) => Ok(self.failed(Trouble::BadFrame(bad))),
            (Ok(_), Some(Exit::Code(code))) if self.recipe.is_success(code) => {
                log::debug!("the program ended with exit code {code}");
                Ok(Stop(if self.input_ended { Ending::InputEnded } else { Ending::Finished }))
            }
            (Ok(_), Some(exit)) => Ok(self.failed(Trouble::Ended(exit))),
            // A session is over only with an exit.
            (Ok(_), None) => Ok(Stop(Ending::Failed(ended(Exit::Code(0))))),
        }
    }

    /// Stages an item that has no end, if it is whole: who was killed may have been in the middle of it.
    fn last(&mut self, exit: Option<Exit>) -> Result<Result<(), BadFrame>, Stop> {
        let item = match self.decoder.last() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(item)) => item,
            Err(bad) => return Ok(Err(bad)),
        };
        if let Some(Exit::Signal(signal)) = exit {
            let bytes = item.len();
            log::warn!("{signal} ended its program in the middle of an item: {bytes} bytes are left out");
            return Ok(Ok(()));
        }
        match self.desk.outputs.is_empty() {
            true => self.desk.console.put(item)?,
            false => ToQueues::new(self.desk, None).put(item)?,
        }
        Ok(Ok(()))
    }

    fn failed(&mut self, trouble: Trouble) -> Stop {
        let defeat = Defeat { trouble, stderr: self.errors.take_kept() };
        if self.inside > 0 {
            log::warn!("up to {} items that its program had taken are unaccounted for", self.inside);
        }
        Stop(Ending::Failed(format!("the program failed: {defeat}")))
    }
}
