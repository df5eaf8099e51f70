//! `mode = "reply"`: one program that runs on and answers every item, in order.
//!
//! Several items may be on their way at once, as many as the program answers in a moment ([`window`]), and each answer
//! is that of the oldest that has none. A program that speaks `framing = "mprun"` can say that an item failed; any
//! other tells a failure only by its death, and then whose it was ([`blame`]).
//!
//! | what dies | while | what follows |
//! |---|---|---|
//! | the program | it has read nothing of the unanswered items | they go back as they were: it failed by itself |
//! | | it has read one of them | this one is blamed; a fresh program goes on |
//! | | it has read several | they go back as they were; the fresh program gets them one by one |
//! | | no program of this worker has answered anything | see [`start`] |
//! | | there is no item, and none to come | no fresh one is started: this worker is done |
//! | the worker | one item is unanswered | the supervisor blames it, and gives it back |
//! | | several are | they go back as they were; a fresh worker begins one by one anyway |
//! | the worker | answers are read, not published | the items go back, and are answered anew |
//! | the worker | after the commit | the items are done |

mod blame;
mod ending;
mod publish;
mod silence;
mod start;
mod take;
mod window;

use crate::worker::program::error::ProgramError;
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::spill;

use crate::config::pipeline::{Command, Reply};
use crate::queue::{Ending, QueueId, Wait, Waiting};
use crate::stage::Failure;
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::program::io::answers::{Answers, Output};
use crate::worker::program::io::session::{Out, Session, Wish};
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::Rest;
use crate::worker::program::spec::CommandSpec;
use crate::worker::program::waiting;
use crate::worker::stop::Stop;
use nix::poll::{PollFd, PollFlags};
use silence::Silence;
use start::Doubt;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use take::Flow;
use window::Window;

/// From the end of a program's output to its own.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) struct ReplyLoop<'a> {
    worker: &'a mut WorkerContext,
    spec: CommandSpec,
    command: Command,
    reply: Reply,
    inputs: Vec<QueueId>,
    feed: Feed,
    answers: Answers,
    stderr: StderrRelay,
    waker: Waker,
    window: Window,
    silence: Silence,
    /// Programs that died in a row without any answer; `None`: one has answered, so they can.
    fruitless: Option<u32>,
    /// The item that was with the last of these.
    doubt: Option<Doubt>,
    /// There was an item: what a program without one does wrong is no longer a fault of its start.
    has_had_item: bool,
    /// How often one was charged because it was the only one.
    charged_alone: u32,
    /// Where the items on their way begin in the bytes that the program gets.
    starts: VecDeque<u64>,
    /// When the oldest item became the oldest.
    since: Instant,
    /// Nothing will come any more.
    ended: bool,
    /// The next item has failed before: it waits until it can be alone.
    suspect_waits: bool,
    rest: Rest,
    /// There may be an item, though nothing will tell of it: no waiting.
    looks_again: bool,
    /// With items on their way: not before this is the waker asked to wait for more. Mostly an answer comes first.
    arms_at: Option<Instant>,
    /// That moment is waited for now.
    holds_off: bool,
    /// When the program closed its output.
    closed: Option<Instant>,
}

