//! One supervisor program goes on from another in the same process: what the one knows of its workers, for the other.
//!
//! Queues, positions and outboxes are found again by their labels, as after a death
//! ([`inheritance`](crate::supervisor::machine::recovered)); but here the workers live on.

use super::State;
use crate::config::{FileVariables, Recycle, Work};
use crate::control::protocol::{Reason, Refused};
use crate::queue::SlotId;
use crate::supervisor::machine::effect::{Action, StageTotals};
use crate::supervisor::machine::effects::Outbox;
use crate::supervisor::machine::event::NotHandedOver;
use crate::supervisor::machine::history::Remembered;
use crate::supervisor::machine::ids::{AskId, Pid, WorkerId};
use crate::supervisor::machine::reason::StartReason;
use crate::supervisor::machine::restart::Intensity;
use crate::supervisor::machine::stage_state::{Fate, Stage, Worker};
use crate::supervisor::machine::wanted::{Version, Wanted};
use crate::supervisor::machine::worker_state::{Asked, Life, Over, Process};
use log::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// An upgrade that has found nothing in its way for so long is over; it holds nobody up meanwhile.
const UPGRADE_LIMIT: Duration = Duration::from_secs(30);

/// After a request that came in between.
const TRY_AGAIN: Duration = Duration::from_millis(2);

/// A change of programs under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    ask: Option<AskId>,
    since: Instant,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Something else may have to end first: a reload, workers that leave.
    Asked,
    /// The program on the disk is tried.
    Rehearsal,
    /// It can go on from here.
    Ready,
    /// Something came in first. Much of what comes is answered without a word to the state, so there is a time to try
    /// again.
    Interrupted { again: Instant },
}

fn refuse(ask: Option<AskId>, verb: &str, why: String, out: &mut Outbox) {
    let error = format!("upgrade {verb}: {why}");
    out.say(Level::Error, error.clone());
    if let Some(id) = ask {
        out.act(Action::Answer(id, Err(Refused { reason: Reason::NotUpgraded, error })));
    }
}

/// All that can't be found in the arena, nor in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// The text of the file that runs: the one on the disk may be another by now.
    pub text: String,
    /// What the environment files said that it runs with, by stage.
    #[serde(default)]
    pub file_variables: FileVariables,
    paused: bool,
    stages: Vec<StageLeft>,
    departed: Vec<StageTotals>,
    failed: bool,
    generation: u64,
    /// Why the last changed file was not taken over, and how long ago that was.
    refusal: Option<(Duration, String)>,
    history: Vec<Remembered>,
    /// Programs that have taken over in this run, the next one included.
    upgrades: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageLeft {
    name: String,
    gave_up: bool,
    paused: bool,
    /// As it is now: the file may say another number.
    processes: u32,
    totals: StageTotals,
    restarts: BTreeMap<String, u64>,
    /// How long ago the restarts were that `give_up` counts.
    restarted: Vec<Duration>,
    #[serde(default)]
    killed_in_a_row: u32,
    workers: Vec<WorkerLeft>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerLeft {
    index: u32,
    life: LifeLeft,
    /// What it really does: a newer program may read the same file otherwise.
    work: Work,
    recycle: Recycle,
    trial: bool,
    bad_runs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum LifeLeft {
    Due(StartReason),
    Resting { left: Duration, why: StartReason },
    Alive { slot: SlotId, pid: u32, age: Duration, ready: bool },
    Over(Over),
}

impl State {
    /// The program on the disk is to go on from here: SIGUSR2, or a client that waits for an answer. If it does, none
    /// comes: the connection ends with this program.
    pub(super) fn asked_to_upgrade(&mut self, ask: Option<AskId>, out: &mut Outbox) {
        let why = match (&self.upgrade, &self.stop, &self.wanted) {
            (Some(_), ..) => "an upgrade is under way already",
            (_, Some(_), _) => "the pipeline stops",
            (.., None) => "it has not begun",
            (None, None, Some(_)) => {
                self.upgrade = Some(Upgrade { ask, since: out.now, step: Step::Asked });
                return;
            }
        };
        refuse(ask, "refused", why.to_owned(), out);
    }

    /// The program on the disk was asked whether it can go on from here.
    pub(super) fn rehearsed(&mut self, outcome: Result<(), String>, out: &mut Outbox) {
        match outcome {
            Err(why) => self.end_upgrade(&why, out),
            Ok(()) => {
                if let Some(upgrade) = &mut self.upgrade {
                    upgrade.step = Step::Ready;
                }
            }
        }
    }

    /// This program is still there.
    pub(super) fn not_handed_over(&mut self, why: NotHandedOver, out: &mut Outbox) {
        match (why, &mut self.upgrade) {
            (NotHandedOver::Failed(why), _) => self.end_upgrade(&why, out),
            (NotHandedOver::Interrupted, Some(upgrade)) => {
                upgrade.step = Step::Interrupted { again: out.now + TRY_AGAIN };
            }
            (NotHandedOver::Interrupted, None) => {}
        }
    }

    /// What came first has been seen to.
    pub(super) fn try_upgrade_again(&mut self) {
        if let Some(upgrade) = &mut self.upgrade
            && matches!(upgrade.step, Step::Interrupted { .. })
        {
            upgrade.step = Step::Ready;
        }
    }

    /// Hands over as soon as there is nothing in the way; not for ever.
    pub(super) fn go_on_with_upgrade(&mut self, out: &mut Outbox) {
        let Some(Upgrade { since, step, .. }) = &self.upgrade else { return };
        let is_late = out.now >= *since + UPGRADE_LIMIT;
        match (self.left(out), *step) {
            (Ok(left), Step::Asked) if !is_late => {
                self.upgrade.iter_mut().for_each(|upgrade| upgrade.step = Step::Rehearsal);
                out.act(Action::Rehearse(Box::new(left)));
            }
            (_, Step::Rehearsal | Step::Interrupted { .. }) if !is_late => {}
            (Ok(left), Step::Ready) => out.act(Action::HandOver(Box::new(left))),
            (Err(why), _) if is_late || self.stop.is_some() => self.end_upgrade(why, out),
            (Err(_), _) => {}
            (Ok(_), _) => self.end_upgrade("signals and requests came all the time", out),
        }
    }

    fn end_upgrade(&mut self, why: &str, out: &mut Outbox) {
        if let Some(upgrade) = self.upgrade.take() {
            refuse(upgrade.ask, "failed", format!("{why}; this program goes on"), out);
        }
    }

    pub(super) fn upgrade_deadline(&self) -> Option<Instant> {
        let Upgrade { since, step, .. } = self.upgrade.as_ref()?;
        let late = *since + UPGRADE_LIMIT;
        Some(if let Step::Interrupted { again } = step { late.min(*again) } else { late })
    }

    fn left(&self, out: &Outbox) -> Result<Left, &'static str> {
        let now = out.now;
        let Some(wanted) = &self.wanted else { return Err("it has not begun") };
        if self.stop.is_some() {
            return Err("the pipeline stops");
        }
        if self.reload.is_some() || self.herald.loading {
            return Err("a file is being taken over");
        }
        if self.feeding != super::Feeding::None {
            return Err("it only works off dead letters");
        }
        if !self.burials.is_empty() {
            return Err("a dead letter is being written");
        }
        let stages: Option<Vec<StageLeft>> = self.stages.iter().map(|stage| stage_left(stage, now)).collect();
        Ok(Left {
            text: wanted.text.clone(),
            file_variables: wanted.pipeline.file_variables(),
            paused: self.paused,
            stages: stages.ok_or("workers are on their way out")?,
            departed: self.departed.clone(),
            failed: self.failed,
            generation: self.generation,
            refusal: self.refusal.as_ref().map(|(at, why)| (now.saturating_duration_since(*at), why.clone())),
            history: out.history.left(now),
            upgrades: self.upgrades + 1,
        })
    }

    /// Goes on from what another program has left: the first event of this one.
    pub(super) fn take_over(&mut self, wanted: Wanted, left: Left, out: &mut Outbox) {
        self.guardian.started = Some(out.now);
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
                if let LifeLeft::Alive { slot, pid, .. } = worker.life {
                    self.slots.claim(slot.0);
                    let id = WorkerId { stage: stage.key, index: worker.index };
                    out.act(Action::Adopt {
                        worker: id,
                        stage: stage.spec.name.clone(),
                        slot,
                        pid: Pid(pid),
                    });
                    alive += 1;
                }
                stage.take_over(worker_of(worker, &stage.version, out.now));
            }
        }
        self.paused = left.paused;
        self.departed = left.departed;
        self.failed = left.failed;
        // What it takes over counts as a file that it takes over.
        self.generation = left.generation.saturating_sub(1);
        self.refusal = left.refusal.map(|(age, why)| (out.now.checked_sub(age).unwrap_or(out.now), why));
        self.upgrades = left.upgrades;
        out.history.take_over(left.history, out.now);
        out.say(Level::Info, format!("{} took over: {alive} workers go on", env!("CARGO_PKG_VERSION")));
    }
}

