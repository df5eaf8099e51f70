//! Which stage limits the pipeline, by how much, and what one process more would give: from how workers spent their
//! time between two looks.
//!
//! A stage that does as much as the pipeline lets it waits for the rest of the time: starved behind the bottleneck,
//! blocked before it. The bottleneck waits for neither. So the stage that is busy (at work, or paused as the file says)
//! for the largest share of its time is the limit, and a stage busy half of the time could do twice as much. What lies
//! outside counts as well: a source that is starved waits for what it reads, a last stage that is blocked for the
//! reader of standard output.
//!
//! How a stage that is failing spends its time says nothing of that: as long as items wait for it, it is the limit.
//!
//! It is an estimate: it takes the work to be even, and processes of a stage not to be in each other's way.

mod sentence;
mod verdict;

use super::{Cpus, Fate, Phase, QueueStatus, Snapshot, StageStatus, Times, WorkerStatus};
use std::collections::BTreeMap;
pub(crate) use verdict::{Bottleneck, Limit, Next, NoMore};

/// Less time of a stage, in seconds, is too little to tell.
const MIN_SECONDS: f64 = 0.05;
/// For shares closer to each other than this, the queues between the stages decide.
const SHARE_TOLERANCE: f64 = 0.08;
/// A pipeline without a stage that is busy for this share of the time has less to do than it could.
const MIN_BUSY_SHARE: f64 = 0.5;
/// With a smaller share of CPU time idle, another process has no CPU to run on.
const MIN_IDLE_SHARE: f64 = 0.1;
/// A smaller gain counts as none.
const MIN_GAIN: f64 = 0.02;

/// One stage between the looks, in shares of its workers' time.
#[derive(Clone, Copy, Debug)]
struct Load<'a> {
    stage: &'a StageStatus,
    working: f64,
    paused: f64,
    starved: f64,
    blocked: f64,
}

impl Load<'_> {
    fn busy(&self) -> f64 {
        self.working + self.paused
    }
}

/// What limits the pipeline. `before`: the times of its stages at an earlier look; a stage that is not there counts
/// from its start.
pub(crate) fn find(now: &Snapshot, before: &BTreeMap<String, Times>, cpus: Option<Cpus>) -> Bottleneck {
    let running = !now.paused && matches!(now.phase, Phase::Running | Phase::Reloading | Phase::Starting);
    // Beside a flow of items, a program that only runs under supervision limits no stage.
    let flows = |stage: &&StageStatus| {
        let runs_alone = stage.inputs.is_empty() && stage.outputs.is_empty();
        // One that runs at its times is as slow as its schedule, not as its work.
        !(stage.scheduled || stage.is_service() || !now.queues.is_empty() && runs_alone)
    };
    let failing = now.stages.iter().filter(flows).filter(|stage| running && holds_up(stage, &now.queues));
    let fullness = |stage: &StageStatus| pressed(stage, &now.queues);
    if let Some(stage) = failing.max_by(|a, b| fullness(a).total_cmp(&fullness(b))) {
        return self::found(Limit::Failing, Some(stage), now);
    }
    let loads: Vec<Load<'_>> =
        now.stages.iter().filter(flows).filter_map(|stage| load(stage, before)).collect();
    let found = if running { limit(&loads, &now.queues) } else { None };
    let Some((load, limit, share)) = found else { return self::found(Limit::Unknown, None, now) };
    // That a stage which is failing is at work means no more than that its tries take long.
    if share < MIN_BUSY_SHARE || load.stage.failing.is_some() {
        return self::found(Limit::Nothing, None, now);
    }
    let next = next(&loads, &load, limit);
    let (one_more, no_more_because) = match limit {
        Limit::Work | Limit::Pauses => gain(&load, limit, next.as_ref(), cpus),
        Limit::Rate
        | Limit::Input
        | Limit::Output
        | Limit::Failing
        | Limit::Missing
        | Limit::Nothing
        | Limit::Unknown => (0.0, None),
    };
    let stage = Some(load.stage.name.clone());
    let mut found = Bottleneck { limit, stage, share, next, one_more, no_more_because, text: String::new() };
    found.text = sentence::of(&found, now, cpus);
    found
}

/// Whether items wait for a stage that does none: it is failing, or all its workers pause after a failure.
fn holds_up(stage: &StageStatus, queues: &[QueueStatus]) -> bool {
    let all_rest = !stage.workers.is_empty() && stage.workers.iter().all(WorkerStatus::is_backing_off);
    let is_failing = stage.fate == Fate::Wanted && !stage.paused && (stage.failing.is_some() || all_rest);
    let has_items = |queue: &QueueStatus| queue.waiting + queue.delayed + queue.leased > 0;
    is_failing && (stage.is_source() || inputs(stage, queues).any(has_items))
}

