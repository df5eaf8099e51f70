//! What is wanted of a stage's workers: more or fewer of them, that they end, that they hurry.

use super::schedule::is_waiting;
use super::{Fate, StageState, Switch, Worker};
use crate::queue::Order;
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::reason::{StartReason, StopReason};
use crate::supervisor::machine::worker_state::{Life, Over, StopRequest, WorkerEvent};
use std::rc::Rc;
use std::time::Instant;

impl StageState {
    /// Adds workers, or removes the newest, until there are as many as wanted.
    pub(crate) fn scale(&mut self, out: &mut Effects) {
        let wanted = usize::try_from(self.spec.processes).unwrap_or(usize::MAX);
        let staying = self.staying().count();
        for _ in wanted..staying {
            if let Some(newest) = self.workers.iter().rposition(|worker| !worker.leaving) {
                self.remove_worker(newest, StopReason::Scaled, None, out);
            }
        }
        self.workers.reserve_exact(wanted.saturating_sub(staying));
        for _ in staying..wanted {
            self.add_or_keep(out);
        }
    }

    fn add_or_keep(&mut self, out: &mut Effects) {
        // One that can't be called back any more is followed by a fresh one in its place.
        if let Some(i) = self.workers.iter().position(|worker| worker.leaving) {
            self.workers[i].leaving = false;
            return self.apply(i, WorkerEvent::CancelStop, out);
        }
        let life = match self.workers.first() {
            // The stage is through: one worker more finds nothing to do, or would do it all again.
            Some(first) if self.is_over() => first.life,
            Some(_) | None if self.begun => Life::Due(StartReason::Scaled),
            Some(_) | None => Life::Due(StartReason::New),
        };
        let life = match life {
            Life::Due(_) => self.wait_for_time(out).unwrap_or(life),
            other => other,
        };
        // They stand in the order of their indices: the first gap is the least that is free.
        let at = (0..).zip(&self.workers).take_while(|(index, worker)| worker.index == *index).count();
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let mut worker = Worker::new(index, Rc::clone(&self.version), life);
        worker.epoch = self.epoch;
        worker.trial &= !is_waiting(&worker);
        worker.is_first = life == Life::Due(StartReason::New);
        self.workers.insert(at, worker);
    }

    /// A worker ends after its item (or by `until`), and its place goes.
    fn remove_worker(&mut self, i: usize, why: StopReason, until: Option<Instant>, out: &mut Effects) {
        if self.workers[i].life.has_process() {
            self.workers[i].leaving = true;
            self.apply(i, WorkerEvent::Ask(StopRequest::Finish(why, until)), out);
        } else {
            self.workers.remove(i);
        }
    }

    /// All workers end after their items and their places go: the stage was removed.
    pub(crate) fn remove_all_workers(&mut self, until: Instant, out: &mut Effects) {
        for i in (0..self.workers.len()).rev() {
            self.remove_worker(i, StopReason::Removed, Some(until), out);
        }
    }

    /// All workers end after their items, and stay over.
    pub(crate) fn finish_all(
        &mut self,
        why: StopReason,
        over: Over,
        until: Option<Instant>,
        out: &mut Effects,
    ) {
        for i in 0..self.workers.len() {
            self.request_or_end(i, StopRequest::Finish(why, until), over, out);
        }
    }

    /// All workers of a stage that gave up end after their items, within `stop_timeout`.
    pub(crate) fn finish_given_up(&mut self, out: &mut Effects) {
        let until = out.now + self.spec.rules.stop_timeout;
        self.finish_all(StopReason::GaveUp, Over::GaveUp, Some(until), out);
    }

    /// All workers end after their items, within `stop_timeout`, and stay away until it is started.
    pub(crate) fn finish_stopped(&mut self, out: &mut Effects) {
        let until = out.now + self.spec.rules.stop_timeout;
        let why = if self.switch == Switch::Off { StopReason::ByHand } else { StopReason::Elsewhere };
        self.finish_all(why, Over::ByHand, Some(until), out);
    }

    /// The broker has said from where it goes on here.
    pub(crate) fn arrive(&mut self, out: &mut Effects) {
        if self.switch != Switch::Elsewhere {
            return;
        }
        self.switch = Switch::On;
        let waits = self.wait_for_time(out);
        let why = if self.begun { StartReason::Here } else { StartReason::New };
        for worker in self.workers.iter_mut().filter(|worker| worker.life.is_over()) {
            worker.life = waits.unwrap_or(Life::Due(why));
            (worker.bad_runs, worker.trial) = (0, waits.is_none());
        }
    }

    /// Its workers end: another machine has it, or the broker has another position.
    pub(crate) fn depart(&mut self) {
        if self.switch == Switch::On && self.spec.placed.is_some() {
            self.switch = Switch::Elsewhere;
        }
    }

    /// There is nothing to do for it in this run: another life of this machine has done it, or its queues have ended.
    pub(crate) fn was_done_before(&mut self, out: &mut Effects) {
        let waits_for_broker = self.switch == Switch::Elsewhere && self.is_over();
        if self.begun && !waits_for_broker {
            return;
        }
        self.switch = Switch::On;
        // One that waits for the broker has no workers yet.
        self.scale(out);
        for worker in &mut self.workers {
            (worker.life, worker.trial) = (Life::Over(Over::Finished), false);
        }
    }

