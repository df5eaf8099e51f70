//! One program from its start to its end: the loop of all modes, and the hands of the [conversation](super::conversation).

use super::conversation::{
    Circumstances, Conversation, Effect, Effects, Event, LINGER_REPORT, Manner, Outcome, Phase,
};
use super::io::session::{Session, Turn, TurnRequest};
use super::io::stderr::StderrRelay;
use crate::queue::Waiting;
use crate::stage::Failure;
use crate::sys::readiness;
use crate::sys::wait::{Exit, SignalNumber};
use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::stop::Stop;
use nix::sys::signal::Signal;
use std::time::Instant;

/// What a mode makes of the conversation.
pub(crate) trait Mode {
    /// Before each round.
    fn read_orders(&mut self, worker: &mut WorkerContext) {
        worker.read_orders();
    }

    /// Gets items for the program, moves bytes, and publishes what counts.
    fn round(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop>;

    /// Whether there are rounds to come though the program is over.
    fn owes_output(&self) -> bool {
        false
    }
}

pub(crate) struct ProgramRun<'a> {
    pub worker: &'a mut WorkerContext,
    pub stderr: &'a mut StderrRelay,
    pub session: Session,
    pub conversation: Conversation,
}

impl<'a> ProgramRun<'a> {
    pub(super) fn new(
        worker: &'a mut WorkerContext,
        stderr: &'a mut StderrRelay,
        session: Session,
        manner: Manner,
    ) -> ProgramRun<'a> {
        let stop_timeout = worker.spec.stop_timeout;
        let conversation = Conversation { phase: Phase::Idle, manner, stop_timeout };
        ProgramRun { worker, stderr, session, conversation }
    }

    /// An error is the worker's; the program is ended for it.
    pub(super) fn converse(&mut self, mode: &mut impl Mode) -> Result<(), Stop> {
        while !self.conversation.is_over() || mode.owes_output() {
            mode.read_orders(self.worker);
            if readiness::is_terminated() {
                self.apply(Event::Terminated);
            }
            if let Err(stop) = mode.round(self) {
                self.abandon();
                return Err(stop);
            }
            self.end_round();
        }
        Ok(())
    }

    fn abandon(&mut self) {
        self.apply(Event::Abandoned);
        while !self.conversation.is_over() {
            if self.turn(None, TurnRequest::default()).is_err() {
                return;
            }
            self.end_round();
        }
    }

    /// Returns all effects: those on items are left to the mode.
    pub(super) fn apply(&mut self, event: Event) -> Effects {
        let effects = self.conversation.apply(event, Instant::now());
        for effect in effects {
            match effect {
                Effect::CloseInput => self.session.close_input(),
                Effect::CloseOutput => self.session.close_output(),
                Effect::Terminate => {
                    self.session.signal(self.stop_signal());
                    self.session.signal(Signal::SIGCONT);
                }
                Effect::Kill => self.session.signal(Signal::SIGKILL),
                Effect::ReportLingering => self.report_lingering(),
                Effect::ReportOverdue => self.report_overdue(),
                Effect::Acknowledge | Effect::TakeBack | Effect::Settle => {}
            }
        }
        effects
    }

    fn stop_signal(&self) -> SignalNumber {
        let command = self.worker.spec.work.command();
        command.map_or(Signal::SIGTERM.into(), |command| SignalNumber(command.stop_signal.0))
    }

    fn end_round(&mut self) {
        if self.session.is_drained() {
            self.apply(Event::Drained);
        }
        let facts = circumstances(&self.worker.live);
        if self.conversation.deadline(facts).is_some_and(|at| at <= Instant::now()) {
            self.apply(Event::Tick(facts));
        }
    }

    /// The moment when a turn ends though nothing has happened.
    pub(super) fn wakes_at(&self, others: [Option<Instant>; 3]) -> Option<Instant> {
        let live = self.worker.live;
        let deadline = self.conversation.deadline(circumstances(&live));
        others.into_iter().chain([deadline]).flatten().min()
    }

    /// One turn, counted as a wait if there is a reason.
    pub(super) fn turn(
        &mut self,
        why: Option<Waiting>,
        mut request: TurnRequest<'_>,
    ) -> Result<Turn, Failure> {
        request.until = self.wakes_at([request.until, None, None]);
        let ProgramRun { worker, stderr, session, .. } = self;
        let turn = worker.counted_as(why, |queues| session.turn(request, stderr, queues.program()))?;
        self.note(turn);
        Ok(turn)
    }

    /// What a turn has shown, for the conversation.
    pub(super) fn note(&mut self, turn: Turn) {
        if turn.read + turn.written > 0 && matches!(self.conversation.phase, Phase::Finishing { .. }) {
            self.apply(Event::Moved);
        }
        if self.session.exit().is_none() {
            return;
        }
        if self.conversation.outcome().is_none() || self.conversation.is_signalled() {
            self.apply(Event::Exited);
        }
    }

    /// Whether an exchange without a wait is likely to move something.
    pub(super) fn flows(&self, writes: bool) -> bool {
        !self.conversation.is_signalled() && self.session.flows(writes)
    }

    /// Whether a signal has ended the program that was not this worker's: by hand, or by the kernel for want of memory.
    pub(super) fn was_killed_externally(&self) -> bool {
        let by_signal = matches!(
            self.session.exit(),
            Some(Exit::Signal(SignalNumber(number))) if [Signal::SIGKILL as i32, Signal::SIGTERM as i32].contains(&number)
        );
        by_signal && matches!(self.conversation.outcome(), Some(Outcome::Unasked { .. }))
    }

    fn report_lingering(&self) {
        let then = match self.conversation.manner {
            Manner::Reply { bounded: true } => "; it is ended after stop_timeout",
            Manner::Each | Manner::Reply { bounded: false } | Manner::Stream { .. } => "",
        };
        let (program, passed) = (self.session.pid(), LINGER_REPORT.as_secs());
        log::warn!(
            "has had all its input, waits for its program (process {program}) to end: it has done nothing for {passed}s{then}"
        );
    }

    fn report_overdue(&self) {
        let timeout = humantime::format_duration(self.worker.spec.stop_timeout);
        log::warn!(
            "its program (process {}) has answered everything and not ended for {timeout} (stop_timeout): it is ended \
             by SIGTERM",
            self.session.pid()
        );
    }
}

fn circumstances(live: &LiveSettings) -> Circumstances {
    Circumstances { stopping: live.is_stopping(), item_timeout: live.tuning.item_timeout }
}
