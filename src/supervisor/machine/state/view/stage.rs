//! One stage as it is.

use super::worker::describe as describe_worker;
use crate::status;
use crate::supervisor::machine::observe::{Counters, Moment};
use crate::supervisor::machine::stage_state::{Fate, StageState};

pub(super) fn describe(
    stage: &StageState,
    moment: Moment,
    counters: &mut dyn Counters,
) -> status::StageStatus {
    let (mut times, mut item_times) = (stage.totals.times, stage.totals.item_times);
    let (mut dead, mut progress) = (stage.totals.dead, stage.totals.progress);
    let mut workers = Vec::with_capacity(stage.workers.len());
    for worker in &stage.workers {
        let report = worker.life.process().map(|process| counters.slot(process.slot));
        workers.push(describe_worker(worker, report.as_ref(), moment, counters));
        if let Some(report) = report {
            dead += report.dead;
            let own = report.progress.map(|(done, total)| status::Progress { done, total });
            progress = status::Progress::further(progress, own);
            times += report.times;
            item_times += report.item_times;
        }
    }
    let mut totals = status::Totals {
        taken: stage.totals.taken,
        done: stage.totals.done,
        emitted: stage.totals.emitted,
        dead,
        too_long: stage.totals.too_long,
    };
    for worker in &workers {
        totals.taken += worker.taken;
        totals.done += worker.done;
        totals.emitted += worker.emitted;
    }
    status::StageStatus {
        name: stage.spec.name.clone(),
        kind: stage.spec.work.title().to_owned(),
        is_command: stage.spec.work.command().is_some(),
        inputs: stage.spec.work.inputs.clone(),
        outputs: stage.spec.work.outputs.clone(),
        processes: stage.spec.processes,
        running: u32::try_from(workers.iter().filter(|worker| worker.pid.is_some()).count())
            .unwrap_or(u32::MAX),
        paused: stage.paused,
        fate: match stage.fate {
            Fate::Wanted if stage.is_over() && !stage.workers.is_empty() => status::Fate::Finished,
            Fate::Wanted => status::Fate::Wanted,
            Fate::Removed { .. } => status::Fate::Removed,
            Fate::GaveUp => status::Fate::GaveUp,
        },
        totals,
        rate: status::Rate::default(),
        progress,
        times: times.into(),
        item_seconds: item_times.into(),
        restarts: stage.restarts.clone(),
        killed_in_a_row: killed_in_a_row(stage, &workers),
        workers,
    }
}

/// As long as none of its workers has done an item since, or has lived for long.
fn killed_in_a_row(stage: &StageState, workers: &[status::WorkerStatus]) -> Option<u32> {
    let long = stage.spec.rules.backoff.reset_after.as_secs_f64();
    let is_well = |worker: &status::WorkerStatus| {
        worker.done + worker.emitted > 0 || worker.since.is_some_and(|since| since >= long)
    };
    let times = stage.killed_in_a_row;
    (times >= stage.many_kills() && !workers.iter().any(is_well)).then_some(times)
}
