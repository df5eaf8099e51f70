//! `mode = "stream"`: one program that runs on; what it reads and what it writes are unrelated.
//!
//! An item's lease ends when the item is wholly written: from then on it is in the program's hands, as in a shell pipe.
//! What the program has written is published as it comes. Without an input the program is a source, or, without an
//! output too, simply a process under supervision.

mod ending;
mod intake;
mod output;

use crate::config::pipeline::Command;
use crate::exit;
use crate::framing::Decoder;
use crate::queue::{Ending, Waiting};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::program::conversation::{Effect, Event, Manner};
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::session::{Turn, Wish};
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::{After, ItemPause};
use crate::worker::program::run::{Mode, ProgramRun};
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;
use ending::Unaccounted;
use intake::{Found, to_write};
use output::{Output, publish_any};

/// Asked for as the size of the pipes.
const PIPE_BYTES: i32 = 256 * 1024;

struct Streaming<'a> {
    feed: &'a mut Feed,
    output: Output,
    waker: Waker,
    pause: ItemPause,
    found: Found,
    /// The program has written something.
    speaks: bool,
    /// A source's program may be over, but what it has written comes no faster for that.
    owes: bool,
    unaccounted: Unaccounted,
}

/// Serves the stage with one program.
pub(crate) fn serve(worker: &mut WorkerContext, spec: &CommandSpec, command: &Command) -> Result<Stop, Stop> {
    let max_item = worker.queues.max_item(&worker.outputs)?;
    if worker.outputs.is_empty() {
        worker.queues.hold_up_to(usize::MAX);
    }
    let output_name = format!("the output of `{}`", command.invocation.title());
    let mut mode = Streaming {
        feed: &mut Feed::new(command.in_framing),
        output: Output::new(Decoder::new(command.out_framing, max_item), output_name),
        waker: Waker::new().map_err(Failure::from)?,
        pause: ItemPause::default(),
        found: Found::default(),
        speaks: false,
        owes: false,
        unaccounted: Unaccounted::new(),
    };
    let started = spec.start(None, worker.queues.program());
    let session = started.map_err(|not_started| not_started.stop(worker))?;
    session.widen(PIPE_BYTES);
    worker.recycling.watch(session.pid());
    let manner = Manner::Stream { is_source: worker.inputs.is_empty() };
    let mut stderr = StderrRelay::new();
    let mut run = ProgramRun::new(worker, &mut stderr, session, manner);
    let ended = run.converse(&mut mode);
    if ended.is_ok() && run.was_killed_externally() {
        run.worker.exit_code = Some(exit::PROGRAM_KILLED);
    }
    ended
        .and_then(|()| mode.conclude(&mut run, spec))
        .map_err(|stop| mode.unaccounted.lost_with(run.worker, stop))
}

impl Mode for Streaming<'_> {
    fn round(&mut self, run: &mut ProgramRun<'_>, live: &LiveSettings) -> Result<(), Stop> {
        self.pause.update(live);
        self.poll_orders(run, live)?;
        self.pass_on_wake_up(run.worker)?;
        self.lease(run, live)?;
        if !self.flows_on(run, live) && self.output.holds_back() {
            // Nothing more may come before the worker sleeps.
            let emitted = self.output.emit_pieces(run.worker, self.feed, &mut 0, false)?;
            publish_any(run.worker, 0, emitted)?;
        }
        if !run.conversation.is_open() && (self.feed.is_empty() || !run.session.takes_input()) {
            run.apply(Event::InputWritten);
        }
        if live.must_pause() && self.feed.is_empty() {
            run.worker.come_to_rest();
        }
        if self.flows_on(run, live) { self.go_on(run) } else { self.exchange(run, live) }
    }

    fn owes_output(&self) -> bool {
        self.owes
    }
}

