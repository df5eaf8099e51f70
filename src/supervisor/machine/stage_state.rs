//! One stage and its workers: what is wanted of them, what they are, and the steps from one to the other.

mod aim;
mod checks;
mod desired;
pub(super) mod ended;
mod roll;
mod schedule;
mod services;
mod steps;

use super::aims::Aims;
use super::condition::{Condition, Goal};
use super::failing::FailedRuns;
use super::ids::{StageKey, WorkerId};
use super::reason::{StartReason, StopReason};
use super::restart::{self, CountedFor, Intensity};
use super::totals::StageTotals;
use super::wanted::Version;
use super::worker_state::{Life, Over, StopRequest};
use crate::config::{self, Restart};
use crate::queue::{QueueId, StageId};
use std::rc::Rc;
use std::time::Instant;

/// What `autostart`, `mprun stop NAME STAGE` and `mprun start NAME STAGE`, and the broker, have made of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    /// It has no process until it is started again.
    Off,
    /// It has no process until the broker says from where it goes on here: another machine has it, or is asked.
    Elsewhere,
}

/// A stage, as it is wanted, and its workers, as they are.
#[derive(Debug)]
pub(super) struct StageState {
    pub key: StageKey,
    /// Its place in the arena, from the first start of a worker on.
    pub id: Option<StageId>,
    /// What the file says about it.
    pub spec: config::Stage,
    /// What its workers should do.
    pub version: Rc<Version>,
    /// That, and what comes after it.
    aims: Aims,
    /// Whether it is wanted.
    pub fate: Fate,
    pub workers: Vec<Worker>,
    /// Its token queues: the one in use, and during a reload the one to go back to. With the `use` that each is for.
    pub tokens: Vec<(String, QueueId)>,
    /// Its hidden queue for outputs that wait for room, once it has needed one.
    pub spill: Option<QueueId>,
    /// It isn't used any more, but holds outputs: kept until the file names the stage again.
    pub spill_retained: bool,
    /// The windows in which it keeps the order of an input, each with the name of that: the one of now, and others that are to go.
    pub windows: Vec<(String, QueueId)>,
    /// What its workers did.
    pub totals: StageTotals,
    /// New processes in place of old ones, by reason.
    pub restarts: std::collections::BTreeMap<String, u64>,
    /// Its workers finish their item and wait.
    pub paused: bool,
    pub switch: Switch,
    /// Counts the restarts that were asked for: workers of an earlier one make room.
    epoch: u32,
    /// Pauses are off, since the whole pipeline waits for it.
    skips_pauses: bool,
    /// One of its workers was started, at some time.
    begun: bool,
    /// It has done something, or had its program: it can be started.
    pub has_run: bool,
    /// Workers that were killed from outside one after another, none of which had done an item.
    pub killed_in_a_row: u32,
    /// Its restarts of late.
    pub intensity: Intensity,
}

/// Whether a stage is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the file.
    Wanted,
    /// It isn't any more.
    Removed {
        /// Its inputs go too: it works them off first, and ends when they end.
        drains: bool,
    },
    /// It failed too often.
    GaveUp,
}

/// A worker's place in the stage; several processes may fill it, one after the other.
#[derive(Debug)]
pub(super) struct Worker {
    /// `MPRUN_WORKER`.
    pub index: u32,
    /// What it does, or will do when it is started.
    pub version: Rc<Version>,
    /// Where it is in its life.
    pub life: Life,
    /// Its place goes when its process does.
    pub leaving: bool,
    /// It shows whether its version works: it hasn't become ready in it yet.
    pub trial: bool,
    /// Its stage is paused, and its process is at no item any more.
    pub at_rest: bool,
    /// Its process is its program: there is no worker.
    pub is_service: bool,
    /// Its process is a run that its stage's schedule has begun.
    is_run: bool,
    /// Such runs that have failed one after the other, up to the last one.
    pub failed_runs: Option<FailedRuns>,
    /// How far that is, as checks tell.
    pub condition: Condition,
    /// What is to be found out about it now.
    pub goal: Option<Box<Goal>>,
    epoch: u32,
    /// How often it failed since it last ran well.
    pub bad_runs: u32,
    /// It was there when the stage was new.
    is_first: bool,
}

/// One kill is none in a row.
const LEAST_KILLS: u32 = 2;
/// A stage that is never to give up allows any number of restarts.
const MOST_KILLS: u32 = 10;

impl Worker {
    /// Beside which other restarts one of it counts.
    pub(super) fn counted_for(&self) -> CountedFor {
        if self.is_service { CountedFor::Process(self.index) } else { CountedFor::Stage }
    }

    /// One with nothing behind it.
    pub(super) fn new(index: u32, version: Rc<Version>, life: Life) -> Worker {
        let trial = !life.is_over();
        let (leaving, at_rest, is_first, is_run) = (false, false, false, false);
        let is_service = version.is_service();
        let (condition, goal) = (Condition::default(), None);
        Worker {
            index,
            version,
            life,
            leaving,
            trial,
            at_rest,
            is_service,
            is_run,
            failed_runs: None,
            condition,
            goal,
            epoch: 0,
            bad_runs: 0,
            is_first,
        }
    }
}

