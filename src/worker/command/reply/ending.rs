//! The last time with a program.

use super::ReplyLoop;
use crate::queue::Ending;
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::command::defeat::{Defeat, Trouble};
use crate::worker::command::session::{Out, Session, Wish};
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

impl ReplyLoop<'_> {
    /// Waits for the end of a program that is to end.
    pub(super) fn end(&mut self, session: &mut Session, patience: Duration) {
        session.close_input();
        session.close_output();
        session.terminate(patience);
        while !session.is_over() {
            let wish = Wish { out: Out::default(), into: None, until: None, bell: None };
            if session.turn(wish, &mut self.errors, self.desk.port.program()).is_err() {
                return;
            }
        }
    }

    pub(super) fn dismiss(&mut self, session: &mut Session) {
        self.end(session, self.desk.ticket.stop_timeout);
    }

    /// Everything is answered, or this worker has to go: the program gets the end of its input, and time to end.
    pub(super) fn part(&mut self, session: &mut Session, ending: Ending) -> Stop {
        let patience = self.desk.ticket.stop_timeout;
        session.close_input();
        let limit = Instant::now() + patience;
        while !session.is_over() {
            if readiness::is_terminated() || ending != Ending::InputEnded && limit <= Instant::now() {
                session.terminate(patience);
            }
            let until = (ending != Ending::InputEnded && !session.is_terminated()).then_some(limit);
            let decoder = &mut self.answers.decoder;
            let wish = Wish { out: Out::default(), into: Some(decoder), until, bell: None };
            if let Err(failure) = session.turn(wish, &mut self.errors, self.desk.port.program()) {
                return failure.into();
            }
            let rest = self.answers.decoder.pending();
            if rest > 0 && self.in_flight() == 0 && ending == Ending::InputEnded {
                self.end(session, patience);
                return self.spoke_unasked();
            }
            self.answers.decoder.skip(rest);
        }
        match session.exit() {
            Some(Exit::Code(code)) if self.recipe.is_success(code) => Stop(ending),
            Some(exit) if ending == Ending::InputEnded => {
                let defeat = Defeat { trouble: Trouble::Ended(exit), stderr: self.errors.take_kept() };
                Stop(Ending::Failed(format!("the program failed after its last answer: {defeat}")))
            }
            _ => Stop(ending),
        }
    }
}
