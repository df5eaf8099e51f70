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
use crate::worker::command::defeat::{Defeat, Trouble};
use crate::worker::command::session::Session;
use crate::worker::context::Pace;
use crate::worker::failed::{self, Reason};
use crate::worker::stop::Stop;
use std::time::Duration;

impl ReplyLoop<'_> {
    /// The program is of no use any more.
    pub(super) fn lose(&mut self, trouble: Trouble, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        if let Trouble::TimedOut(_) = trouble {
            self.end(session, self.worker.spec.stop_timeout);
        } else {
            session.kill();
            self.end(session, Duration::ZERO);
        }
        self.blame(trouble, pace, session)
    }

    /// The program has ended by itself.
    pub(super) fn bereaved(&mut self, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        // What follows, if this worker ends for it, is no failure of the stage.
        self.worker.exit_code = session.was_killed_from_outside().then_some(exit::PROGRAM_KILLED);
        self.end(session, Duration::ZERO);
        let exit = session.exit().unwrap_or(Exit::Code(0));
        let trouble = match self.in_flight() {
            0 => Trouble::Ended(exit),
            _ => Trouble::LeftUnanswered(exit),
        };
        self.blame(trouble, pace, session)
    }

    fn blame(&mut self, trouble: Trouble, pace: &Pace, session: &Session) -> Result<(), Stop> {
        self.worker.queues.rest();
        self.worker.item_log.forget();
        self.ended = false;
        let consumed = session.consumed();
        let read = self.starts.iter().take_while(|&&start| start < consumed).count();
        let defeat = Defeat { trouble, stderr: self.errors.take_kept() };
        match read {
            0 => {
                self.worker.queues.give_back_from(0)?;
                self.failed_alone(&defeat)
            }
            1 => {
                self.worker.queues.give_back_from(1)?;
                self.judge(defeat, pace)
            }
            several => self.suspect(several, &defeat),
        }
    }

    /// The program has failed with no item in its hands.
    fn failed_alone(&mut self, defeat: &Defeat) -> Result<(), Stop> {
        let has_ended_well = match defeat.trouble {
            Trouble::LeftUnanswered(Exit::Code(code)) | Trouble::Ended(Exit::Code(code)) => {
                self.recipe.is_success(code)
            }
            _ => false,
        };
        match self.window.is_proven() {
            // A program may make room for a fresh one; but one that does nothing else would be started without end.
            true if has_ended_well => Ok(()),
            true => Err(Stop(Ending::Failed(format!("the program failed: {defeat}")))),
            false => self.failed_to_start(defeat, has_ended_well),
        }
    }

    /// The program has failed with one item in its hands.
    fn judge(&mut self, defeat: Defeat, pace: &Pace) -> Result<(), Stop> {
        let in_time = !matches!(defeat.trouble, Trouble::TimedOut(_));
        if self.fruitless.is_some() && in_time && !self.is_killed_from_outside() {
            return self.doubt(defeat);
        }
        failed::settle_for(self.worker, 0, reason(&defeat), pace)?;
        self.window.clear(1);
        self.worker.recycling.count(1);
        Ok(())
    }

    pub(super) fn is_killed_from_outside(&self) -> bool {
        self.worker.exit_code == Some(exit::PROGRAM_KILLED)
    }

    fn suspect(&mut self, items: usize, defeat: &Defeat) -> Result<(), Stop> {
        log::warn!(
            "the program failed with {items} items on their way: {defeat}; nobody can say which one it was, so none is \
             blamed: they are tried again, one by one"
        );
        self.window.suspect(items);
        Ok(self.worker.queues.give_back_from(0)?)
    }
}

/// A defeat as the reason why an item's attempt failed.
pub(super) fn reason(defeat: &Defeat) -> Reason<'_> {
    Reason { text: defeat.to_string(), cause: defeat.trouble.cause(), stderr: &defeat.stderr }
}
