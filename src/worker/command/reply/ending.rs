//! The last time with a program.

use super::ReplyLoop;
use crate::config::pipeline::Reply;
use crate::queue::{Ending, Waiting};
use crate::sys::readiness;
use crate::sys::wait::Exit;
use crate::worker::command::defeat::{Defeat, Trouble};
use crate::worker::command::lingering::Lingering;
use crate::worker::command::session::{Out, Session, Wish};
use crate::worker::command::waiting;
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
            if session.turn(wish, &mut self.errors, self.worker.queues.program()).is_err() {
                return;
            }
        }
    }

    pub(super) fn dismiss(&mut self, session: &mut Session) {
        self.end(session, self.worker.spec.stop_timeout);
    }

    /// Everything is answered, or this worker has to go: the program gets the end of its input, and time to end.
    pub(super) fn part(&mut self, session: &mut Session, ending: Ending) -> Stop {
        session.close_input();
        let mut parting = Parting::new(&ending, self.worker.look().is_stopping());
        let why = (ending == Ending::InputEnded).then_some(Waiting::Starved);
        while !session.is_over() {
            let until = self.hasten(session, &mut parting);
            let wish = Wish { out: Out::default(), into: Some(&mut self.answers.decoder), until, bell: None };
            let turn = waiting(&self.worker.queues, why, || {
                session.turn(wish, &mut self.errors, self.worker.queues.program())
            });
            if let Err(failure) = turn {
                return failure.into();
            }
            if self.in_flight() == 0 && ending == Ending::InputEnded && !session.is_terminated() {
                let spoke = match self.says_more() {
                    Ok(false) => continue,
                    Ok(true) => self.spoke_unasked(),
                    Err(stop) => stop,
                };
                self.dismiss(session);
                return spoke;
            }
            let rest = self.answers.decoder.pending();
            self.answers.decoder.forget(rest);
        }
        match session.exit() {
            Some(Exit::Code(code)) if self.recipe.is_success(code) => Stop(ending),
            // By this worker, when everything was answered: that says nothing about the program.
            Some(_) if session.is_terminated() => Stop(ending),
            Some(exit) if ending == Ending::InputEnded => {
                let defeat = Defeat { trouble: Trouble::Ended(exit), stderr: self.errors.take_kept() };
                Stop(Ending::Failed(format!("the program failed after its last answer: {defeat}")))
            }
            _ => Stop(ending),
        }
    }

    /// Ends the program if it has had its time. Returns when to look again.
    fn hasten(&mut self, session: &mut Session, parting: &mut Parting) -> Option<Instant> {
        let patience = self.worker.spec.stop_timeout;
        let is_stopping = self.worker.look().is_stopping();
        let is_bounded = self.reply == Reply::Protocol || is_stopping || !parting.has_had_all;
        let limit = parting.start + patience;
        let is_stopped = is_stopping && parting.has_had_all && !parting.was_stopping;
        let is_overdue = is_bounded && limit <= Instant::now();
        if session.is_terminated() {
            return None;
        }
        if parting.has_had_all && is_overdue {
            let (program, patience) = (session.pid(), humantime::format_duration(patience));
            log::warn!(
                "its program (process {program}) has answered everything and not ended for {patience} (stop_timeout): it is \
                 ended by SIGTERM"
            );
        }
        if readiness::is_terminated() || is_stopped || is_overdue {
            session.terminate(patience);
            return None;
        }
        let then = match self.reply {
            Reply::Protocol => "; it is ended after stop_timeout",
            Reply::One | Reply::UntilEmpty => "",
        };
        parting.lingering.look(session.pid(), then);
        [parting.lingering.deadline(false), is_bounded.then_some(limit)].into_iter().flatten().min()
    }
}

/// A program that was given the end of its input.
struct Parting {
    start: Instant,
    /// There was nothing more for it; else it is only this worker that has to go.
    has_had_all: bool,
    /// The pipeline was about to end already: then the program has had no time to end by itself.
    was_stopping: bool,
    lingering: Lingering,
}

impl Parting {
    fn new(ending: &Ending, was_stopping: bool) -> Parting {
        let (start, has_had_all) = (Instant::now(), *ending == Ending::InputEnded);
        let mut lingering = Lingering::default();
        if has_had_all {
            lingering.note(start);
        }
        Parting { start, has_had_all, was_stopping, lingering }
    }
}
