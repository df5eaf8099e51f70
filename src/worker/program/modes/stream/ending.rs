//! What the end of the program means for the worker.

use super::Streaming;
use super::output::publish;
use crate::queue::Ending;
use crate::sys::wait::Exit;
use crate::worker::context::WorkerContext;
use crate::worker::program::conversation::Outcome;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::run::ProgramRun;
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

/// A program that has neither read nor written for this long has done what it had.
const QUIET: Duration = Duration::from_secs(1);

/// Items that the program may hold: after its end they can't be accounted for.
pub(super) struct Unaccounted {
    items: u64,
    moved: Instant,
}

impl Unaccounted {
    pub fn new() -> Unaccounted {
        Unaccounted { items: 0, moved: Instant::now() }
    }

    /// Bytes have moved, and with them these items have come into the program's hands.
    pub fn moved(&mut self, written: usize) {
        let now = Instant::now();
        if now.duration_since(self.moved) > QUIET {
            self.items = 0;
        }
        self.moved = now;
        self.items += written as u64;
    }

    fn warn(&self) {
        if self.items > 0 {
            log::warn!("up to {} items that its program had taken are unaccounted for", self.items);
        }
    }

    /// It is not the program that failed. What it had written is gone with what it had read, and no other try brings it
    /// back.
    pub fn lost_with(&self, worker: &WorkerContext, stop: Stop) -> Stop {
        match stop.0 {
            Ending::Failed(why) if worker.console.has_failed() => {
                self.warn();
                Stop(Ending::Lost(why))
            }
            other => Stop(other),
        }
    }
}

impl Streaming<'_> {
    /// The program is over, and all that it wrote is read.
    pub(super) fn conclude(&mut self, run: &mut ProgramRun<'_>, spec: &CommandSpec) -> Result<Stop, Stop> {
        // A program is over only with an exit.
        let exit = run.session.exit().unwrap_or(Exit::Code(0));
        self.emit(run.worker, usize::MAX)?;
        let last = self.output.emit_last(run.worker, exit)?;
        publish(run.worker, 0)?;
        let error = match (run.conversation.outcome(), last) {
            (Some(Outcome::Stop(ending)), _) => return Ok(Stop(ending.clone())),
            (_, Err(bad)) => ProgramError::BadFrame(bad),
            (outcome, Ok(())) if spec.is_success_exit(exit) => {
                log::debug!("the program ended with {exit:?}");
                let input_ended = outcome == Some(&Outcome::Unasked { finished: true });
                return Ok(Stop(if input_ended { Ending::InputEnded } else { Ending::Finished }));
            }
            (_, Ok(())) => ProgramError::Ended(exit),
        };
        let failed = FailedAttempt { error, stderr: run.stderr.take_kept() };
        self.unaccounted.warn();
        Ok(Stop(Ending::Failed(format!("the program failed: {failed}"))))
    }
}
