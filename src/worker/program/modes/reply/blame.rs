//! A program that failed, and who is to blame for it.
//!
//! What the program has not read is innocent: the pipe tells how much that is. Of what it has read only an item that was
//! alone is to blame: if there were several the program may have held answers back, and nobody can say which one it was
//! at. They all go back as they were, and are tried one by one until as many are answered. An item that then ends a
//! program was alone with it.

use super::ReplyLoop;
use crate::exit;
use crate::queue::Ending;
use crate::sys::wait::Exit;
use crate::worker::context::LiveSettings;
use crate::worker::failed::{self, Reason};
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::session::Session;
use crate::worker::stop::Stop;
use std::time::Duration;

impl ReplyLoop<'_> {
    /// The program is of no use any more.
    pub(crate) fn lose(
        &mut self,
        error: ProgramError,
        live: &LiveSettings,
        session: &mut Session,
    ) -> Result<(), Stop> {
        if let ProgramError::TimedOut(_) = error {
            self.end(session, self.worker.spec.stop_timeout);
        } else {
            session.kill();
            self.end(session, Duration::ZERO);
        }
        self.blame(error, live, session)
    }

    /// The program has ended by itself.
    pub(crate) fn bereaved(&mut self, live: &LiveSettings, session: &mut Session) -> Result<(), Stop> {
        // What follows, if this worker ends for it, is no failure of the stage.
        self.worker.exit_code = session.was_killed_externally().then_some(exit::PROGRAM_KILLED);
        self.end(session, Duration::ZERO);
        let exit = session.exit().unwrap_or(Exit::Code(0));
        let error = match self.in_flight() {
            0 => ProgramError::Ended(exit),
            _ => ProgramError::LeftUnanswered(exit),
        };
        self.blame(error, live, session)
    }

    fn blame(&mut self, error: ProgramError, live: &LiveSettings, session: &Session) -> Result<(), Stop> {
        self.worker.queues.rest();
        self.worker.item_log.forget();
        self.ended = false;
        let consumed = session.consumed();
        let read = self.starts.iter().take_while(|&&start| start < consumed).count();
        let failed = FailedAttempt { error, stderr: self.stderr.take_kept() };
        match read {
            0 => {
                self.worker.queues.give_back_from(0)?;
                self.failed_alone(&failed)
            }
            1 => {
                self.worker.queues.give_back_from(1)?;
                self.judge(failed, live)
            }
            several => self.suspect(several, &failed),
        }
    }

    /// The program has failed with no item in its hands.
    fn failed_alone(&mut self, failed: &FailedAttempt) -> Result<(), Stop> {
        let has_ended_well = match failed.error {
            ProgramError::LeftUnanswered(Exit::Code(code)) | ProgramError::Ended(Exit::Code(code)) => {
                self.spec.is_success(code)
            }
            _ => false,
        };
        match self.window.is_proven() {
            // A program may make room for a fresh one; but one that does nothing else would be started without end.
            true if has_ended_well => Ok(()),
            true => Err(Stop(Ending::Failed(format!("the program failed: {failed}")))),
            false => self.failed_to_start(failed, has_ended_well),
        }
    }

    /// The program has failed with one item in its hands.
    fn judge(&mut self, failed: FailedAttempt, live: &LiveSettings) -> Result<(), Stop> {
        let in_time = !matches!(failed.error, ProgramError::TimedOut(_));
        if self.fruitless.is_some() && in_time && !self.is_killed_externally() {
            return self.doubt(failed);
        }
        failed::fail_with(self.worker, 0, reason(&failed), live)?;
        self.window.clear(1);
        self.worker.recycling.count(1);
        Ok(())
    }

    pub(crate) fn is_killed_externally(&self) -> bool {
        self.worker.exit_code == Some(exit::PROGRAM_KILLED)
    }

    fn suspect(&mut self, items: usize, failed: &FailedAttempt) -> Result<(), Stop> {
        log::warn!(
            "the program failed with {items} items on their way: {failed}; nobody can say which one it was, so none is \
             blamed: they are tried again, one by one"
        );
        self.window.suspect(items);
        Ok(self.worker.queues.give_back_from(0)?)
    }
}

/// A failed as the reason why an item's attempt failed.
pub(crate) fn reason(failed: &FailedAttempt) -> Reason<'_> {
    Reason { text: failed.to_string(), cause: failed.error.cause(), stderr: &failed.stderr }
}
