//! One supervisor program goes on from another in the same process: what the one knows of its workers, for the other.
//!
//! Queues, positions and spill queues are found again by their labels, as after a death
//! ([`recovered`](crate::supervisor::machine::recovered)); but here the workers live on.

use super::State;
use crate::control::protocol::{Reason, Refused};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::event::NotReplaced;
use crate::supervisor::machine::ids::{Pid, RequestId, WorkerId};
use crate::supervisor::machine::phase::{Upgrade, UpgradePhase};
use crate::supervisor::machine::restart::Intensity;
use crate::supervisor::machine::saved::{SavedLife, SavedMachine, SavedStage, SavedWorker};
use crate::supervisor::machine::stage_state::{Fate, StageState, Worker};
use crate::supervisor::machine::wanted::{Version, Wanted};
use crate::supervisor::machine::worker_state::{Life, Process, StopRequest};
use log::Level;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// An upgrade that has found nothing in its way for so long is over; it holds nobody up meanwhile.
const UPGRADE_LIMIT: Duration = Duration::from_secs(30);

/// After a request that came in between.
const RETRY_AFTER: Duration = Duration::from_millis(2);

fn refuse(request: Option<RequestId>, verb: &str, why: String, out: &mut Effects) {
    let error = format!("upgrade {verb}: {why}");
    out.log(Level::Error, error.clone());
    if let Some(id) = request {
        out.push(Effect::Answer(id, Err(Refused { reason: Reason::NotUpgraded, error })));
    }
}

impl State {
    /// The program on the disk is to go on from here: SIGUSR2, or a client that waits for an answer. If it does, none
    /// comes: the connection ends with this program.
    pub(super) fn upgrade_requested(&mut self, request: Option<RequestId>, out: &mut Effects) {
        let why = match (&self.upgrade, self.phase.stop(), &self.wanted) {
            (Some(_), ..) => "an upgrade is under way already",
            (_, Some(_), _) => "the pipeline stops",
            (.., None) => "it has not begun",
            (None, None, Some(_)) => {
                self.upgrade = Some(Upgrade { request, since: out.now, phase: UpgradePhase::Requested });
                return;
            }
        };
        refuse(request, "refused", why.to_owned(), out);
    }

    /// The program on the disk was asked whether it can go on from here.
    pub(super) fn preflight_done(&mut self, outcome: Result<(), String>, out: &mut Effects) {
        match outcome {
            Err(why) => self.end_upgrade(&why, out),
            Ok(()) => {
                if let Some(upgrade) = &mut self.upgrade {
                    upgrade.phase = UpgradePhase::Ready;
                }
            }
        }
    }

    /// This program is still there.
    pub(super) fn not_replaced(&mut self, why: NotReplaced, out: &mut Effects) {
        match (why, &mut self.upgrade) {
            (NotReplaced::Failed(why), _) => self.end_upgrade(&why, out),
            (NotReplaced::Interrupted, Some(upgrade)) => {
                upgrade.phase = UpgradePhase::Interrupted { again: out.now + RETRY_AFTER };
            }
            (NotReplaced::Interrupted, None) => {}
        }
    }

    /// What came first has been seen to.
    pub(super) fn try_upgrade_again(&mut self) {
        if let Some(upgrade) = &mut self.upgrade
            && matches!(upgrade.phase, UpgradePhase::Interrupted { .. })
        {
            upgrade.phase = UpgradePhase::Ready;
        }
    }

    /// Hands over as soon as there is nothing in the way; not for ever.
    pub(super) fn advance_upgrade(&mut self, out: &mut Effects) {
        let Some(Upgrade { since, phase, .. }) = &self.upgrade else { return };
        let is_late = out.now >= *since + UPGRADE_LIMIT;
        match (self.left(out), *phase) {
            (Ok(left), UpgradePhase::Requested) if !is_late => {
                self.upgrade.iter_mut().for_each(|upgrade| upgrade.phase = UpgradePhase::Preflight);
                out.push(Effect::Preflight(Box::new(left)));
            }
            (_, UpgradePhase::Preflight | UpgradePhase::Interrupted { .. }) if !is_late => {}
            (Ok(left), UpgradePhase::Ready) => out.push(Effect::ReplaceProgram(Box::new(left))),
            (Err(why), _) if is_late || self.phase.stop().is_some() => self.end_upgrade(why, out),
            (Err(_), _) => {}
            (Ok(_), _) => self.end_upgrade("signals and requests came all the time", out),
        }
    }

    fn end_upgrade(&mut self, why: &str, out: &mut Effects) {
        if let Some(upgrade) = self.upgrade.take() {
            refuse(upgrade.request, "failed", format!("{why}; this program goes on"), out);
        }
    }

    pub(super) fn upgrade_deadline(&self) -> Option<Instant> {
        let Upgrade { since, phase, .. } = self.upgrade.as_ref()?;
        let late = *since + UPGRADE_LIMIT;
        Some(if let UpgradePhase::Interrupted { again } = phase { late.min(*again) } else { late })
    }

