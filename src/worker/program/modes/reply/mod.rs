//! `mode = "reply"`: one program that runs on and answers every item, in order.
//!
//! Several items may be on their way at once, as many as the program answers in a moment ([`window`]), and each answer
//! is that of the oldest that has none. A program that speaks `framing = "mprun"` can say that an item failed; any
//! other tells a failure only by its death, and then whose it was ([`attribution`]).
//!
//! | what dies | while | what follows |
//! |---|---|---|
//! | the program | it has read nothing of the unanswered items | they go back as they were: it failed by itself |
//! | | it has read one of them | this one is charged; a fresh program goes on |
//! | | it has read several | they go back as they were; the fresh program gets them one by one |
//! | | no program of this worker has answered anything | see [`trial`] |
//! | | there is no item, and none to come | no fresh one is started: this worker is done |
//! | the worker | one item is unanswered | the supervisor charges it, and gives it back |
//! | | several are | they go back as they were; a fresh worker begins one by one anyway |
//! | the worker | answers are read, not published | the items go back, and are answered anew |
//! | the worker | after the commit | the items are done |

mod attribution;
mod intake;
mod publish;
mod trial;
mod window;

use crate::config::pipeline::{Command, Reply};
use crate::queue::{Ending, Wait, Waiting};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::program::conversation::{Event, Manner, Outcome, Phase};
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::answers::{Answers, output_of};
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::session::{Out, Wish};
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::ItemPause;
use crate::worker::program::run::{Mode, ProgramRun};
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;
use intake::{Intake, Look};
use nix::poll::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::time::Instant;
use trial::Trial;
use window::Window;

const UNASKED: &str = "the program wrote an item that it was not asked for: with mode = \"reply\" each item gets one \
                       answer, in order, and all else belongs to standard error";

struct Replies<'a> {
    spec: &'a CommandSpec,
    answers: &'a mut Answers,
    feed: Feed,
    /// Where the items on their way begin in the bytes that the program gets.
    starts: VecDeque<u64>,
    waker: Waker,
    window: Window,
    trial: Trial,
    intake: Intake,
    pause: ItemPause,
    /// There was an item: what a program without one does wrong is no longer a fault of its start.
    has_had_item: bool,
}

/// Serves the stage with one program after the other.
pub(crate) fn serve(
    worker: &mut WorkerContext,
    spec: &CommandSpec,
    command: &Command,
    reply: Reply,
) -> Result<Ending, Stop> {
    let mut stderr = StderrRelay::new();
    let mut answers = Answers::new(reply, command.out_framing, 0);
    let mut mode = Replies {
        spec,
        answers: &mut answers,
        feed: Feed::new(command.in_framing),
        starts: VecDeque::new(),
        waker: Waker::new().map_err(Failure::from)?,
        window: Window::new(),
        trial: Trial::default(),
        intake: Intake::Open,
        pause: ItemPause::default(),
        has_had_item: false,
    };
    loop {
        *mode.answers = Answers::new(reply, command.out_framing, worker.queues.max_item(&worker.outputs)?);
        let started = spec.start(None, worker.queues.program());
        let session = started.map_err(|not_started| not_started.stop(worker))?;
        worker.recycling.watch(session.pid());
        let manner = Manner::Reply { bounded: reply == Reply::Protocol };
        let mut run = ProgramRun::new(worker, &mut stderr, session, manner);
        begin(&mut run);
        run.converse(&mut mode)?;
        if let Some(ending) = mode.conclude(&mut run)? {
            return Ok(ending);
        }
        drop(run);
        // Nothing of what is known of the last program holds for the next one.
        mode.feed.clear();
        mode.starts.clear();
        mode.window.restart();
        worker.exit_code = None;
        if let Some(ending) = mode.await_item(worker)? {
            return Ok(ending);
        }
    }
}

/// The oldest lease is the one whose answer comes next.
fn begin(run: &mut ProgramRun<'_>) {
    charge_if_alone(run.worker);
    if !run.worker.queues.is_empty() {
        run.apply(Event::Begun);
    }
}