impl StageState {
    /// A worker that is there already, or was about to be started for the first time.
    pub(super) fn resume(&mut self, mut worker: Worker) {
        worker.is_first = worker.life == Life::Due(StartReason::New);
        worker.is_run = self.spec.rules.schedule.is_some();
        self.begun |= !worker.is_first;
        self.has_run |= !worker.is_first;
        self.workers.push(worker);
    }

    /// A stage without workers yet: they come with [`StageState::scale`].
    pub(super) fn new(key: StageKey, spec: config::Stage, version: Rc<Version>) -> StageState {
        let is_source = version.is_source();
        let is_service = version.is_service();
        let totals = StageTotals { name: spec.name.clone(), is_source, is_service, ..StageTotals::default() };
        let switch = match spec.placed {
            _ if !spec.rules.autostart => Switch::Off,
            Some(_) => Switch::Elsewhere,
            None => Switch::On,
        };
        StageState {
            key,
            id: None,
            spec,
            aims: Aims::new(Rc::clone(&version)),
            version,
            fate: Fate::Wanted,
            workers: Vec::new(),
            tokens: Vec::new(),
            spill: None,
            spill_retained: false,
            windows: Vec::new(),
            totals,
            restarts: Default::default(),
            paused: false,
            switch,
            epoch: 0,
            skips_pauses: false,
            begun: false,
            has_run: false,
            killed_in_a_row: 0,
            intensity: Intensity::default(),
        }
    }

    /// A worker by its index.
    pub(super) fn find(&self, index: u32) -> Option<usize> {
        self.workers.iter().position(|worker| worker.index == index)
    }

    /// Whether it has no process for now: it was stopped by hand, or is elsewhere.
    pub(super) fn is_off(&self) -> bool {
        self.switch != Switch::On
    }

    /// Whether no work of it is wanted on this machine.
    pub(super) fn is_unwanted_here(&self) -> bool {
        self.switch == Switch::Off || self.fate == Fate::GaveUp
    }

    /// Whether no worker of it is there, and none is started as things are.
    pub(super) fn stands_still(&self) -> bool {
        (self.is_off() || self.fate == Fate::GaveUp) && self.is_over()
    }

    /// Whether none of its workers was ever started.
    pub(super) fn is_unbegun(&self) -> bool {
        !self.begun
    }

    /// Whether one of its workers has yet to become ready for the first time.
    pub(super) fn is_awaited(&self) -> bool {
        let is_coming = |worker: &Worker| worker.trial && !worker.life.is_over();
        self.fate == Fate::Wanted && !self.is_off() && self.staying().any(is_coming)
    }

    /// Whether it is through, and not only off for now.
    pub(super) fn is_through(&self) -> bool {
        self.is_over() && !self.is_off()
    }

    /// Whether none of its workers will be started again as things are.
    pub(super) fn is_over(&self) -> bool {
        self.workers.iter().all(|worker| worker.life.is_over())
    }

    /// The versions by which it may still take and put items, now or once it is as wanted; one may come more than once.
    pub(super) fn live_versions(&self) -> impl Iterator<Item = &Version> {
        let wanted = self.fate == Fate::Wanted && (self.is_off() || !self.is_over());
        let workers = self.workers.iter().filter(|worker| !worker.life.is_over());
        let others = workers
            .map(|worker| &worker.version)
            .filter(move |&own| !wanted || !Rc::ptr_eq(own, &self.version));
        wanted.then_some(&self.version).into_iter().chain(others).map(Rc::as_ref)
    }

    /// Whether a process is there that is attached to `queue`.
    pub(super) fn holds_open(&self, queue: QueueId) -> bool {
        self.workers.iter().any(|worker| worker.life.has_process() && worker.version.uses(queue))
    }

    /// Its hidden queue for outputs, if that has to go.
    pub(super) fn unwanted_spill(&self) -> Option<QueueId> {
        let used = !matches!(self.fate, Fate::Removed { .. }) && self.version.spill.is_some();
        self.spill.filter(|_| !used && !self.spill_retained)
    }

    /// The window of now, if it keeps an order.
    pub(super) fn window(&self) -> Option<QueueId> {
        let input = self.spec.window().and(self.spec.work.inputs.first())?;
        self.windows.iter().find(|(of, _)| of == input).map(|(_, window)| *window)
    }

    /// Its windows that have to go.
    pub(super) fn unwanted_windows(&self) -> impl Iterator<Item = QueueId> {
        let used = if matches!(self.fate, Fate::Removed { .. }) { None } else { self.window() };
        self.windows.iter().map(|(_, window)| *window).filter(move |window| Some(*window) != used)
    }

