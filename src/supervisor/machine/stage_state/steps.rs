//! The steps of a stage's workers: each changes one worker's life, with the effect that belongs to it.

use super::StageState;
use crate::config;
use crate::config::pipeline::Probe;
use crate::queue::{Order, SlotId};
use crate::supervisor::machine::condition::{Condition, Health};
use crate::supervisor::machine::effect::{Effect, Effects, Spawn};
use crate::supervisor::machine::history::TransitionKind;
use crate::supervisor::machine::ids::{Pid, WorkerId};
use crate::supervisor::machine::reason::{StartReason, StopReason};
use crate::supervisor::machine::worker_state::{Life, Process, StopRequest, WorkerEffect, WorkerEvent};
use log::Level;
use std::rc::Rc;

impl StageState {
    /// Time has passed.
    pub(crate) fn tick(&mut self, out: &mut Effects) {
        self.leave_out_runs(out);
        for i in 0..self.workers.len() {
            if self.recycled_at(&self.workers[i]).is_some_and(|at| at <= out.now) {
                self.recycle(i, out);
            }
            if self.ready_by(&self.workers[i]).is_some_and(|at| at <= out.now) {
                self.not_ready_in_time(i, out);
            }
            self.apply(i, WorkerEvent::Tick, out);
        }
    }

    /// Starts a worker that is due.
    pub(crate) fn start(&mut self, i: usize, slot: SlotId, out: &mut Effects) {
        self.begun = true;
        self.workers[i].is_service = self.workers[i].version.is_service();
        self.workers[i].is_run = self.spec.rules.schedule.is_some();
        if let Life::Due(why) = self.workers[i].life {
            let why = match why {
                StartReason::New if !self.spec.after.is_empty() => StartReason::ItsTurn,
                other => other,
            };
            out.transition(self.name(i), TransitionKind::Started(why));
        }
        self.apply(i, WorkerEvent::Start(slot), out);
    }

    /// A worker has a process.
    pub(crate) fn spawned(&mut self, i: usize, pid: Pid, out: &mut Effects) {
        self.workers[i].at_rest = false;
        self.workers[i].condition = Condition::Unbegun;
        self.apply(i, WorkerEvent::Spawned(pid), out);
    }

    /// A worker has built its stage, or a service can serve.
    pub(crate) fn ready(&mut self, i: usize, out: &mut Effects) {
        self.workers[i].trial = false;
        self.workers[i].condition = Condition::Ready(Health::Unknown);
        self.apply(i, WorkerEvent::Ready, out);
        if self.paused {
            self.suspend(i, true, out);
        }
    }

    /// Where it is a service that runs: its processes stand still, or go on. Before its program has begun it must not be
    /// suspended, for nothing would tell that it has come so far; nor while it ends, for it would be killed for that.
    pub(super) fn suspend(&mut self, i: usize, on: bool, out: &mut Effects) {
        let worker = &mut self.workers[i];
        if let Condition::Starting { since, .. } = &mut worker.condition {
            *since = out.now; // a pause is no part of its time
        }
        let may_stand_still =
            |process: &Process| worker.condition.has_begun() && process.requested == StopRequest::Nothing;
        let process = worker.life.process().filter(|process| worker.is_service && may_stand_still(process));
        worker.at_rest = on && process.is_some();
        out.list.extend(process.map(|process| Effect::Suspend(process.pid, on)));
    }

    /// Continues processes of services that are to end: a signal from outside may have stopped them.
    pub(crate) fn continue_ending(&self, out: &mut Effects) {
        let services = self.workers.iter().filter(|worker| worker.is_service);
        let processes = services.filter_map(|worker| worker.life.process());
        let ending = processes.filter(|process| matches!(process.requested, StopRequest::Term(..)));
        out.list.extend(ending.map(|process| Effect::Suspend(process.pid, false)));
    }

    /// A worker was stopped by a signal where it holds up all others.
    pub(crate) fn kill_holder(&mut self, i: usize, out: &mut Effects) {
        self.apply(i, WorkerEvent::Ask(StopRequest::Kill(StopReason::HoldsLock)), out);
    }

    /// Other settings for the workers that run.
    pub(crate) fn tune(&mut self, tuning: config::Tuning, out: &mut Effects) {
        for process in self.with_worker() {
            out.push(Effect::Tune(process.slot, process.pid, tuning));
        }
    }

    pub(super) fn apply(&mut self, i: usize, event: WorkerEvent, out: &mut Effects) {
        let (worker, stop_timeout) = (&mut self.workers[i], self.spec.rules.stop_timeout);
        let event = match event {
            WorkerEvent::Ask(request) if worker.is_service => {
                WorkerEvent::Ask(request.by_signal(out.now + stop_timeout))
            }
            other => other,
        };
        let (life, effect) = worker.life.on(event, out.now, stop_timeout);
        worker.life = life;
        let Some(effect) = effect else { return };
        match effect {
            WorkerEffect::Spawn(slot) => out.push(Effect::Spawn(self.spawn(i, slot))),
            WorkerEffect::Order(process, Order::Finish) => {
                let why = process.requested.reason();
                why.into_iter().for_each(|why| out.transition(self.name(i), TransitionKind::Asked(why)));
                out.push(Effect::Order(process.slot, process.pid, Order::Finish));
            }
            // A standing order, whichever it is now.
            WorkerEffect::Order(process, Order::Run | Order::Drain | Order::Pause) => {
                out.push(Effect::Order(process.slot, process.pid, self.standing_order()));
            }
            WorkerEffect::Term(process, why) => {
                self.workers[i].at_rest = false; // the signal continues it
                let (name, kind) = (self.name(i), TransitionKind::Terminated(why));
                // To a service it is what an order is to a worker.
                let is_plain = self.workers[i].is_service && self.complaint(i, why).is_none();
                let level = if is_plain { Level::Debug } else { kind.level() };
                out.transition_as(level, name, kind.to_string(), kind);
                out.push(Effect::Term(process.pid));
            }
            WorkerEffect::Kill(process, why) => {
                out.transition(self.name(i), TransitionKind::Killed(why));
                out.push(Effect::Kill(process.pid));
            }
        }
    }

    /// How a service says by itself that it is ready.
    pub(crate) fn announces(&self) -> Option<Probe> {
        self.spec.ready.as_ref().map(|ready| &ready.probe).filter(|probe| !probe.is_tried()).cloned()
    }

    fn spawn(&self, i: usize, slot: SlotId) -> Spawn {
        let worker = &self.workers[i];
        Spawn {
            worker: WorkerId { stage: self.key, index: worker.index },
            stage: self.spec.name.clone(),
            slot,
            stage_id: self.id,
            version: Rc::clone(&worker.version),
            tuning: self.spec.tuning,
            order: self.standing_order(),
            stop_timeout: self.spec.rules.stop_timeout,
            announces: self.announces(),
        }
    }
}