impl<'a> ReplyLoop<'a> {
    pub fn new(
        worker: &'a mut WorkerContext,
        spec: CommandSpec,
        command: Command,
        reply: Reply,
    ) -> Result<ReplyLoop<'a>, Failure> {
        let most = worker.queues.max_item(&worker.outputs)?;
        Ok(ReplyLoop {
            inputs: spill::inputs(worker),
            worker,
            spec,
            feed: Feed::new(command.in_framing),
            answers: Answers::new(reply, command.out_framing, most),
            command,
            reply,
            stderr: StderrRelay::new(),
            waker: Waker::new()?,
            window: Window::new(),
            silence: Silence::default(),
            fruitless: Some(0),
            doubt: None,
            has_had_item: false,
            charged_alone: 0,
            starts: VecDeque::new(),
            since: Instant::now(),
            ended: false,
            suspect_waits: false,
            rest: Rest::default(),
            looks_again: false,
            arms_at: None,
            holds_off: false,
            closed: None,
        })
    }

    pub fn run(mut self) -> Stop {
        self.forget_program();
        loop {
            let mut session = match self.start() {
                Ok(session) => session,
                Err(stop) => return stop,
            };
            self.worker.recycling.watch(session.pid());
            match self.serve(&mut session) {
                Ok(None) => {}
                Ok(Some(ending)) => return self.part(&mut session, ending),
                Err(stop) => {
                    self.dismiss(&mut session);
                    return stop;
                }
            }
            drop(session);
            self.forget_program();
            match self.await_item() {
                Ok(None) => {}
                Ok(Some(ending)) => return Stop(ending),
                Err(stop) => return stop,
            }
        }
    }

    /// Nothing of what is known of the last program holds for the next one.
    fn forget_program(&mut self) {
        self.feed.clear();
        self.starts.clear();
        self.worker.exit_code = None;
        self.closed = None;
        self.window.restart();
    }

    fn start(&mut self) -> Result<Session, Stop> {
        let most = self.worker.queues.max_item(&self.worker.outputs)?;
        self.answers = Answers::new(self.reply, self.command.out_framing, most);
        let started = self.spec.start(None, self.worker.queues.program());
        let session = started.map_err(|not_started| not_started.stop(self.worker))?;
        if self.in_flight() > 0 {
            self.begin();
        }
        Ok(session)
    }

    /// After the end of a program: the next one is started for an item only. One that has nothing to do may fail for
    /// just that, again and again. A worker that has had no item yet starts it anyway: it may have to run for an empty
    /// input, too. Returns how this worker ends if there is no item to come.
    fn await_item(&mut self) -> Result<Option<Ending>, Stop> {
        while self.has_had_item {
            let live = self.worker.look();
            if readiness::is_terminated() {
                return Ok(Some(Ending::Ordered));
            }
            if let Some(ending) = self.time_to_go(&live) {
                return Ok(Some(ending));
            }
            self.pass_on_wake_up()?;
            if let Flow::Through = self.take(&live, true)? {
                return Ok(Some(Ending::InputEnded));
            }
            if self.in_flight() > 0 {
                // Its time, and its fault, begin with the program.
                self.worker.queues.rest();
                return Ok(None);
            }
            if live.must_pause {
                self.worker.come_to_rest();
            }
            let until = self.wakes_at(None);
            let why = self.idles_for(&live);
            let bell = self.waker.bell().map(|bell| PollFd::new(bell, PollFlags::POLLIN));
            waiting(&self.worker.queues, Some(why), || readiness::wait_any(&mut Vec::from_iter(bell), until))
                .map_err(Failure::from)?;
        }
        Ok(None)
    }

    fn pass_on_wake_up(&mut self) -> Result<(), Stop> {
        if self.waker.has_rung() {
            // It was a wake-up for one worker: if this one can't use it, the look passes it on.
            self.worker.queues.take(&self.inputs, 0, Wait::No)?;
        }
        Ok(())
    }

    /// Why there is no item at work.
    fn idles_for(&self, live: &LiveSettings) -> Waiting {
        if self.is_resting() || live.must_pause { Waiting::Paused } else { Waiting::Starved }
    }

    /// Works with one program as long as it goes. None: a fresh one is needed.
    fn serve(&mut self, session: &mut Session) -> Result<Option<Ending>, Stop> {
        loop {
            let live = self.worker.look();
            if readiness::is_terminated() {
                return Ok(Some(Ending::Ordered));
            }
            if let Some(ending) = self.time_to_go(&live) {
                return Ok(Some(ending));
            }
            self.pass_on_wake_up()?;
            if let Flow::Through = self.take(&live, session.takes_input())? {
                return Ok(Some(Ending::InputEnded));
            }
            if live.must_pause && self.in_flight() == 0 {
                self.worker.come_to_rest();
            }
            if let Err(error) = self.exchange(&live, session)? {
                return self.lose(error, &live, session).map(|()| None);
            }
            if session.is_over() || session.exit().is_some() && !session.gives_output() {
                return self.bereaved(&live, session).map(|()| None);
            }
        }
    }

    /// Between two items: whether this worker is to end.
    fn time_to_go(&mut self, live: &LiveSettings) -> Option<Ending> {
        if !self.worker.queues.is_empty() {
            return None;
        }
        if live.must_finish {
            return Some(Ending::Ordered);
        }
        self.worker.recycling.check().err().map(|stop| stop.0)
    }

    fn in_flight(&self) -> usize {
        self.worker.queues.len()
    }

    /// The oldest lease is the one whose answer comes next. Only alone it is to blame for what happens meanwhile.
    fn begin(&mut self) {
        self.since = Instant::now();
        match self.in_flight() {
            1 => self.worker.queues.begin(0),
            _ => self.worker.queues.rest(),
        }
    }

    /// Writes, reads, publishes what is answered. The inner result is that of the items without an answer.
    fn exchange(
        &mut self,
        live: &LiveSettings,
        session: &mut Session,
    ) -> Result<Result<(), ProgramError>, Stop> {
        let limit = live.tuning.item_timeout.filter(|_| self.in_flight() > 0);
        let deadline = limit.map(|limit| self.since + limit);
        let until = self.wakes_at(deadline);
        // With an item on its way the program is at work.
        let why = self.worker.queues.is_empty().then_some(self.idles_for(live));
        let wish = Wish {
            out: Out::from(self.feed.rest()),
            until,
            into: Some(&mut self.answers.decoder),
            bell: self.waker.bell(),
        };
        let turn = waiting(&self.worker.queues, why, || {
            session.turn(wish, &mut self.stderr, self.worker.queues.program())
        })?;
        self.feed.note_written(turn.written);
        if self.feed.has_slack() {
            self.feed.shrink();
        }
        let most_in_all = self.worker.queues.max_bytes(&self.worker.outputs)?;
        let read = self.answers.read(self.in_flight(), self.output_of(session), most_in_all);
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        let done = self.answers.len();
        if done > 0 {
            let took = self.since.elapsed();
            self.window.learn(done, took);
            self.worker.queues.note_items(done, took);
            self.publish(live)?;
        }
        if let Err(error) = read {
            return Ok(Err(error));
        }
        if self.in_flight() == 0 && self.says_more()? {
            return Err(self.spoke_unasked());
        }
        if let Some(error) = self.has_closed(session) {
            return Ok(Err(error));
        }
        self.look_for_silence();
        match (limit, deadline) {
            (Some(limit), Some(deadline)) if done == 0 && deadline <= Instant::now() => {
                Ok(Err(ProgramError::TimedOut(limit)))
            }
            _ => Ok(Ok(())),
        }
    }

    fn output_of(&self, session: &Session) -> Output {
        match session.exit() {
            _ if session.gives_output() => Output::Open,
            None => Output::Open,
            Some(Exit::Code(code)) if self.spec.is_success(code) => Output::Whole,
            Some(_) => Output::Torn,
        }
    }

    /// When a turn ends though nothing has happened.
    fn wakes_at(&mut self, deadline: Option<Instant>) -> Option<Instant> {
        let rest = self.rest.until();
        let now = std::mem::take(&mut self.looks_again).then(Instant::now);
        let silent = self.silence.deadline(self.since).filter(|_| self.is_silent());
        let closed = self.closed.map(|closed| closed + GRACE);
        let arms = self.arms_at.filter(|_| self.holds_off);
        [deadline, rest, now, silent, closed, arms].into_iter().flatten().min()
    }

    /// Whether the program closed its output and stays: mostly it is about to end, and then its exit tells more.
    fn has_closed(&mut self, session: &Session) -> Option<ProgramError> {
        if session.gives_output() || session.exit().is_some() {
            return None;
        }
        let closed = *self.closed.get_or_insert_with(Instant::now);
        (self.in_flight() > 0 && closed.elapsed() >= GRACE).then_some(ProgramError::ClosedOutput)
    }

    /// No program of this worker has answered anything, and this one has something to answer.
    fn is_silent(&self) -> bool {
        self.fruitless.is_some() && self.in_flight() > 0
    }

    fn look_for_silence(&mut self) {
        if self.is_silent() {
            self.silence.look(self.in_flight(), self.since);
        }
    }

    /// With nothing on its way: whether the program has said anything that is no greeting.
    fn says_more(&mut self) -> Result<bool, Stop> {
        let says = self.answers.is_unasked();
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        says.map_err(|error| Stop(Ending::Failed(format!("the program failed: {error}"))))
    }

    fn spoke_unasked(&self) -> Stop {
        let text = "the program wrote an item that it was not asked for: with mode = \"reply\" each item gets one \
                    answer, in order, and all else belongs to standard error";
        Stop(Ending::Failed(text.to_owned()))
    }
}
