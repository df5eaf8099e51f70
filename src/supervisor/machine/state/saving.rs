//! What one program knows of its stages and workers, saved for the next program of the same process, and resumed by it.
//!
//! Queues, positions and spill queues are found again by their labels, as after a death
//! ([`recovered`](crate::supervisor::machine::recovered)); but here the workers live on.

use super::{Retrying, State};
use crate::numbers::counted;
use crate::supervisor::machine::condition::{Condition, Health};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::failing::FailedRuns;
use crate::supervisor::machine::ids::{Pid, WorkerId};
use crate::supervisor::machine::phase::Reload;
use crate::supervisor::machine::restart::{CountedFor, Intensity};
use crate::supervisor::machine::saved::{SavedLife, SavedMachine, SavedStage, SavedWorker};
use crate::supervisor::machine::stage_state::{Fate, StageState, Switch, Worker};
use crate::supervisor::machine::totals::StageTotals;
use crate::supervisor::machine::wanted::{Version, Wanted};
use crate::supervisor::machine::worker_state::{Life, Process, StopRequest};
use log::Level;
use std::rc::Rc;
use std::time::{Duration, Instant};

impl State {
    /// All of it; or why it is in the middle of something that can't be saved.
    pub(super) fn save(&self, out: &Effects) -> Result<SavedMachine, &'static str> {
        let now = out.now;
        let Some(wanted) = &self.wanted else { return Err("the run has not begun yet") };
        if self.phase.stop().is_some() {
            return Err("the pipeline stops");
        }
        if self.file.loading || self.phase.reload().is_some_and(|reload| self.is_change(reload)) {
            return Err("a changed file is being taken over still");
        }
        if self.retrying != Retrying::No {
            return Err("it only works off dead letters");
        }
        if !self.dead_letters.is_empty() {
            return Err("a dead letter is being written");
        }
        let stages: Option<_> = self.stages.iter().map(|stage| self.save_stage(stage, now)).collect();
        let refusal = self.file.refusal.as_ref();
        Ok(SavedMachine {
            text: wanted.texts.main.clone(),
            included: wanted.texts.included.clone(),
            file_variables: wanted.pipeline.file_variables(),
            paused: self.paused,
            stages: stages.ok_or("workers are on their way out")?,
            removed_totals: self.removed_totals.clone(),
            failed: self.failed,
            generation: self.counters.generation,
            refusal: refusal.map(|(at, why)| (now.saturating_duration_since(*at), why.clone())),
            history: out.history.save(now),
            upgrades: self.counters.upgrades + 1,
        })
    }

    /// Whether there is something to go back to, or about to go. A start has neither: another program can wait as well
    /// until its services are ready.
    fn is_change(&self, reload: &Reload) -> bool {
        self.good.is_some() || reload.removing
    }

    /// `None`: one of its workers is about to start or to end.
    fn save_stage(&self, stage: &StageState, now: Instant) -> Option<SavedStage> {
        let failing =
            self.failing.get(&stage.key).map(|failing| now.saturating_duration_since(failing.since));
        if matches!(stage.fate, Fate::Removed { .. }) {
            return None;
        }
        let workers: Option<_> =
            stage.workers.iter().map(|worker| save_worker(worker, &stage.intensity, now)).collect();
        Some(SavedStage {
            name: stage.spec.name.clone(),
            gave_up: stage.fate == Fate::GaveUp,
            paused: stage.paused,
            stopped: stage.switch == Switch::Off,
            elsewhere: stage.switch == Switch::Elsewhere,
            processes: stage.spec.processes,
            totals: stage.totals.clone(),
            restarts: stage.restarts.clone(),
            restarted: stage.intensity.ages(CountedFor::Stage, now),
            killed_in_a_row: stage.killed_in_a_row,
            failing,
            id: stage.id,
            workers: workers?,
        })
    }

    /// Goes on from what another program has saved: the first event of this one.
    pub(super) fn resume(&mut self, mut wanted: Wanted, saved: SavedMachine, out: &mut Effects) {
        self.guardian.start(out.now);
        saved.stages.iter().for_each(|stage| wanted.scale(&stage.name, stage.processes));
        self.want(Rc::new(wanted), false, out);
        let alive: usize = saved.stages.into_iter().map(|stage| self.resume_stage(stage, out)).sum();
        self.stages.iter().for_each(|stage| stage.ask_for_time(out));
        self.paused = saved.paused;
        self.removed_totals = saved.removed_totals;
        self.failed = saved.failed;
        // What it takes over counts as a file that it takes over.
        self.counters.generation = saved.generation.saturating_sub(1);
        self.file.refusal = saved.refusal.map(|(age, why)| (ago(age, out.now), why));
        self.counters.upgrades = saved.upgrades;
        out.history.resume(saved.history, out.now);
        let has_services = self.stages.iter().any(|stage| stage.version.is_service());
        let what = if has_services { "process" } else { "worker" };
        let alive = counted(alive as u64, what);
        out.log(Level::Info, format!("{} took over, with {alive}", env!("CARGO_PKG_VERSION")));
    }

    /// How many of its workers live.
    fn resume_stage(&mut self, saved: SavedStage, out: &mut Effects) -> usize {
        let Some(stage) = self.stages.iter_mut().find(|stage| stage.spec.name == saved.name) else {
            return 0;
        };
        stage.totals = StageTotals { is_service: stage.version.is_service(), ..saved.totals };
        stage.restarts = saved.restarts;
        stage.intensity.add_ages(&saved.restarted, CountedFor::Stage, out.now);
        for worker in &saved.workers {
            stage.intensity.add_ages(&worker.restarted, CountedFor::Process(worker.index), out.now);
        }
        stage.killed_in_a_row = saved.killed_in_a_row;
        if let Some(age) = saved.failing {
            self.failing_before.insert(stage.key, ago(age, out.now));
        }
        stage.paused = saved.paused;
        stage.switch = match (saved.stopped, saved.elsewhere) {
            (true, _) => Switch::Off,
            (false, true) => Switch::Elsewhere,
            (false, false) => Switch::On,
        };
        stage.id = saved.id.filter(|id| self.stage_ids.claim(id.0));
        if saved.gave_up {
            stage.fate = Fate::GaveUp;
        }
        let mut alive = 0;
        for saved in saved.workers {
            if let SavedLife::Alive { slot, pid, .. } = saved.life {
                self.slots.claim(slot.0);
                let worker = WorkerId { stage: stage.key, index: saved.index };
                let (name, stage_id) = (stage.spec.name.clone(), stage.id);
                let service = saved.is_service.then(|| version_of(&saved, &stage.version));
                let announces = stage.announces();
                out.push(Effect::Adopt {
                    worker,
                    stage: name,
                    stage_id,
                    slot,
                    pid: Pid(pid),
                    service,
                    announces,
                });
                alive += 1;
            }
            let mut worker = resume_worker(saved, &stage.version, out.now);
            worker.at_rest = stage.paused && worker.is_service && worker.life.process().is_some();
            stage.resume(worker);
        }
        alive
    }
}

