//! A program that failed, and which item is charged for it.
//!
//! What the program has not read is innocent: the pipe tells how much that is. Of what it has read only an item that was
//! alone is charged: if there were several the program may have held answers back, and which one it was at can't be
//! known. They all go back as they were, and are tried one by one until as many are answered. An item that then ends a
//! program was alone with it.

use super::replies::{Intake, Replies};
use crate::exit;
use crate::model::ItemFailure;
use crate::queue::Ending;
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::run::ProgramRun;
use crate::worker::stop::Stop;

impl Replies<'_> {
    /// The program is over, and has failed: its items go back, and one of them may be charged.
    pub(super) fn charge_attempt(
        &mut self,
        run: &mut ProgramRun<'_>,
        error: ProgramError,
    ) -> Result<(), Stop> {
        // What follows, if this worker ends for it, is no failure of the stage.
        run.worker.exit_code = run.was_killed_externally().then_some(exit::PROGRAM_KILLED);
        run.worker.queues.rest();
        run.worker.item_log.forget();
        if self.intake == Intake::Ended {
            self.intake = Intake::Open;
        }
        let consumed = run.session.consumed();
        let read = self.starts.iter().take_while(|&&start| start < consumed).count();
        let failed = self.spec.failed(error, run.stderr.take_last_lines());
        run.worker.queues.give_back_from(usize::from(read == 1))?;
        match read {
            0 => self.failed_without_item(run.worker, &failed),
            1 => self.failed_with_item(run.worker, failed),
            several => {
                log::warn!(
                    "the program failed with {several} items on their way: {failed}; which of them it failed on is not known, \
                     so none is charged an attempt: they are tried again, one by one"
                );
                self.window.try_singly(several);
                Ok(())
            }
        }
    }

    fn failed_without_item(
        &mut self,
        worker: &mut WorkerContext,
        failed: &FailedAttempt,
    ) -> Result<(), Stop> {
        let has_ended_well = match failed.error {
            ProgramError::LeftUnanswered(exit) | ProgramError::Ended(exit) => self.spec.is_success(exit),
            _ => false,
        };
        let advice = match has_ended_well {
            true => ": with mode = \"reply\" it should run until its input ends",
            false => "",
        };
        if failed.failure == ItemFailure::Later {
            // The program can't do anything now: a fresh one comes after a pause.
            worker.exit_code = Some(exit::NOT_NOW);
            return Err(Stop(Ending::Failed(format!("the program failed: {failed}"))));
        }
        match self.window.is_proven() {
            // A program may make room for a fresh one; but one that does nothing else would be started without end.
            true if has_ended_well => Ok(()),
            true => Err(Stop(Ending::Failed(format!("the program failed: {failed}")))),
            false => self.trial.count_failure(worker, "read any item", &format!("{failed}{advice}")),
        }
    }

    fn failed_with_item(&mut self, worker: &mut WorkerContext, failed: FailedAttempt) -> Result<(), Stop> {
        self.window.clear(1);
        let in_time = !matches!(failed.error, ProgramError::TimedOut(_));
        let says_nothing = failed.failure == ItemFailure::Charged;
        if self.trial.is_unproven()
            && says_nothing
            && in_time
            && worker.exit_code != Some(exit::PROGRAM_KILLED)
        {
            return self.trial.hold_charge(worker, failed);
        }
        dead_letters::fail_with(worker, 0, failed.failure, failed.reason())?;
        worker.recycling.count(1);
        Ok(())
    }
}
