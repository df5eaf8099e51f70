//! One stage and its workers: what is wanted of them, what they are, and the steps from one to the other.

use super::action::{Action, Release, Spawn, StageTotals};
use super::event::Work;
use super::history::Change;
use super::ids::{Pid, StageKey, WorkerId};
use super::outbox::Outbox;
use super::reason::{End, StartReason, StopReason, spoken};
use super::restart::{self, Circumstances, Intensity, Next, Stopping};
use super::wanted::Version;
use super::worker_state::{Asked, Life, Over, Process, Push, Step};
use crate::config::{self, Restart};
use crate::queue::{Blame, Ending, Order, QueueId, SlotId};
use crate::sys::wait::Exit;
use log::Level;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A stage, as it is wanted, and its workers, as they are.
#[derive(Debug)]
pub struct Stage {
    /// Which.
    pub key: StageKey,
    /// What the file says about it.
    pub spec: config::Stage,
    /// What its workers should do.
    pub version: Rc<Version>,
    /// Whether it is wanted.
    pub fate: Fate,
    /// By index.
    pub workers: Vec<Worker>,
    /// Its token queues: the one in use, and during a reload the one to go back to. With the `use` that each is for.
    pub tokens: Vec<(String, QueueId)>,
    /// Its hidden queue for outputs that wait for room, once it has needed one.
    pub outbox: Option<QueueId>,
    /// What its workers did.
    pub totals: StageTotals,
    /// Pauses are off: everybody waits for it.
    hurried: bool,
    /// One of its workers was started, at some time.
    begun: bool,
    intensity: Intensity,
}

/// Whether a stage is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
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

/// One worker.
#[derive(Debug)]
pub struct Worker {
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
    bad_runs: u32,
}

/// What an ended worker means for its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All in order.
    Fine,
    /// It never became ready in its new version.
    TrialFailed,
    /// Too many restarts.
    GaveUp,
}

impl Stage {
    /// A stage without workers yet: they come with [`Stage::scale`].
    pub fn new(key: StageKey, spec: config::Stage, version: Rc<Version>) -> Stage {
        let is_source = version.is_source();
        let totals = StageTotals { name: spec.name.clone(), is_source, ..StageTotals::default() };
        Stage {
            key,
            spec,
            version,
            fate: Fate::Wanted,
            workers: Vec::new(),
            tokens: Vec::new(),
            outbox: None,
            totals,
            hurried: false,
            begun: false,
            intensity: Intensity::default(),
        }
    }

    /// A worker by its index.
    pub fn find(&self, index: u32) -> Option<usize> {
        self.workers.iter().position(|worker| worker.index == index)
    }

