//! The policy: when the program gets items, when it ends, and what follows.

use super::output::{StreamOutput, publish, publish_any};
use super::streaming::{Found, Streaming, Unaccounted, lost_with_output};
use crate::config::pipeline::{Command, Framing};
use crate::exit;
use crate::framing::Decoder;
use crate::model::ItemFailure;
use crate::queue::Ending;
use crate::stage::Failure;
use crate::sys::wait::Exit;
use crate::worker::context::WorkerContext;
use crate::worker::program::conversation::{Effect, Event, Manner, Outcome};
use crate::worker::program::error::ProgramError;
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::stderr::StderrRelay;
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::ItemPause;
use crate::worker::program::run::{Mode, ProgramRun};
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;

/// Asked for as the size of the pipes.
const PIPE_BYTES: i32 = 256 * 1024;

/// Serves the stage with one program.
pub(crate) fn serve(worker: &mut WorkerContext, spec: &CommandSpec, command: &Command) -> Result<Stop, Stop> {
    let max_item = worker.queues.max_item(&worker.outputs)?;
    if worker.outputs.is_empty() {
        worker.queues.set_max_leases(usize::MAX);
    }
    let output_name = format!("the output of `{}`", command.invocation.title());
    let mut mode = Streaming {
        feed: &mut Feed::new(command.in_framing),
        output: StreamOutput::new(Decoder::new(command.out_framing, max_item), output_name),
        waker: Waker::new().map_err(Failure::from)?,
        pause: ItemPause::default(),
        found: Found::default(),
        speaks: false,
        owes: false,
        unaccounted: Unaccounted::new(),
    };
    let started = spec.start(None, worker.queues.program());
    let mut session = started.map_err(|not_started| not_started.stop(worker))?;
    session.widen(PIPE_BYTES);
    session.keep_unread();
    worker.recycling.watch(session.pid());
    let manner = Manner::Stream { is_source: worker.inputs.is_empty() };
    let mut stderr = StderrRelay::new();
    let mut run = ProgramRun::new(worker, &mut stderr, session, manner);
    let ended = run.converse(&mut mode);
    if ended.is_ok() && run.was_killed_externally() {
        run.worker.exit_code = Some(exit::PROGRAM_KILLED);
    }
    ended
        .and_then(|()| mode.conclude(&mut run, spec, command.in_framing))
        .map_err(|stop| lost_with_output(run.worker, stop))
}

impl Mode for Streaming<'_> {
    fn round(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let live = run.worker.live;
        self.pause.update(&run.worker.live);
        self.poll_orders(run)?;
        self.pass_on_wake_up(run.worker)?;
        self.lease(run)?;
        if !self.flows_on(run) && self.output.holds_back() {
            // Nothing more may come before the worker sleeps.
            let emitted = self.output.emit_pieces(run.worker, self.feed, &mut 0, false)?;
            publish_any(run.worker, 0, emitted)?;
        }
        if !run.conversation.is_open() && (self.feed.is_empty() || !run.session.takes_input()) {
            run.apply(Event::InputWritten);
        }
        if live.must_pause() && self.feed.is_empty() {
            run.worker.report_at_rest();
        }
        if self.flows_on(run) { self.exchange_unpolled(run) } else { self.exchange(run) }
    }

    fn owes_output(&self) -> bool {
        self.owes
    }
}

impl Streaming<'_> {
    /// Orders, and the end of this worker's time.
    fn poll_orders(&mut self, run: &mut ProgramRun<'_>) -> Result<(), Stop> {
        let live = run.worker.live;
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
            self.unaccounted.hand_over(self.feed.len(), || true, &run.worker.queues);
        }
        Ok(())
    }

    /// The program has ended well. Its items can't be given back: their leases have ended, and with those their places in the queue, their
    /// attempts and their numbers.
    fn settle(&mut self, run: &mut ProgramRun<'_>, exit: Exit, framing: Framing) -> Result<(), Failure> {
        let unread = run.session.take_unread()?;
        self.unaccounted.settle(&unread, framing, &run.worker.queues);
        if !unread.is_empty() {
            log::warn!("its program ended with {exit} before it had read all that it was given");
        }
        Ok(())
    }

    /// The program is over, and all that it wrote is read.
    fn conclude(
        &mut self,
        run: &mut ProgramRun<'_>,
        spec: &CommandSpec,
        framing: Framing,
    ) -> Result<Stop, Stop> {
        // A program is over only with an exit.
        let exit = run.session.exit().unwrap_or(Exit::Code(0));
        self.output.emit(run.worker, usize::MAX)?;
        let last = self.output.emit_last(run.worker, exit)?;
        publish(run.worker, 0)?;
        // After a signal such an exit says nothing of what it had.
        if spec.is_success(exit) && !run.session.was_signalled() {
            self.settle(run, exit, framing)?;
        }
        let error = match (run.conversation.outcome(), last) {
            (Some(Outcome::Stop(ending)), _) => return Ok(Stop(ending.clone())),
            (_, Err(bad)) => ProgramError::BadFrame(bad),
            (outcome, Ok(())) if spec.is_success(exit) => {
                if let Exit::Code(code) = exit {
                    log::debug!("the program ended with exit code {code}");
                }
                let input_ended = outcome == Some(&Outcome::Unasked { finished: true });
                return Ok(Stop(if input_ended { Ending::InputEnded } else { Ending::Finished }));
            }
            (_, Ok(())) => ProgramError::Ended(exit),
        };
        let failed = spec.failed(error, run.stderr.take_last_lines());
        if failed.failure == ItemFailure::Later {
            run.worker.exit_code = Some(exit::NOT_NOW);
        }
        Ok(Stop(Ending::Failed(format!("the program failed: {failed}"))))
    }
}