fn ago(age: Duration, now: Instant) -> Instant {
    now.checked_sub(age).unwrap_or(now)
}

fn save_worker(worker: &Worker, intensity: &Intensity, now: Instant) -> Option<SavedWorker> {
    let life = match worker.life {
        Life::Due(why) => SavedLife::Due(why),
        Life::BackOff { until, why } => {
            SavedLife::BackOff { left: until.saturating_duration_since(now), why }
        }
        Life::Alive(Process { slot, pid, since, ready, requested: StopRequest::Nothing }) => {
            SavedLife::Alive { slot, pid: pid.0, age: now.saturating_duration_since(since), ready }
        }
        Life::Over(over) => SavedLife::Over(over),
        Life::Alive(_) | Life::Forking { .. } => return None,
    };
    let Version { work, recycle, .. } = worker.version.as_ref().clone();
    let restarted = match worker.counted_for() {
        CountedFor::Stage => Vec::new(),
        own @ CountedFor::Process(_) => intensity.ages(own, now),
    };
    let (index, trial, bad_runs, is_service) =
        (worker.index, worker.trial, worker.bad_runs, worker.is_service);
    let failed_runs = worker.failed_runs.as_ref();
    let failed_runs = failed_runs.map(|runs| (now.saturating_duration_since(runs.since), runs.last.clone()));
    (!worker.leaving).then_some(SavedWorker {
        index,
        life,
        work,
        recycle,
        trial,
        bad_runs,
        failed_runs,
        is_service,
        restarted,
    })
}

fn resume_worker(saved: SavedWorker, version: &Rc<Version>, now: Instant) -> Worker {
    let version = version_of(&saved, version);
    let SavedWorker { index, life, trial, bad_runs, failed_runs, is_service, .. } = saved;
    let requested = StopRequest::Nothing;
    let life = match life {
        SavedLife::Due(why) => Life::Due(why),
        SavedLife::BackOff { left, why } => Life::BackOff { until: now + left, why },
        SavedLife::Alive { slot, pid, age, ready } => {
            Life::Alive(Process { slot, pid: Pid(pid), since: ago(age, now), ready, requested })
        }
        SavedLife::Over(over) => Life::Over(over),
    };
    let mut worker = Worker::new(index, version, life);
    (worker.trial, worker.bad_runs, worker.is_service) = (trial, bad_runs, is_service);
    worker.failed_runs = failed_runs.map(|(age, last)| FailedRuns { since: ago(age, now), last });
    if worker.life.process().is_some_and(|process| process.ready) {
        worker.condition = Condition::Ready(Health::Unknown);
    }
    worker
}

/// What it really does.
fn version_of(saved: &SavedWorker, version: &Rc<Version>) -> Rc<Version> {
    let SavedWorker { work, recycle, .. } = saved;
    match *work == version.work && *recycle == version.recycle {
        true => Rc::clone(version),
        false => {
            let (work, recycle) = (work.clone(), *recycle);
            Rc::new(Version { work, recycle, ..version.as_ref().clone() })
        }
    }
}
