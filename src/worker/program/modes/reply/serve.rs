//! The policy: when a program gets items, when it ends, and what follows.

use super::intake::Look;
use super::replies::{Intake, Replies, begin, charge_if_alone};
use super::trial::Trial;
use super::window::Window;
use crate::config::pipeline::{Command, Reply};
use crate::queue::Ending;
use crate::stage::Failure;
use crate::sys::readiness;
use crate::worker::context::WorkerContext;
use crate::worker::program::conversation::{Event, Manner, Outcome};
use crate::worker::program::error::ProgramError;
use crate::worker::program::io::answers::Answers;
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::ItemPause;
use crate::worker::program::run::{Mode, ProgramRun};
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;
use nix::poll::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::time::Instant;

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
        feed: &mut Feed::new(command.in_framing),
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

/// Between two items: whether this worker is to end.
fn time_to_leave(worker: &mut WorkerContext) -> Option<Ending> {
    let live = worker.live;
    if !worker.queues.is_empty() {
        return None;
    }
    if live.must_finish() {
        return Some(Ending::Ordered);
    }
    worker.recycling.check().err().map(|stop| stop.0)
}

impl Mode for Replies<'_> {
    fn round(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let mut look_at = None;
        if run.conversation.is_open() {
            if let Some(ending) = time_to_leave(run.worker) {
                run.apply(Event::Leave(ending));
                run.apply(Event::InputWritten);
            } else {
                look_at = self.lease(run)?;
            }
        }
        self.exchange(run, look_at)
    }
}

impl Replies<'_> {
    /// Leases items for the program. Returns when to look for more, though nothing tells of them.
    fn lease(&mut self, run: &mut ProgramRun<'_>) -> Result<Option<Instant>, Stop> {
        let live = run.worker.live;
        self.pass_on_wake_up(run.worker)?;
        let known = run.worker.queues.len();
        let look = self.take(run.worker, run.session.takes_input())?;
        if run.worker.queues.len() > known {
            match known {
                0 => begin(run),
                _ => charge_if_alone(run.worker),
            }
        }
        if live.must_pause() && run.worker.queues.is_empty() {
            run.worker.report_at_rest();
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

    /// After the end of a program: the next one is started for an item only. One that has nothing to do may fail for
    /// just that, again and again. A worker that has had no item yet starts it anyway: it may have to run for an empty
    /// input, too. Returns how this worker ends if there is no item to come.
    fn await_item(&mut self, worker: &mut WorkerContext) -> Result<Option<Ending>, Stop> {
        while self.has_had_item {
            let live = worker.read_orders();
            if readiness::is_terminated() {
                return Ok(Some(Ending::Ordered));
            }
            if let Some(ending) = time_to_leave(worker) {
                return Ok(Some(ending));
            }
            self.pass_on_wake_up(worker)?;
            let Look::At(look_at) = self.take(worker, true)? else {
                return Ok(Some(Ending::InputEnded));
            };
            if !worker.queues.is_empty() {
                break;
            }
            if live.must_pause() {
                worker.report_at_rest();
            }
            let until = [self.pause.until(), look_at].into_iter().flatten().min();
            let wake_fd = self.waker.fd().map(|wake_fd| PollFd::new(wake_fd, PollFlags::POLLIN));
            let wait = |_: &_| readiness::wait_any(&mut Vec::from_iter(wake_fd), until);
            worker.counted_as(Some(self.idles_for(&live)), wait).map_err(Failure::from)?;
        }
        Ok(None)
    }

    /// The program is over. Returns how this worker ends; `None`: a fresh program is needed.
    fn conclude(&mut self, run: &mut ProgramRun<'_>) -> Result<Option<Ending>, Stop> {
        let Some(exit) = run.session.exit() else { return Ok(Some(Ending::Ordered)) };
        let error = match run.conversation.outcome() {
            Some(Outcome::Stop(ending)) => return Ok(Some(ending.clone())),
            Some(Outcome::Unasked { finished: true }) if self.spec.is_success(exit) => {
                return Ok(Some(Ending::InputEnded));
            }
            Some(Outcome::Unasked { finished: true }) => {
                let failed = self.spec.failed(ProgramError::Ended(exit), run.stderr.take_last_lines());
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