/// `None`: one of its workers is on its way.
fn stage_left(stage: &Stage, now: Instant) -> Option<StageLeft> {
    if matches!(stage.fate, Fate::Removed { .. }) {
        return None;
    }
    let workers: Option<Vec<WorkerLeft>> =
        stage.workers.iter().map(|worker| worker_left(worker, now)).collect();
    Some(StageLeft {
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

fn worker_left(worker: &Worker, now: Instant) -> Option<WorkerLeft> {
    let life = match worker.life {
        Life::Due(why) => LifeLeft::Due(why),
        Life::Resting { until, why } => LifeLeft::Resting { left: until.saturating_duration_since(now), why },
        Life::Alive(Process { slot, pid, since, ready, asked: Asked::Nothing }) => {
            LifeLeft::Alive { slot, pid: pid.0, age: now.saturating_duration_since(since), ready }
        }
        Life::Over(over) => LifeLeft::Over(over),
        Life::Alive(_) | Life::Forking { .. } => return None,
    };
    let (work, recycle) = (worker.version.work.clone(), worker.version.recycle);
    (!worker.leaving).then_some(WorkerLeft {
        index: worker.index,
        life,
        work,
        recycle,
        trial: worker.trial,
        bad_runs: worker.bad_runs(),
    })
}

fn worker_of(left: WorkerLeft, version: &Rc<Version>, now: Instant) -> Worker {
    let life = match left.life {
        LifeLeft::Due(why) => Life::Due(why),
        LifeLeft::Resting { left, why } => Life::Resting { until: now + left, why },
        LifeLeft::Alive { slot, pid, age, ready } => Life::Alive(Process {
            slot,
            pid: Pid(pid),
            since: now.checked_sub(age).unwrap_or(now),
            ready,
            asked: Asked::Nothing,
        }),
        LifeLeft::Over(over) => Life::Over(over),
    };
    let is_current = left.work == version.work && left.recycle == version.recycle;
    let version = match is_current {
        true => Rc::clone(version),
        false => {
            let (work, recycle) = (left.work, left.recycle);
            Rc::new(Version { work, recycle, ..version.as_ref().clone() })
        }
    };
    Worker::taken_over(left.index, version, life, left.trial, left.bad_runs)
}

#[cfg(test)]
pub mod sample;