/// Only an item that is alone is charged for what happens meanwhile.
fn charge_if_alone(worker: &WorkerContext) {
    match worker.queues.len() {
        1 => worker.queues.begin(0),
        _ => worker.queues.rest(),
    }
}

/// Between two items: whether this worker is to end.
fn time_to_leave(worker: &mut WorkerContext, live: &LiveSettings) -> Option<Ending> {
    if !worker.queues.is_empty() {
        return None;
    }
    if live.must_finish() {
        return Some(Ending::Ordered);
    }
    worker.recycling.check().err().map(|stop| stop.0)
}

impl Mode for Replies<'_> {
    fn round(&mut self, run: &mut ProgramRun<'_>, live: &LiveSettings) -> Result<(), Stop> {
        let mut look_at = None;
        if run.conversation.is_open() {
            if let Some(ending) = time_to_leave(run.worker, live) {
                run.apply(Event::Leave(ending));
                run.apply(Event::InputWritten);
            } else {
                look_at = self.lease(run, live)?;
            }
        }
        self.exchange(run, live, look_at)
    }
}

impl Replies<'_> {
    /// Leases items for the program. Returns when to look for more, though nothing tells of them.
    fn lease(&mut self, run: &mut ProgramRun<'_>, live: &LiveSettings) -> Result<Option<Instant>, Stop> {
        self.pass_on_wake_up(run.worker)?;
        let known = run.worker.queues.len();
        let look = self.take(run.worker, live, run.session.takes_input())?;
        if run.worker.queues.len() > known {
            match known {
                0 => begin(run),
                _ => charge_if_alone(run.worker),
            }
        }
        if live.must_pause() && run.worker.queues.is_empty() {
            run.worker.come_to_rest();
        }
        match look {
            Look::At(at) => Ok(at),
            Look::Through => {
                run.apply(Event::InputEnded { early: !live.is_stopping() });
                run.apply(Event::InputWritten);
                Ok(None)
            }
        }
    }

    /// Writes, reads, and publishes what is answered.
    fn exchange(
        &mut self,
        run: &mut ProgramRun<'_>,
        live: &LiveSettings,
        look_at: Option<Instant>,
    ) -> Result<(), Stop> {
        let since = run.conversation.busy_since();
        let is_open = run.conversation.is_open();
        let silent = self.trial.silence_deadline(since);
        let turn = run.turn(
            live,
            self.waits_for(run, live),
            Wish {
                out: Out::from(self.feed.rest()),
                into: Some(&mut self.answers.decoder),
                until: [self.pause.until(), look_at, silent].into_iter().flatten().min().filter(|_| is_open),
                bell: self.waker.bell().filter(|_| is_open),
            },
        )?;
        self.feed.note_written(turn.written);
        if self.feed.has_slack() {
            self.feed.shrink();
        }
        let is_last = match (&run.conversation.phase, run.conversation.outcome()) {
            (Phase::Finishing { .. }, _) => true,
            (_, Some(Outcome::Unasked { finished })) => *finished,
            (_, None) if run.conversation.is_open() => false,
            _ => {
                self.answers.decoder.forget(usize::MAX);
                return Ok(());
            }
        };
        if !is_last {
            self.read_answers(run, live, since)?;
        } else if self.says_more()? {
            return Err(Stop(Ending::Failed(UNASKED.to_owned())));
        }
        Ok(())
    }

    fn read_answers(
        &mut self,
        run: &mut ProgramRun<'_>,
        live: &LiveSettings,
        since: Option<Instant>,
    ) -> Result<(), Stop> {
        let max_bytes = run.worker.queues.max_bytes(&run.worker.outputs)?;
        let output = output_of(&run.session, self.spec);
        let read = self.answers.read(run.worker.queues.len(), output, max_bytes);
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        if self.answers.len() > 0 {
            self.publish(run, live, since)?;
        }
        if let Err(error) = read {
            run.apply(Event::Failed(error));
        } else if run.worker.queues.is_empty() && self.says_more()? {
            return Err(Stop(Ending::Failed(UNASKED.to_owned())));
        } else if !run.session.gives_output() && run.session.exit().is_none() {
            run.apply(Event::OutputClosed);
        } else {
            self.trial.report_silence(run.worker.queues.len(), run.conversation.busy_since());
        }
        Ok(())
    }

    /// With nothing on its way: whether the program has said anything that is no greeting.
    fn says_more(&mut self) -> Result<bool, Stop> {
        let says = self.answers.is_unasked();
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        says.map_err(|error| Stop(Ending::Failed(format!("the program failed: {error}"))))
    }

    /// What a turn waits for, if it isn't the program. With an item on its way the program is at work.
    fn waits_for(&self, run: &ProgramRun<'_>, live: &LiveSettings) -> Option<Waiting> {
        match run.conversation.phase {
            Phase::Finishing { .. } => Some(Waiting::Starved),
            _ if run.conversation.is_open() && run.worker.queues.is_empty() => Some(self.idles_for(live)),
            _ => None,
        }
    }

    fn idles_for(&self, live: &LiveSettings) -> Waiting {
        if self.pause.is_on() || live.must_pause() { Waiting::Paused } else { Waiting::Starved }
    }

    fn pass_on_wake_up(&mut self, worker: &mut WorkerContext) -> Result<(), Stop> {
        if self.waker.has_rung() {
            // It was a wake-up for one worker: if this one can't use it, the look passes it on.
            worker.queues.take(&worker.inputs, 0, Wait::No)?;
        }
        Ok(())
    }

    /// After the end of a program: the next one is started for an item only. One that has nothing to do may fail for
    /// just that, again and again. A worker that has had no item yet starts it anyway: it may have to run for an empty
    /// input, too. Returns how this worker ends if there is no item to come.
    fn await_item(&mut self, worker: &mut WorkerContext) -> Result<Option<Ending>, Stop> {
        while self.has_had_item {
            let live = worker.read_orders();
            if readiness::is_terminated() {
                return Ok(Some(Ending::Ordered));
            }
            if let Some(ending) = time_to_leave(worker, &live) {
                return Ok(Some(ending));
            }
            self.pass_on_wake_up(worker)?;
            let Look::At(look_at) = self.take(worker, &live, true)? else {
                return Ok(Some(Ending::InputEnded));
            };
            if !worker.queues.is_empty() {
                break;
            }
            if live.must_pause() {
                worker.come_to_rest();
            }
            let until = [self.pause.until(), look_at].into_iter().flatten().min();
            let bell = self.waker.bell().map(|bell| PollFd::new(bell, PollFlags::POLLIN));
            let wait = |_: &_| readiness::wait_any(&mut Vec::from_iter(bell), until);
            worker.counted_as(Some(self.idles_for(&live)), wait).map_err(Failure::from)?;
        }
        Ok(None)
    }

    /// The program is over. Returns how this worker ends; `None`: a fresh program is needed.
    fn conclude(&mut self, run: &mut ProgramRun<'_>) -> Result<Option<Ending>, Stop> {
        let Some(exit) = run.session.exit() else { return Ok(Some(Ending::Ordered)) };
        let error = match run.conversation.outcome() {
            Some(Outcome::Stop(ending)) => return Ok(Some(ending.clone())),
            Some(Outcome::Unasked { finished: true }) if self.spec.is_success_exit(exit) => {
                return Ok(Some(Ending::InputEnded));
            }
            Some(Outcome::Unasked { finished: true }) => {
                let failed =
                    FailedAttempt { error: ProgramError::Ended(exit), stderr: run.stderr.take_kept() };
                let why = format!("the program failed after its last answer: {failed}");
                return Err(Stop(Ending::Failed(why)));
            }
            Some(Outcome::Failed(error)) => error.clone(),
            _ if run.worker.queues.is_empty() => ProgramError::Ended(exit),
            _ => ProgramError::LeftUnanswered(exit),
        };
        self.charge_attempt(run, error).map(|()| None)
    }
}