    /// The earliest moment at which time alone changes something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_worker = |worker: &Worker| {
            let others = self.recycled_at(worker).into_iter().chain(self.ready_by(worker));
            worker.life.deadline().into_iter().chain(others).min()
        };
        self.workers.iter().filter_map(of_worker).min()
    }

    /// Whether every worker is as wanted and has shown that it works.
    pub(super) fn is_settled(&self) -> bool {
        match self.fate {
            Fate::GaveUp => true,
            Fate::Removed { .. } => self.is_over(),
            Fate::Wanted if self.reads_others_first() => self.is_through(),
            Fate::Wanted if self.is_off() => self.is_over(),
            Fate::Wanted => self.staying().all(|worker| {
                !worker.trial && self.is_current(worker) && !self.is_being_replaced(worker)
                    || self.may_end_first(worker)
                    || self.waits_for_resume(worker) && self.is_current(worker)
            }),
        }
    }

    /// Whether it is a service that is to be started, but not as long as its stage is paused: a worker stops before its
    /// first item by itself, but a program would run until it is suspended.
    pub(super) fn waits_for_resume(&self, worker: &Worker) -> bool {
        self.paused && worker.version.is_service() && matches!(worker.life, Life::Due(_))
    }

    /// Whether it is a run under way that ends by itself, as it was begun: a change counts from the next one on.
    fn may_end_first(&self, worker: &Worker) -> bool {
        let is_change = worker.epoch == self.epoch && !self.is_of_version(worker);
        let has_queues = |version: &Version| version.queues().next().is_some();
        worker.is_run
            && self.spec.rules.schedule.is_some()
            && worker.life.process().is_some_and(|process| process.requested == StopRequest::Nothing)
            && is_change
            && !(has_queues(&worker.version) || has_queues(&self.version))
    }

    fn is_current(&self, worker: &Worker) -> bool {
        worker.epoch == self.epoch && self.is_of_version(worker)
    }

    fn is_of_version(&self, worker: &Worker) -> bool {
        Rc::ptr_eq(&worker.version, &self.version) || worker.version == self.version
    }

    /// Whether it is paused, and none of its workers is at an item any more.
    pub(super) fn is_at_rest(&self) -> bool {
        self.paused && self.workers.iter().all(|worker| worker.at_rest || !worker.life.has_process())
    }

    /// The workers that are to stay.
    pub(super) fn staying(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| !worker.leaving)
    }

    /// Whether a worker of it ended with one restart too many.
    pub(super) fn has_given_up_worker(&self) -> bool {
        self.workers.iter().any(|worker| worker.life == Life::Over(Over::GaveUp))
    }

    /// From this number on, kills in a row are shown: as many as restarts are allowed, within bounds.
    pub(super) fn many_kills(&self) -> u32 {
        self.spec.rules.give_up.restarts.clamp(LEAST_KILLS, MOST_KILLS)
    }

    /// Whether it has come to nothing: all its workers are over, and none of them saw the end of the work.
    pub(super) fn has_failed(&self) -> bool {
        let any = |over| self.workers.iter().any(|worker| worker.life == Life::Over(over));
        let shared_end = any(Over::Finished) && self.version.token.is_some();
        self.is_over()
            && any(Over::Failed)
            && !(shared_end || any(Over::InputEnded) || any(Over::OutputClosed))
    }

    /// Whether it has come to its end by itself: no worker of it will write again.
    pub(super) fn has_ended(&self) -> bool {
        let any = |over| self.workers.iter().any(|worker| worker.life == Life::Over(over));
        let has_seen_end = any(Over::Finished) || any(Over::InputEnded);
        self.fate == Fate::Wanted && self.is_through() && has_seen_end && !self.has_given_up_worker()
    }

    /// Whether it is through with a position that all its workers share, and is to start over.
    pub(super) fn starts_over(&self) -> bool {
        self.fate == Fate::Wanted
            && self.spec.rules.restart == Restart::Always
            && self.version.token.is_some()
            && !self.workers.is_empty()
            && self.workers.iter().all(|worker| worker.life == Life::Over(Over::Finished))
    }

    /// Whether it was requested to end, and another one takes its place.
    fn is_being_replaced(&self, worker: &Worker) -> bool {
        let now = worker.life.requested().map(|why| self.still_meant(worker, why));
        matches!(now, Some(StopReason::Changed | StopReason::Requested))
    }

    /// What its stop means now: a worker that was to go for good, and is wanted again before it has gone, makes room for a
    /// fresh one.
    fn still_meant(&self, worker: &Worker, why: StopReason) -> StopReason {
        let is_off = self.is_off() || self.fate != Fate::Wanted;
        let again = match why {
            StopReason::ByHand | StopReason::Elsewhere | StopReason::GaveUp => !is_off,
            StopReason::Scaled | StopReason::Removed => !worker.leaving,
            _ => false,
        };
        match (again, &self.spec.rules.schedule) {
            (false, _) => why,
            (true, None) => StopReason::Requested,
            (true, Some(_)) => StopReason::Changed, // the fresh one waits for its time
        }
    }

    fn name(&self, i: usize) -> String {
        let index = self.workers[i].index;
        restart::name(&self.spec.name, WorkerId { stage: self.key, index })
    }
}