    /// Whether all of it has finished for good.
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(|worker| worker.life.is_over())
    }

    /// Whether it may still put items into `queue`, now or once it is as wanted.
    pub fn writes(&self, queue: QueueId) -> bool {
        self.may_use(|version| version.outputs.contains(&queue))
    }

    /// Whether it may still take items from `queue`, now or once it is as wanted.
    pub fn reads(&self, queue: QueueId) -> bool {
        self.may_use(|version| version.inputs.contains(&queue))
    }

    fn may_use(&self, uses: impl Fn(&Version) -> bool) -> bool {
        let wanted = self.fate == Fate::Wanted && uses(&self.version) && !self.is_over();
        wanted || self.workers.iter().any(|worker| !worker.life.is_over() && uses(&worker.version))
    }

    /// Whether a process is there that is attached to `queue`.
    pub fn holds_open(&self, queue: QueueId) -> bool {
        self.workers.iter().any(|worker| worker.life.has_process() && worker.version.uses(queue))
    }

    /// The earliest moment at which time alone changes something.
    pub fn deadline(&self) -> Option<Instant> {
        self.workers.iter().filter_map(|worker| worker.life.deadline()).min()
    }

    /// Whether every worker is as wanted and has shown that it works.
    pub fn is_settled(&self) -> bool {
        match self.fate {
            Fate::GaveUp => true,
            Fate::Removed { .. } => self.is_over(),
            Fate::Wanted => self.staying().all(|worker| {
                !worker.trial && self.is_current(worker) && !is_asked(worker, StopReason::Changed)
            }),
        }
    }

    /// The workers that are to stay.
    pub fn staying(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| !worker.leaving)
    }

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
        self.workers.insert(at, Worker { index, version, life, leaving: false, trial, bad_runs: 0 });
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

    /// Pauses off (or on again).
    pub fn hurry(&mut self, on: bool, out: &mut Outbox) {
        if self.hurried == on {
            return;
        }
        self.hurried = on;
        for worker in &self.workers {
            if let Some(process) = worker.life.process()
                && process.asked == Asked::Nothing
            {
                out.act(Action::Order(process.slot, process.pid, self.standing_order()));
            }
        }
    }

    fn standing_order(&self) -> Order {
        if self.hurried { Order::Drain } else { Order::Run }
    }

    /// Replaces workers of another version, one by one: the next one ends only when the one before is ready.
    pub fn roll(&mut self, out: &mut Outbox) {
        let mut busy = self.staying().any(|worker| worker.trial || is_asked(worker, StopReason::Changed));
        for i in 0..self.workers.len() {
            if self.workers[i].leaving {
                continue;
            }
            if self.is_current(&self.workers[i]) {
                // Asked to make room, but what it does is wanted again.
                if is_asked(&self.workers[i], StopReason::Changed) {
                    self.apply(i, Step::Relent, out);
                }
            } else {
                busy = self.renew(i, busy, out) || busy;
            }
        }
    }

    /// A step towards the wanted version for one worker. True: the others have to wait for it.
    fn renew(&mut self, i: usize, busy: bool, out: &mut Outbox) -> bool {
        let worker = &mut self.workers[i];
        match worker.life {
            Life::Due(_) | Life::Resting { .. } => {
                worker.life = Life::Due(StartReason::Changed);
                self.adopt(i);
                true
            }
            Life::Over(_) => {
                // A finished stage that is told to do something else does it; the same work once more it doesn't.
                if worker.version.work != self.version.work {
                    worker.life = Life::Due(StartReason::Changed);
                }
                self.adopt(i);
                false
            }
            Life::Alive(process) if process.asked == Asked::Nothing && !busy => {
                // One that isn't ready yet may be stuck where it can't see an order.
                let patience = (!process.ready).then(|| out.now + self.spec.rules.stop_timeout);
                self.apply(i, Step::Ask(Asked::Finish(StopReason::Changed, patience)), out);
                true
            }
            Life::Alive(_) | Life::Forking { .. } => false,
        }
    }

    fn is_current(&self, worker: &Worker) -> bool {
        Rc::ptr_eq(&worker.version, &self.version) || worker.version == self.version
    }

    fn adopt(&mut self, i: usize) {
        let worker = &mut self.workers[i];
        worker.version = Rc::clone(&self.version);
        worker.trial = !worker.life.is_over();
        worker.bad_runs = 0;
    }

    /// Ends the others of a stage that nobody listens to.
    pub fn end_if_unheard(&mut self, out: &mut Outbox) {
        if self.workers.iter().any(|worker| worker.life == Life::Over(Over::OutputClosed)) {
            self.retire(StopReason::OutputClosed, Over::OutputClosed, None, out);
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

    /// Whether a worker of it ended with one restart too many.
    pub fn has_given_up_worker(&self) -> bool {
        self.workers.iter().any(|worker| worker.life == Life::Over(Over::GaveUp))
    }

    /// Whether it has come to nothing: all its workers are over, and none of them saw the end of the work.
    pub fn has_failed(&self) -> bool {
        let any = |over| self.workers.iter().any(|worker| worker.life == Life::Over(over));
        let shared_end = any(Over::Finished) && self.version.token.is_some();
        self.is_over()
            && any(Over::Failed)
            && !(shared_end || any(Over::InputEnded) || any(Over::OutputClosed))
    }

    /// Whether it is through with a position that all its workers share, and is to start over.
    pub fn starts_over(&self) -> bool {
        self.fate == Fate::Wanted
            && self.spec.rules.restart == Restart::Always
            && self.version.token.is_some()
            && !self.workers.is_empty()
            && self.workers.iter().all(|worker| worker.life == Life::Over(Over::Finished))
    }

    /// Starts all over. One restart, for the intensity.
    pub fn start_over(&mut self, jitter: f64, out: &mut Outbox) -> Verdict {
        self.totals.restarts += 1;
        if self.intensity.exceeded(&self.spec.rules.give_up, out.now) {
            return Verdict::GaveUp;
        }
        let bad_runs = self.workers.iter().map(|worker| worker.bad_runs).max().unwrap_or(0);
        let delay = restart::delay(&self.spec.rules.backoff, bad_runs.saturating_sub(1), jitter);
        for worker in &mut self.workers {
            worker.life = rest(delay, StartReason::Always, out.now);
        }
        Verdict::Fine
    }

    /// Time has passed.
    pub fn tick(&mut self, out: &mut Outbox) {
        for i in 0..self.workers.len() {
            self.apply(i, Step::Tick, out);
        }
    }

    /// Starts a worker that is due.
    pub fn start(&mut self, i: usize, slot: SlotId, out: &mut Outbox) {
        self.begun = true;
        if let Life::Due(why) = self.workers[i].life {
            out.note(Level::Debug, self.name(i), Change::Started(why), format!("starts: {why}"));
        }
        self.apply(i, Step::Start(slot), out);
    }

    /// A worker has a process.
    pub fn spawned(&mut self, i: usize, pid: Pid, out: &mut Outbox) {
        self.apply(i, Step::Spawned(pid), out);
    }

    /// A worker has built its stage.
    pub fn ready(&mut self, i: usize, out: &mut Outbox) {
        self.workers[i].trial = false;
        self.apply(i, Step::Ready, out);
    }

    /// A worker was stopped by a signal where it holds up all others.
    pub fn kill_holder(&mut self, i: usize, out: &mut Outbox) {
        self.apply(i, Step::Ask(Asked::Kill(StopReason::HoldsLock)), out);
    }

    /// Other settings for the workers that run.
    pub fn tune(&mut self, tuning: config::Tuning, out: &mut Outbox) {
        for process in self.workers.iter().filter_map(|worker| worker.life.process()) {
            out.act(Action::Tune(process.slot, process.pid, tuning));
        }
    }

    fn apply(&mut self, i: usize, step: Step, out: &mut Outbox) {
        let worker = &mut self.workers[i];
        let (life, push) = worker.life.step(step, out.now, self.spec.rules.stop_timeout);
        worker.life = life;
        let Some(push) = push else { return };
        match push {
            Push::Spawn(slot) => out.act(Action::Spawn(self.spawn(i, slot))),
            Push::Order(process, Order::Finish) => {
                self.note_asked(i, process, out);
                out.act(Action::Order(process.slot, process.pid, Order::Finish));
            }
            // A standing order, whichever it is now.
            Push::Order(process, Order::Run | Order::Drain) => {
                out.act(Action::Order(process.slot, process.pid, self.standing_order()));
            }
            Push::Term(process, why) => {
                let text = format!("is terminated: {why}");
                out.note(Level::Info, self.name(i), Change::Terminated(why), text);
                out.act(Action::Term(process.pid));
            }
            Push::Kill(process, why) => {
                out.note(Level::Warn, self.name(i), Change::Killed(why), format!("is killed: {why}"));
                out.act(Action::Kill(process.pid));
            }
        }
    }

    fn note_asked(&self, i: usize, process: Process, out: &mut Outbox) {
        if let Some(why) = process.asked.reason() {
            let text = format!("is to end after its item: {why}");
            out.note(Level::Debug, self.name(i), Change::Asked(why), text);
        }
    }

    fn spawn(&self, i: usize, slot: SlotId) -> Spawn {
        let worker = &self.workers[i];
        Spawn {
            worker: WorkerId { stage: self.key, index: worker.index },
            stage: self.spec.name.clone(),
            slot,
            version: Rc::clone(&worker.version),
            tuning: self.spec.tuning,
            order: self.standing_order(),
            stop_timeout: self.spec.rules.stop_timeout,
        }
    }

    fn name(&self, i: usize) -> String {
        let index = self.workers[i].index;
        restart::name(&self.spec.name, WorkerId { stage: self.key, index })
    }

    /// A worker's process is gone, or never came to be: gives back what it held, and decides what follows.
    pub fn ended(
        &mut self,
        i: usize,
        end: End,
        work: Work,
        stop: Stopping,
        jitter: f64,
        out: &mut Outbox,
    ) -> Verdict {
        self.totals.taken += work.taken;
        self.totals.done += work.done;
        self.totals.emitted += work.emitted;
        let worker = &self.workers[i];
        let asked = match worker.life {
            Life::Alive(process) => process.asked,
            Life::Forking { asked, .. } => asked,
            Life::Due(_) | Life::Resting { .. } | Life::Over(_) => return Verdict::Fine,
        };
        let ran = worker.life.process().map(|process| out.now.saturating_duration_since(process.since));
        if let Life::Alive(process) = worker.life {
            out.act(Action::Release(self.release(i, process, end.clone())));
        }
        let given = Circumstances {
            asked: asked.reason(),
            leaving: worker.leaving,
            stop,
            restart: self.spec.rules.restart,
            shares_position: self.version.token.is_some(),
        };
        let next = restart::after(&end, &given);
        let trial = worker.trial && !work.ready && !asked.is_deadly();
        let verdict = self.follow(i, &end, next, ran, jitter, out);
        let failed = verdict == Verdict::GaveUp || (end.is_failure() && !is_murder(&end));
        if trial && failed { Verdict::TrialFailed } else { verdict }
    }

    fn release(&self, i: usize, process: Process, end: End) -> Release {
        // Dead by the supervisor's own hand: no item did it. Any other signal came from the item's work.
        let ours = matches!(
            &end,
            End::Died(Exit::Signal(signal)) if matches!(signal.0, libc::SIGTERM | libc::SIGKILL)
        );
        let blame = if ours && process.asked.is_deadly() { Blame::Nobody } else { Blame::Begun };
        Release {
            worker: WorkerId { stage: self.key, index: self.workers[i].index },
            stage: self.spec.name.clone(),
            slot: process.slot,
            blame,
            attempts: self.spec.tuning.attempts,
            end,
        }
    }

    fn follow(
        &mut self,
        i: usize,
        end: &End,
        next: Next,
        ran: Option<Duration>,
        jitter: f64,
        out: &mut Outbox,
    ) -> Verdict {
        let name = self.name(i);
        let mut verdict = Verdict::Fine;
        let (then, life) = match next {
            Next::Leave => (String::new(), None),
            Next::Now(why) => (String::new(), Some(Life::Due(why))),
            Next::Over(over) => (String::new(), Some(Life::Over(over))),
            Next::Restart(why) => {
                self.totals.restarts += 1;
                let delay = self.backoff(i, end, ran, jitter);
                if self.intensity.exceeded(&self.spec.rules.give_up, out.now) {
                    verdict = Verdict::GaveUp;
                    (String::new(), Some(Life::Over(Over::GaveUp)))
                } else {
                    (restart_text(delay), Some(rest(delay, why, out.now)))
                }
            }
        };
        self.count_run(i, end, ran);
        let ran = ran.map_or(String::new(), |ran| format!(" after {}", spoken(ran)));
        out.note(level(end, next), name, Change::Ended(end.clone()), format!("{end}{ran}{then}"));
        match life {
            Some(life) => self.settle(i, life, out),
            None => drop(self.workers.remove(i)),
        }
        verdict
    }

    fn settle(&mut self, i: usize, life: Life, out: &mut Outbox) {
        self.apply(i, Step::Ended(life), out);
        if life.is_over() {
            self.workers[i].trial = false;
        }
    }

    /// A fork that fails would fail again at once: it waits even the first time.
    fn backoff(&self, i: usize, end: &End, ran: Option<Duration>, jitter: f64) -> Duration {
        let rules = &self.spec.rules;
        let good = ran.is_some_and(|ran| ran >= rules.backoff.reset_after);
        let before = if good { 0 } else { self.workers[i].bad_runs };
        let before = if matches!(end, End::NotStarted(_)) { before.max(1) } else { before };
        restart::delay(&rules.backoff, before, jitter)
    }

    fn count_run(&mut self, i: usize, end: &End, ran: Option<Duration>) {
        let good = ran.is_some_and(|ran| ran >= self.spec.rules.backoff.reset_after);
        let innocent = matches!(end, End::Said(Ending::Ordered | Ending::Recycled));
        let worker = &mut self.workers[i];
        worker.bad_runs = if good || innocent { 0 } else { worker.bad_runs.saturating_add(1) };
    }
}

fn is_asked(worker: &Worker, why: StopReason) -> bool {
    worker.life.process().is_some_and(|process| process.asked.reason() == Some(why))
}

fn rest(delay: Duration, why: StartReason, now: Instant) -> Life {
    if delay.is_zero() { Life::Due(why) } else { Life::Resting { until: now + delay, why } }
}

fn restart_text(delay: Duration) -> String {
    if delay.is_zero() {
        "; it starts again at once".to_owned()
    } else {
        format!("; it starts again in {}", spoken(delay))
    }
}

/// Killed from outside, which says nothing about what it was about to do.
fn is_murder(end: &End) -> bool {
    matches!(end, End::Died(Exit::Signal(signal)) if signal.0 == libc::SIGKILL)
}

/// What the operator ordered is no news; what went wrong is.
fn level(end: &End, next: Next) -> Level {
    match next {
        Next::Restart(_) | Next::Over(Over::Failed) => Level::Warn,
        Next::Leave | Next::Now(_) | Next::Over(_) if end.is_failure() => Level::Info,
        Next::Leave | Next::Now(_) | Next::Over(_) => Level::Debug,
    }
}
