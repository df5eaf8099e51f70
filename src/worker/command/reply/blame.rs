//! A program that failed, and who is to blame for it.
//!
//! Only an item that was alone with the program is: the only one without an answer. If several were on their way the
//! program may have read on, or held answers back, and nobody can say which one it was at. They all go back as they
//! were, and are tried one by one until as many are answered. Whoever ends a program then was alone with it.

use super::ReplyLoop;
use crate::exit;
use crate::queue::Ending;
use crate::sys::wait::Exit;
use crate::worker::command::defeat::{Defeat, Trouble};
use crate::worker::command::session::Session;
use crate::worker::desk::Pace;
use crate::worker::failed::{self, Reason};
use crate::worker::stop::Stop;
use std::time::Duration;

impl ReplyLoop<'_> {
    /// The program is of no use any more.
    pub(super) fn lose(&mut self, trouble: Trouble, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        if let Trouble::TimedOut(_) = trouble {
            self.end(session, self.desk.ticket.stop_timeout);
        } else {
            session.kill();
            self.end(session, Duration::ZERO);
        }
        self.blame(trouble, pace)
    }

    /// The program has ended by itself.
    pub(super) fn bereaved(&mut self, pace: &Pace, session: &mut Session) -> Result<(), Stop> {
        // What follows, if this worker ends for it, is no failure of the stage.
        self.desk.exit_code = session.was_killed_from_outside().then_some(exit::PROGRAM_KILLED);
        self.end(session, Duration::ZERO);
        let exit = session.exit().unwrap_or(Exit::Code(0));
        if self.in_flight() > 0 {
            return self.blame(Trouble::LeftUnanswered(exit), pace);
        }
        match exit {
            // A program may make room for a fresh one; but one that does nothing else would be started without end.
            Exit::Code(code) if self.recipe.is_success(code) && self.window.is_proven() => Ok(()),
            Exit::Code(code) if self.recipe.is_success(code) => Err(Stop(Ending::Failed(format!(
                "the program ended with exit code {code} before it was asked anything: with mode = \"reply\" it should go \
                 on until its input ends"
            )))),
            exit => {
                let defeat = Defeat { trouble: Trouble::Ended(exit), stderr: self.errors.take_kept() };
                Err(Stop(Ending::Failed(format!("the program failed: {defeat}"))))
            }
        }
    }

    fn blame(&mut self, trouble: Trouble, pace: &Pace) -> Result<(), Stop> {
        self.desk.port.rest();
        self.desk.item_log.forget();
        self.ended = false;
        let defeat = Defeat { trouble, stderr: self.errors.take_kept() };
        match self.in_flight() {
            1 => self.convict(&defeat, pace),
            several => self.suspect(several, &defeat),
        }
    }

    fn suspect(&mut self, items: usize, defeat: &Defeat) -> Result<(), Stop> {
        log::warn!(
            "the program failed with {items} items on their way: {defeat}; nobody can say which one it was, so none is \
             blamed: they are tried again, one by one"
        );
        self.window.suspect(items);
        Ok(self.desk.port.give_back_from(0)?)
    }

    fn convict(&mut self, defeat: &Defeat, pace: &Pace) -> Result<(), Stop> {
        let reason =
            Reason { text: defeat.to_string(), cause: defeat.trouble.cause(), stderr: &defeat.stderr };
        failed::settle_for(self.desk, 0, reason, pace)?;
        self.window.clear(1);
        self.desk.recycling.count(1);
        // A program that could never do anything is no item's fault in the end.
        let Some(fruitless) = &mut self.fruitless else { return Ok(()) };
        *fruitless += 1;
        if *fruitless > pace.tuning.attempts {
            let text =
                format!("{fruitless} programs in a row failed before they had answered anything: {defeat}");
            return Err(Stop(Ending::Failed(text)));
        }
        Ok(())
    }
}