    /// Runs again, as the file says it now; a service also where it has ended by itself, for no work was done that must not
    /// be done twice.
    pub(crate) fn start_again(&mut self, out: &mut Effects) {
        if self.spec.placed.is_some() {
            self.switch = Switch::Elsewhere;
            return;
        }
        self.switch = Switch::On;
        let waits = self.wait_for_time(out);
        let is_service = self.version.is_service();
        let is_meant = |worker: &&mut Worker| {
            worker.life == Life::Over(Over::ByHand) || (is_service && worker.life.is_over())
        };
        for worker in self.workers.iter_mut().filter(is_meant) {
            worker.life = waits.unwrap_or(Life::Due(StartReason::Requested));
            (worker.bad_runs, worker.trial) = (0, waits.is_none());
        }
    }

    /// All workers die now, and are killed if they don't.
    pub(crate) fn terminate(&mut self, out: &mut Effects) {
        let until = out.now + self.spec.rules.stop_timeout;
        for i in 0..self.workers.len() {
            self.request_or_end(i, StopRequest::Term(StopReason::Stopping, until), Over::Stopped, out);
        }
    }

    /// All workers are killed now.
    pub(crate) fn kill(&mut self, out: &mut Effects) {
        for i in 0..self.workers.len() {
            self.request_or_end(i, StopRequest::Kill(StopReason::Stopping), Over::Stopped, out);
        }
    }

    fn request_or_end(&mut self, i: usize, requested: StopRequest, over: Over, out: &mut Effects) {
        let worker = &mut self.workers[i];
        if worker.life.has_process() {
            self.apply(i, WorkerEvent::Ask(requested), out);
        } else if !worker.life.is_over() {
            worker.life = Life::Over(over);
            worker.trial = false;
        }
    }

    /// Ends the others of a stage whose output has no reader.
    pub(crate) fn end_if_output_closed(&mut self, out: &mut Effects) {
        if self.workers.iter().any(|worker| worker.life == Life::Over(Over::OutputClosed)) {
            self.finish_all(StopReason::OutputClosed, Over::OutputClosed, None, out);
        }
    }

    /// Pauses off (or on again).
    pub(crate) fn skip_pauses(&mut self, on: bool, out: &mut Effects) {
        if self.skips_pauses == on {
            return;
        }
        self.skips_pauses = on;
        self.send_standing_order(out);
    }

    /// Workers finish their item and wait (or go on).
    pub(crate) fn pause(&mut self, on: bool, out: &mut Effects) {
        if self.paused != on {
            self.paused = on;
            (0..self.workers.len()).for_each(|i| self.suspend(i, on, out));
            self.send_standing_order(out);
        }
    }

    /// Fresh workers take the places of all that are there, one by one.
    pub(crate) fn restart(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn send_standing_order(&self, out: &mut Effects) {
        for process in self.with_worker() {
            if process.requested == StopRequest::Nothing {
                out.push(Effect::Order(process.slot, process.pid, self.standing_order()));
            }
        }
    }

    pub(super) fn standing_order(&self) -> Order {
        match (self.skips_pauses, self.paused) {
            (true, _) => Order::Drain,
            (false, true) => Order::Pause,
            (false, false) => Order::Run,
        }
    }

    /// Its output has a reader again.
    pub(crate) fn output_reopened(&mut self, out: &mut Effects) {
        self.revive(Over::OutputClosed, StartReason::WorkAgain);
        for i in 0..self.workers.len() {
            let worker = &self.workers[i];
            let requested = worker.life.process().and_then(|process| process.requested.reason());
            // One whose place goes was asked for another reason as well.
            if requested == Some(StopReason::OutputClosed) && !worker.leaving {
                self.apply(i, WorkerEvent::CancelStop, out);
            }
        }
    }

    /// Starts workers again that were over for this reason.
    pub(crate) fn revive(&mut self, over: Over, why: StartReason) {
        for worker in self.workers.iter_mut().filter(|worker| worker.life == Life::Over(over)) {
            worker.life = Life::Due(why);
        }
    }

    /// The file names it, perhaps again; `changed`: with other settings than before.
    pub(crate) fn named(&mut self, changed: bool) {
        match self.fate {
            Fate::Wanted => {}
            Fate::Removed { .. } => {
                self.fate = Fate::Wanted;
                // What could not work its items off is wanted for more than that now.
                self.revive(Over::GaveUp, StartReason::WantedAgain);
            }
            Fate::GaveUp if changed => self.reset_give_up(),
            Fate::GaveUp => {}
        }
    }

    /// Another chance for a stage that gave up.
    pub(crate) fn reset_give_up(&mut self) {
        self.fate = Fate::Wanted;
        self.depart(); // where it goes on is asked for anew
        self.intensity.forget_all();
        for worker in &mut self.workers {
            worker.bad_runs = 0;
        }
        self.revive(Over::GaveUp, StartReason::WantedAgain);
        self.revive(Over::Failed, StartReason::WantedAgain);
    }
}