impl Streaming<'_> {
    /// Orders, and the end of this worker's time.
    fn poll_orders(&mut self, run: &mut ProgramRun<'_>, live: &LiveSettings) -> Result<(), Stop> {
        if !run.conversation.is_undecided() {
            return Ok(());
        }
        let ending = match live.must_finish() {
            true => Ending::Ordered,
            // Of a program that is over there is nothing to replace.
            false if run.session.exit().is_some() => return Ok(()),
            false => match run.worker.recycling.check() {
                Ok(()) => return Ok(()),
                Err(stop) => stop.0,
            },
        };
        if run.apply(Event::Leave(ending)).contains(&Effect::TakeBack) {
            self.feed.take_back();
            run.worker.queues.give_back_from(self.feed.len())?;
        }
        Ok(())
    }

    /// Writes, reads, publishes.
    fn exchange(&mut self, run: &mut ProgramRun<'_>, live: &LiveSettings) -> Result<(), Stop> {
        let is_source = run.worker.inputs.is_empty();
        // A source that pauses is not read any more: then its program waits, too.
        let pauses = self.pause.is_on() || live.must_pause();
        let is_single = live.is_single() && run.conversation.is_undecided();
        // A source with a pause after each item: what it has written already comes first.
        let is_paced = is_source && (is_single || live.must_pause()) && run.conversation.is_undecided();
        let (mut written, mut left, mut emitted) = (0, 0, 0);
        if is_paced && !pauses {
            emitted = self.emit(run.worker, 1)?;
        }
        if emitted == 0 {
            written = self.wait(run, live, is_paced && pauses)?;
            left = written;
            emitted = match (is_paced, pauses) {
                (true, true) => 0,
                (true, false) => self.emit(run.worker, 1)?,
                (false, _) => {
                    let more_comes = self.flows_on(run, live);
                    self.output.emit_pieces(run.worker, self.feed, &mut left, more_comes)?
                }
            };
        }
        self.owes = is_paced && (pauses || emitted > 0);
        publish_any(run.worker, left, emitted)?;
        if is_single && (if is_source { emitted } else { written }) > 0 {
            run.worker.queues.settle()?; // there is no other `take` for so long
            self.pause.begin(After::Item, live);
        }
        Ok(())
    }

    /// A turn that waits. `holds_back`: what the program writes is left where it is. Returns how many items were wholly
    /// written.
    fn wait(
        &mut self,
        run: &mut ProgramRun<'_>,
        live: &LiveSettings,
        holds_back: bool,
    ) -> Result<usize, Stop> {
        let now = self.found.begin_wait(&mut self.waker, &run.worker.queues);
        let why = self.waits_for(run.worker, self.pause.is_on() || live.must_pause());
        let until = run.wakes_at(live, [self.pause.until(), self.output.tidy(self.feed), now]);
        if holds_back && run.session.exit().is_some() {
            let wait = |_: &_| readiness::wait_any(&mut [], until);
            run.worker.counted_as(why, wait).map_err(Failure::from)?;
            return Ok(0);
        }
        let ProgramRun { worker, stderr, session, .. } = run;
        let wish = Wish {
            out: to_write(self.feed, &worker.queues)?,
            into: (!holds_back).then_some(&mut self.output.decoder),
            until,
            bell: self.waker.bell(),
        };
        let turn = worker.counted_as(why, |queues| session.turn(wish, stderr, queues.program()))?;
        Ok(self.note(run, turn))
    }

    /// Whether more can be done at once, most likely: then a wait would only be a system call more.
    fn flows_on(&self, run: &ProgramRun<'_>, live: &LiveSettings) -> bool {
        let waits = live.is_single() || live.must_pause() || self.pause.is_on();
        !waits && run.conversation.is_undecided() && run.flows(!self.feed.is_empty())
    }

    fn go_on(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let ProgramRun { worker, stderr, session, .. } = run;
        let out = to_write(self.feed, &worker.queues)?;
        let turn = session.go_on(out, &mut self.output.decoder, stderr, worker.queues.program())?;
        let mut left = self.note(run, turn);
        let more_comes = run.flows(!self.feed.is_empty());
        let emitted = self.output.emit_pieces(run.worker, self.feed, &mut left, more_comes)?;
        self.owes = false;
        publish_any(run.worker, left, emitted)
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
            self.unaccounted.moved(written);
        }
        written
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
