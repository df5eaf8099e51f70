//! One stage as it is.

use super::worker::describe as describe_worker;
use crate::queue::{NextItem, QueueId, WindowState};
use crate::status;
use crate::supervisor::machine::condition::{Condition, Health};
use crate::supervisor::machine::failing::Failing;
use crate::supervisor::machine::observe::{Counters, Moment};
use crate::supervisor::machine::reason::StopReason;
use crate::supervisor::machine::stage_state::{Fate, StageState, Switch, Worker};
use crate::supervisor::machine::worker_state::Life;

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
    for (i, worker) in stage.workers.iter().enumerate() {
        let process = worker.life.process().filter(|_| !worker.is_service);
        let report = process.map(|process| counters.slot(process.slot));
        let mut described = describe_worker(worker, report.as_ref(), moment, counters);
        if described.state == status::WorkerState::Due && !waits_for.is_empty() {
            described.reason = Some(format!("it waits for {} to be ready (after)", waits_for.join(", ")));
        }
        // It waits for others, and not for itself to be ready.
        if described.state != status::WorkerState::Due || waits_for.is_empty() {
            described.check = describe_check(stage, worker);
        }
        described.lost_reader = matches!(worker.life, Life::Over(over) if stage.should_run(i, over));
        if described.reason.is_none() {
            let says = described.check.as_ref().and_then(status::CheckStatus::says);
            described.reason = says.map(|says| format!("it {says}"));
        }
        workers.push(described);
        report.into_iter().for_each(|report| totals.add(&report.into()));
    }
    status::StageStatus {
        name: stage.spec.name.clone(),
        kind: stage.spec.work.title().into_owned(),
        is_command: stage.spec.work.command().is_some(),
        rate_limit: stage.spec.tuning.rate.map(|rate| rate.to_string()),
        order: stage.window().and_then(|window| describe_order(stage, window, named, counters)),
        inputs: stage.spec.work.inputs.clone(),
        outputs: stage.spec.work.outputs.clone(),
        processes: stage.spec.processes,
        running: u32::try_from(workers.iter().filter(|worker| worker.pid.is_some()).count())
            .unwrap_or(u32::MAX),
        waits_for: match workers.iter().any(|worker| worker.state == status::WorkerState::Due) {
            true => waits_for.to_vec(),
            false => Vec::new(),
        },
        paused: stage.paused,
        scheduled: stage.spec.rules.schedule.is_some(),
        fate: match stage.fate {
            Fate::Wanted if stage.switch == Switch::Elsewhere => status::Fate::Elsewhere,
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
        failed_checks: stage.totals.failed_checks,
        killed_in_a_row: killed_in_a_row(stage, &workers),
        failing: outage
            .filter(|_| stage.fate == Fate::Wanted)
            .map(|outage| failing(stage, outage, moment, counters))
            .or_else(|| failed_runs(stage, moment)),
        workers,
    }
}

/// `None`: nothing is checked, or there is nothing to check.
fn describe_check(stage: &StageState, worker: &Worker) -> Option<status::CheckStatus> {
    let is_checked = stage.spec.ready.is_some() || stage.spec.health.is_some();
    if !is_checked || matches!(worker.life, Life::BackOff { .. } | Life::Over(_)) {
        return None;
    }
    let requested = worker.life.process().and_then(|process| process.requested.reason());
    let state = match (&worker.condition, requested) {
        (_, Some(StopReason::Unhealthy)) => status::CheckState::Unhealthy,
        (Condition::Ready(Health::Unknown), _) => status::CheckState::Ready,
        (Condition::Ready(Health::Healthy), _) => status::CheckState::Healthy,
        (Condition::Ready(Health::Failing { .. }), _) => status::CheckState::Failing,
        (Condition::Unbegun | Condition::Starting { .. }, _) => status::CheckState::Starting,
    };
    Some(status::CheckStatus {
        state,
        failures: worker.condition.failures(),
        limit: stage.spec.health.as_ref().map(|health| health.failures),
        last: worker.condition.last_words().map(str::to_owned),
    })
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

/// Of a stage with a schedule: as long as the last run of one of its workers has failed.
fn failed_runs(stage: &StageState, moment: Moment) -> Option<status::Failing> {
    let is_there = stage.fate == Fate::Wanted && !stage.is_off();
    let runs = stage.workers.iter().filter_map(|worker| worker.failed_runs.as_ref()).filter(|_| is_there);
    runs.min_by_key(|runs| runs.since).map(|runs| status::Failing {
        since: moment.now.saturating_duration_since(runs.since).as_secs_f64(),
        last_words: format!("its last run {}", runs.last),
    })
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
