//! What is wanted of a stage's workers: more or fewer of them, that they end, that they hurry.

use super::{Fate, Stage, Worker};
use crate::queue::Order;
use crate::supervisor::machine::effect::Action;
use crate::supervisor::machine::effects::Outbox;
use crate::supervisor::machine::reason::{StartReason, StopReason};
use crate::supervisor::machine::worker_state::{Asked, Life, Over, Process, Step};
use std::rc::Rc;
use std::time::Instant;

impl Stage {
    /// Adds workers, or tells the newest to leave, until there are as many as wanted.
    pub fn scale(&mut self, out: &mut Outbox) {
        let wanted = usize::try_from(self.spec.processes).unwrap_or(usize::MAX);
        let staying = self.staying().count();
        for _ in wanted..staying {
            if let Some(newest) = self.workers.iter().rposition(|worker| !worker.leaving) {
                self.dismiss(newest, StopReason::Scaled, None, out);
            }
        }
        for _ in staying..wanted {
            self.add_or_keep(out);
        }
    }

    fn add_or_keep(&mut self, out: &mut Outbox) {
        let called_back = |worker: &Worker| {
            worker.leaving && matches!(worker.life.process(), Some(Process { asked: Asked::Finish(..), .. }))
        };
        if let Some(i) = self.workers.iter().position(called_back) {
            self.workers[i].leaving = false;
            return self.apply(i, Step::Relent, out);
        }
        let life = match self.workers.first() {
            // The stage is through: one worker more finds nothing to do, or would do it all again.
            Some(first) if self.is_over() => first.life,
            Some(_) | None if self.begun => Life::Due(StartReason::Scaled),
            Some(_) | None => Life::Due(StartReason::New),
        };
        let index = (0..).find(|index| self.find(*index).is_none()).unwrap_or(u32::MAX);
        let at = self.workers.partition_point(|worker| worker.index < index);
        let version = Rc::clone(&self.version);
        let trial = !life.is_over();
        self.workers.insert(
            at,
            Worker {
                index,
                version,
                life,
                leaving: false,
                trial,
                at_rest: false,
                epoch: self.epoch,
                bad_runs: 0,
                is_first: life == Life::Due(StartReason::New),
            },
        );
    }

    /// A worker ends after its item (or by `until`), and its place goes.
    fn dismiss(&mut self, i: usize, why: StopReason, until: Option<Instant>, out: &mut Outbox) {
        if self.workers[i].life.has_process() {
            self.workers[i].leaving = true;
            self.apply(i, Step::Ask(Asked::Finish(why, until)), out);
        } else {
            self.workers.remove(i);
        }
    }

    /// All workers end after their items and their places go: the stage was removed.
    pub fn dismiss_all(&mut self, until: Instant, out: &mut Outbox) {
        for i in (0..self.workers.len()).rev() {
            self.dismiss(i, StopReason::Removed, Some(until), out);
        }
    }

    /// All workers end after their items, and stay over.
    pub fn retire(&mut self, why: StopReason, over: Over, until: Option<Instant>, out: &mut Outbox) {
        for i in 0..self.workers.len() {
            self.ask_or_end(i, Asked::Finish(why, until), over, out);
        }
    }

    /// All workers die now, and are killed if they don't.
    pub fn terminate(&mut self, out: &mut Outbox) {
        let until = out.now + self.spec.rules.stop_timeout;
        for i in 0..self.workers.len() {
            self.ask_or_end(i, Asked::Term(StopReason::Stopping, until), Over::Stopped, out);
        }
    }

    /// All workers are killed now.
    pub fn kill(&mut self, out: &mut Outbox) {
        for i in 0..self.workers.len() {
            self.ask_or_end(i, Asked::Kill(StopReason::Stopping), Over::Stopped, out);
        }
    }

    fn ask_or_end(&mut self, i: usize, asked: Asked, over: Over, out: &mut Outbox) {
        let worker = &mut self.workers[i];
        if worker.life.has_process() {
            self.apply(i, Step::Ask(asked), out);
        } else if !worker.life.is_over() {
            worker.life = Life::Over(over);
            worker.trial = false;
        }
    }

    /// Ends the others of a stage that nobody listens to.
    pub fn end_if_unheard(&mut self, out: &mut Outbox) {
        if self.workers.iter().any(|worker| worker.life == Life::Over(Over::OutputClosed)) {
            self.retire(StopReason::OutputClosed, Over::OutputClosed, None, out);
        }
    }

    /// Pauses off (or on again).
    pub fn hurry(&mut self, on: bool, out: &mut Outbox) {
        if self.hurried == on {
            return;
        }
        self.hurried = on;
        self.tell_standing_order(out);
    }

    /// Workers finish their item and wait (or go on).
    pub fn pause(&mut self, on: bool, out: &mut Outbox) {
        if self.paused != on {
            self.paused = on;
            self.workers.iter_mut().for_each(|worker| worker.at_rest = false);
            self.tell_standing_order(out);
        }
    }

    /// Fresh workers take the places of all that are there, one by one.
    pub fn restart(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn tell_standing_order(&self, out: &mut Outbox) {
        for worker in &self.workers {
            if let Some(process) = worker.life.process()
                && process.asked == Asked::Nothing
            {
                out.act(Action::Order(process.slot, process.pid, self.standing_order()));
            }
        }
    }

    pub(super) fn standing_order(&self) -> Order {
        match (self.hurried, self.paused) {
            (true, _) => Order::Drain,
            (false, true) => Order::Pause,
            (false, false) => Order::Run,
        }
    }

    /// There is somebody again who reads what it writes.
    pub fn heard_again(&mut self, out: &mut Outbox) {
        self.revive(Over::OutputClosed, StartReason::WorkAgain);
        for i in 0..self.workers.len() {
            let worker = &self.workers[i];
            let asked = worker.life.process().and_then(|process| process.asked.reason());
            // One whose place goes was asked for another reason as well.
            if asked == Some(StopReason::OutputClosed) && !worker.leaving {
                self.apply(i, Step::Relent, out);
            }
        }
    }

    /// Starts workers again that were over for this reason.
    pub fn revive(&mut self, over: Over, why: StartReason) {
        for worker in self.workers.iter_mut().filter(|worker| worker.life == Life::Over(over)) {
            worker.life = Life::Due(why);
        }
    }

    /// Another chance for a stage that gave up.
    pub fn forgive(&mut self) {
        self.fate = Fate::Wanted;
        self.intensity.forget();
        for worker in &mut self.workers {
            worker.bad_runs = 0;
        }
        self.revive(Over::GaveUp, StartReason::WantedAgain);
        self.revive(Over::Failed, StartReason::WantedAgain);
    }
}
