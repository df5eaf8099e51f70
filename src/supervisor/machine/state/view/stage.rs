//! One stage as it is.

use super::worker::describe as describe_worker;
use crate::queue::{NextItem, QueueId, WindowState};
use crate::status;
use crate::supervisor::machine::failing::Failing;
use crate::supervisor::machine::observe::{Counters, Moment};
use crate::supervisor::machine::stage_state::{Fate, StageState};

pub(super) fn describe(
    stage: &StageState,
    outage: Option<&Failing>,
    waits_for: &[String],
    moment: Moment,
    counters: &mut dyn Counters,
    named: &dyn Fn(QueueId) -> Option<String>,
) -> status::StageStatus {
    let mut totals = stage.totals.clone();
    let mut workers = Vec::with_capacity(stage.workers.len());
    for worker in &stage.workers {
        let process = worker.life.process().filter(|_| !worker.is_service);
        let report = process.map(|process| counters.slot(process.slot));
        let mut described = describe_worker(worker, report.as_ref(), moment, counters);
        if described.state == status::WorkerState::Due && !waits_for.is_empty() {
            described.reason = Some(format!("it waits for {} to start (after)", waits_for.join(", ")));
        }
        workers.push(described);
        report.into_iter().for_each(|report| totals.add(&report.into()));
    }
    status::StageStatus {
        name: stage.spec.name.clone(),
        kind: stage.spec.work.title().to_owned(),
        is_command: stage.spec.work.command().is_some(),
        rate_limit: stage.spec.tuning.rate.map(|rate| rate.to_string()),
        order: stage.window().and_then(|window| describe_order(stage, window, named, counters)),
        inputs: stage.spec.work.inputs.clone(),
        outputs: stage.spec.work.outputs.clone(),
        processes: stage.spec.processes,
        running: u32::try_from(workers.iter().filter(|worker| worker.pid.is_some()).count())
            .unwrap_or(u32::MAX),
        paused: stage.paused,
        fate: match stage.fate {
            Fate::Wanted if stage.is_off() => status::Fate::Stopped,
            Fate::Wanted if stage.is_over() && !stage.workers.is_empty() => status::Fate::Finished,
            Fate::Wanted => status::Fate::Wanted,
            Fate::Removed { .. } => status::Fate::Removed,
            Fate::GaveUp => status::Fate::GaveUp,
        },
        totals: totals.counts,
        rate: status::Rate::default(),
        progress: totals.progress,
        times: totals.times.into(),
        item_seconds: totals.item_times.into(),
        restarts: stage.restarts.clone(),
        killed_in_a_row: killed_in_a_row(stage, &workers),
        failing: outage
            .filter(|_| stage.fate == Fate::Wanted)
            .map(|outage| failing(stage, outage, moment, counters)),
        workers,
    }
}

fn describe_order(
    stage: &StageState,
    window: QueueId,
    named: &dyn Fn(QueueId) -> Option<String>,
    counters: &mut dyn Counters,
) -> Option<status::OrderStatus> {
    let WindowState { next, finished, outputs, held_up_by, next_is } = counters.window(window)?;
    let next_is = match next_is {
        NextItem::Waits => "waiting",
        NextItem::Delayed => "delayed",
        NextItem::Leased => "leased",
        NextItem::Finished => "finished",
    };
    let (held_up_by, most) = (held_up_by.and_then(named), stage.spec.window().unwrap_or(0));
    Some(status::OrderStatus { next, next_is: next_is.to_owned(), held_up_by, finished, most, outputs })
}

fn failing(
    stage: &StageState,
    outage: &Failing,
    moment: Moment,
    counters: &mut dyn Counters,
) -> status::Failing {
    let latest = stage.id.and_then(|id| counters.last_words(id));
    status::Failing {
        since: moment.now.saturating_duration_since(outage.since).as_secs_f64(),
        last_words: latest.unwrap_or_else(|| outage.last_words.clone()),
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
