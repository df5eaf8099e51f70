//! What the end of the program means for the worker.

use super::output::publish;
use super::streaming::Streaming;
use crate::queue::Ending;
use crate::sys::wait::Exit;
use crate::worker::program::conversation::Outcome;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::run::ProgramRun;
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;

impl Streaming<'_> {
    /// The program is over, and all that it wrote is read.
    pub(super) fn conclude(&mut self, run: &mut ProgramRun<'_>, spec: &CommandSpec) -> Result<Stop, Stop> {
        // A program is over only with an exit.
        let exit = run.session.exit().unwrap_or(Exit::Code(0));
        self.output.emit(run.worker, usize::MAX)?;
        let last = self.output.emit_last(run.worker, exit)?;
        publish(run.worker, 0)?;
        let error = match (run.conversation.outcome(), last) {
            (Some(Outcome::Stop(ending)), _) => return Ok(Stop(ending.clone())),
            (_, Err(bad)) => ProgramError::BadFrame(bad),
            (outcome, Ok(())) if spec.is_success(exit) => {
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
