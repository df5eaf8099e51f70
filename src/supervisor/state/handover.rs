//! One supervisor program goes on from another in the same process: what the one knows of its workers, for the other.
//!
//! Queues, positions and outboxes are found again by their labels, as after a death
//! ([`inheritance`](crate::supervisor::inheritance)); but here the workers live on.

use super::State;
use crate::config::{Recycle, Work};
use crate::queue::SlotId;
use crate::supervisor::action::{Action, StageTotals};
use crate::supervisor::ids::{Pid, WorkerId};
use crate::supervisor::outbox::Outbox;
use crate::supervisor::reason::StartReason;
use crate::supervisor::stage_state::{Fate, Stage, Worker};
use crate::supervisor::wanted::{Version, Wanted};
use crate::supervisor::worker_state::{Asked, Life, Over, Process};
use log::Level;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// All that can't be found in the arena, nor in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// The text of the file that runs: the one on the disk may be another by now.
    pub text: String,
    paused: bool,
    stages: Vec<StageLeft>,
    departed: Vec<StageTotals>,
    failed: bool,
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
    /// SIGUSR2: the program on the disk is to go on from here.
    pub(super) fn asked_to_upgrade(&mut self, out: &mut Outbox) {
        match self.left(out.now) {
            Ok(left) => out.act(Action::HandOver(Box::new(left))),
            Err(why) => out.say(Level::Error, format!("upgrade refused: {why}; ask again when that is over")),
        }
    }

    fn left(&self, now: Instant) -> Result<Left, &'static str> {
        let Some(wanted) = &self.wanted else { return Err("it has not begun") };
        if self.stop.is_some() {
            return Err("the pipeline stops");
        }
        if self.reload.is_some() {
            return Err("a file is being taken over");
        }
        let stages: Option<Vec<StageLeft>> = self.stages.iter().map(|stage| stage_left(stage, now)).collect();
        Ok(Left {
            text: wanted.text.clone(),
            paused: self.paused,
            stages: stages.ok_or("workers are on their way out")?,
            departed: self.departed.clone(),
            failed: self.failed,
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