    fn left(&self, out: &Effects) -> Result<SavedMachine, &'static str> {
        let now = out.now;
        let Some(wanted) = &self.wanted else { return Err("it has not begun") };
        if self.phase.stop().is_some() {
            return Err("the pipeline stops");
        }
        if self.phase.reload().is_some() || self.file.loading {
            return Err("a file is being taken over");
        }
        if self.retrying != super::Retrying::No {
            return Err("it only works off dead letters");
        }
        if !self.dead_letters.is_empty() {
            return Err("a dead letter is being written");
        }
        let stages: Option<Vec<SavedStage>> =
            self.stages.iter().map(|stage| stage_left(stage, now)).collect();
        Ok(SavedMachine {
            text: wanted.text.clone(),
            file_variables: wanted.pipeline.file_variables(),
            paused: self.paused,
            stages: stages.ok_or("workers are on their way out")?,
            removed_totals: self.removed_totals.clone(),
            failed: self.failed,
            generation: self.counters.generation,
            refusal: self
                .file
                .refusal
                .as_ref()
                .map(|(at, why)| (now.saturating_duration_since(*at), why.clone())),
            history: out.history.save(now),
            upgrades: self.counters.upgrades + 1,
        })
    }

    /// Goes on from what another program has left: the first event of this one.
    pub(super) fn resume(&mut self, wanted: Wanted, left: SavedMachine, out: &mut Effects) {
        self.guardian.start(out.now);
        let mut wanted = wanted;
        left.stages.iter().for_each(|stage| wanted.scale(&stage.name, stage.processes));
        self.want(wanted, false, out);
        let mut alive = 0;
        for stage_left in left.stages {
            let Some(stage) = self.stages.iter_mut().find(|stage| stage.spec.name == stage_left.name) else {
                continue;
            };
            stage.totals = stage_left.totals;
            stage.restarts = stage_left.restarts;
            stage.intensity = Intensity::of_ages(&stage_left.restarted, out.now);
            stage.killed_in_a_row = stage_left.killed_in_a_row;
            stage.paused = stage_left.paused;
            if stage_left.gave_up {
                stage.fate = Fate::GaveUp;
            }
            for worker in stage_left.workers {
                if let SavedLife::Alive { slot, pid, .. } = worker.life {
                    self.slots.claim(slot.0);
                    let id = WorkerId { stage: stage.key, index: worker.index };
                    out.push(Effect::Adopt {
                        worker: id,
                        stage: stage.spec.name.clone(),
                        slot,
                        pid: Pid(pid),
                    });
                    alive += 1;
                }
                stage.resume(worker_of(worker, &stage.version, out.now));
            }
        }
        self.paused = left.paused;
        self.removed_totals = left.removed_totals;
        self.failed = left.failed;
        // What it takes over counts as a file that it takes over.
        self.counters.generation = left.generation.saturating_sub(1);
        self.file.refusal = left.refusal.map(|(age, why)| (out.now.checked_sub(age).unwrap_or(out.now), why));
        self.counters.upgrades = left.upgrades;
        out.history.resume(left.history, out.now);
        out.log(Level::Info, format!("{} took over: {alive} workers go on", env!("CARGO_PKG_VERSION")));
    }
}

/// `None`: one of its workers is on its way.
fn stage_left(stage: &StageState, now: Instant) -> Option<SavedStage> {
    if matches!(stage.fate, Fate::Removed { .. }) {
        return None;
    }
    let workers: Option<Vec<SavedWorker>> =
        stage.workers.iter().map(|worker| worker_left(worker, now)).collect();
    Some(SavedStage {
        name: stage.spec.name.clone(),
        gave_up: stage.fate == Fate::GaveUp,
        paused: stage.paused,
        processes: stage.spec.processes,
        totals: stage.totals.clone(),
        restarts: stage.restarts.clone(),
        restarted: stage.intensity.ages(now),
        killed_in_a_row: stage.killed_in_a_row,
        workers: workers?,
    })
}

fn worker_left(worker: &Worker, now: Instant) -> Option<SavedWorker> {
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
    let (work, recycle) = (worker.version.work.clone(), worker.version.recycle);
    (!worker.leaving).then_some(SavedWorker {
        index: worker.index,
        life,
        work,
        recycle,
        trial: worker.trial,
        bad_runs: worker.bad_runs(),
    })
}

fn worker_of(left: SavedWorker, version: &Rc<Version>, now: Instant) -> Worker {
    let life = match left.life {
        SavedLife::Due(why) => Life::Due(why),
        SavedLife::BackOff { left, why } => Life::BackOff { until: now + left, why },
        SavedLife::Alive { slot, pid, age, ready } => Life::Alive(Process {
            slot,
            pid: Pid(pid),
            since: now.checked_sub(age).unwrap_or(now),
            ready,
            requested: StopRequest::Nothing,
        }),
        SavedLife::Over(over) => Life::Over(over),
    };
    let is_current = left.work == version.work && left.recycle == version.recycle;
    let version = match is_current {
        true => Rc::clone(version),
        false => {
            let (work, recycle) = (left.work, left.recycle);
            Rc::new(Version { work, recycle, ..version.as_ref().clone() })
        }
    };
    Worker::resumed(left.index, version, life, left.trial, left.bad_runs)
}