/// A limit that is not measured.
fn found(limit: Limit, stage: Option<&StageStatus>, now: &Snapshot) -> Bottleneck {
    let (stage, share) = (stage.map(|stage| stage.name.clone()), if stage.is_some() { 1.0 } else { 0.0 });
    let (next, one_more, no_more_because, text) = (None, 0.0, None, String::new());
    let mut found = Bottleneck { limit, stage, share, next, one_more, no_more_because, text };
    found.text = sentence::of(&found, now, None);
    found
}

fn load<'a>(stage: &'a StageStatus, before: &BTreeMap<String, Times>) -> Option<Load<'a>> {
    let (now, before) = (stage.times, before.get(&stage.name).copied().unwrap_or_default());
    let spent = |now: f64, before: f64| (now - before).max(0.0);
    // Who waits for another worker of the stage is no worker more: it is left out.
    let [working, starved, blocked, paused] = [
        spent(now.working, before.working),
        spent(now.starved, before.starved),
        spent(now.blocked, before.blocked),
        spent(now.paused, before.paused),
    ];
    let all = working + starved + blocked + paused;
    let is_there = matches!(stage.fate, Fate::Wanted | Fate::Removed) && !stage.paused;
    (is_there && all >= MIN_SECONDS).then(|| Load {
        stage,
        working: working / all,
        paused: paused / all,
        starved: starved / all,
        blocked: blocked / all,
    })
}

/// The largest of all shares for which something limits a stage.
fn limit<'a>(loads: &[Load<'a>], queues: &[QueueStatus]) -> Option<(Load<'a>, Limit, f64)> {
    let mut best: Option<(Load<'a>, Limit, f64)> = None;
    for load in loads {
        let own = match load.paused > load.working {
            true if load.stage.rate_limit.is_some() => Limit::Rate,
            true => Limit::Pauses,
            false => Limit::Work,
        };
        let input = load.stage.is_source().then_some((Limit::Input, load.starved));
        // A stage in the middle may wait for the world outside, too: for room on the disk of durable queues.
        let is_held_up = load.stage.workers.iter().any(|worker| worker.obstacle.is_some());
        let writes = load.stage.outputs.is_empty() || is_held_up;
        let output = writes.then_some((Limit::Output, load.blocked));
        for (limit, share) in [Some((own, load.busy())), input, output].into_iter().flatten() {
            let wins = best.as_ref().is_none_or(|(before, _, most)| {
                share > most + SHARE_TOLERANCE
                    || share > most - SHARE_TOLERANCE
                        && pressed(load.stage, queues) > pressed(before.stage, queues)
            });
            if wins {
                best = Some((*load, limit, share));
            }
        }
    }
    best
}

/// How much waits before a stage: of two that are as busy as each other, the later one is the limit if the queue
/// between them is full.
fn pressed(stage: &StageStatus, queues: &[QueueStatus]) -> f64 {
    inputs(stage, queues).map(QueueStatus::fullness).fold(0.0, f64::max)
}

fn inputs<'a>(stage: &'a StageStatus, queues: &'a [QueueStatus]) -> impl Iterator<Item = &'a QueueStatus> {
    queues.iter().filter(|queue| stage.inputs.contains(&queue.name))
}

fn next(loads: &[Load<'_>], limit: &Load<'_>, kind: Limit) -> Option<Next> {
    let others = loads.iter().filter(|load| load.stage.name != limit.stage.name);
    let busiest = others.max_by(|a, b| a.busy().total_cmp(&b.busy()))?;
    // Where the limit lies outside, the stage that it is seen through may be the next one itself: that is no news.
    if matches!(kind, Limit::Input | Limit::Output) && limit.busy() > busiest.busy() {
        return None;
    }
    let times_as_much = 1.0 / busiest.busy().max(1e-3);
    Some(Next { stage: busiest.stage.name.clone(), times_as_much })
}

/// What one process more would give, or why nothing.
fn gain(load: &Load<'_>, kind: Limit, next: Option<&Next>, cpus: Option<Cpus>) -> (f64, Option<NoMore>) {
    let is_source = load.stage.is_source();
    // Pauses of one process are the turns of the others.
    if is_source && kind == Limit::Work {
        let why = if load.stage.is_command { NoMore::OwnProgram } else { NoMore::OnePosition };
        return (0.0, Some(why));
    }
    if kind == Limit::Work && cpus.is_some_and(|cpus| cpus.idle < MIN_IDLE_SHARE) {
        return (0.0, Some(NoMore::CpusBusy));
    }
    let processes = f64::from(load.stage.running.max(1));
    let alone = (processes + 1.0) / processes;
    let gain = next.map_or(alone, |next| alone.min(next.times_as_much)) - 1.0;
    if gain < MIN_GAIN { (0.0, Some(NoMore::NextIsNear)) } else { (gain, None) }
}

#[cfg(test)]
mod tests;
