//! What concerns one stage each.

use super::family::Families;
use crate::status::{Fate, Snapshot, StageStatus, Times};
use std::fmt;

/// The ways to spend time, by label, and the seconds.
fn states(times: &Times) -> [(&'static str, f64); 5] {
    [
        ("working", times.working),
        ("starved", times.starved),
        ("blocked", times.blocked),
        ("paused", times.paused),
        ("for-turn", times.for_turn),
    ]
}

pub(super) fn encode(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    items(seen, out)?;
    processes(seen, out)?;
    times(seen, out)
}

fn each<'a, V>(
    seen: &'a Snapshot,
    value: impl Fn(&'a StageStatus) -> V,
) -> impl Iterator<Item = ([(&'a str, &'a str); 1], V)> {
    seen.stages.iter().map(move |stage| ([("stage", stage.name.as_str())], value(stage)))
}

/// The same of those that have items.
fn each_with_items<'a, V>(
    seen: &'a Snapshot,
    value: impl Fn(&'a StageStatus) -> V,
) -> impl Iterator<Item = ([(&'a str, &'a str); 1], V)> {
    with_items(seen).map(move |stage| ([("stage", stage.name.as_str())], value(stage)))
}

fn with_items(seen: &Snapshot) -> impl Iterator<Item = &StageStatus> {
    seen.stages.iter().filter(|stage| !stage.is_service())
}

fn items(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    let taken = "Items that workers leased; one that went back and was leased again counts twice";
    out.counter("stage_items_taken", taken, each_with_items(seen, |stage| stage.totals.taken))?;
    out.counter(
        "stage_items_done",
        "Leases that ended well",
        each_with_items(seen, |stage| stage.totals.done),
    )?;
    out.counter(
        "stage_items_emitted",
        "Items published or printed",
        each_with_items(seen, |stage| stage.totals.emitted),
    )?;
    out.counter(
        "stage_items_dead",
        "Items that became dead letters",
        each_with_items(seen, |stage| stage.totals.dead),
    )?;
    let too_long = "What was read and was too long to become an item";
    out.counter("stage_items_too_long", too_long, each_with_items(seen, |stage| stage.totals.too_long))?;
    let repeated = "Lines that may be twice in a file: another program wrote there when a worker was killed";
    out.counter("stage_lines_repeated", repeated, each_with_items(seen, |stage| stage.totals.repeated))?;
    let lost = "About how many items programs with mode = \"stream\" had in hand when they ended";
    out.counter("stage_items_perhaps_lost", lost, each_with_items(seen, |stage| stage.totals.perhaps_lost))?;
    let taken = "Items leased a second, lately";
    out.gauge("stage_taken_items_per_second", taken, each_with_items(seen, |stage| stage.rate.taken))?;
    let done = "Leases that ended well a second, lately, as `mprun status` shows it";
    out.gauge("stage_done_items_per_second", done, each_with_items(seen, |stage| stage.rate.done))?;
    let emitted = "Items published a second, lately, as `mprun status` shows it";
    out.gauge("stage_emitted_items_per_second", emitted, each_with_items(seen, |stage| stage.rate.emitted))
}

fn processes(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    let wanted = each(seen, |stage| i64::from(stage.processes));
    out.gauge("stage_processes_wanted", "Worker processes that the stage should have", wanted)?;
    let running = each(seen, |stage| i64::from(stage.running));
    out.gauge("stage_processes_running", "Worker processes that the stage has", running)?;
    out.gauge("stage_paused", "Whether the stage is paused", each(seen, |stage| i64::from(stage.paused)))?;
    let gave_up = each(seen, |stage| i64::from(stage.fate == Fate::GaveUp));
    out.gauge("stage_gave_up", "Whether the stage failed too often and is not started again", gave_up)?;
    let failing = each(seen, |stage| i64::from(stage.failing.is_some() || stage.killed_in_a_row.is_some()));
    out.gauge(
        "stage_failing",
        "Whether different items of the stage fail one after the other, its workers are killed again and again, or its \
         last run by its schedule failed",
        failing,
    )?;
    let ready = each(seen, |stage| i64::try_from(stage.ready()).unwrap_or(i64::MAX));
    out.gauge("stage_processes_ready", "Processes that can work: of a service those that are ready", ready)?;
    let services = seen.stages.iter().filter(|stage| stage.is_service());
    let failed = services.map(|stage| ([("stage", stage.name.as_str())], stage.failed_checks));
    out.counter("stage_health_failures", "Health checks of the service that have failed", failed)?;
    let restarts = seen.stages.iter().flat_map(|stage| {
        let labels = |reason| [("stage", stage.name.as_str()), ("reason", reason)];
        stage.restarts.iter().map(move |(reason, count)| (labels(reason.as_str()), *count))
    });
    out.counter("stage_restarts", "New processes in place of old ones", restarts)
}

fn times(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    let spent = with_items(seen).flat_map(|stage| {
        states(&stage.times)
            .map(|(state, seconds)| ([("stage", stage.name.as_str()), ("state", state)], seconds))
    });
    let help = "How workers spent their time: working, starved (waiting for an item), blocked (waiting for room), \
                paused, for-turn (waiting for another worker of the stage)";
    out.counter("stage_worker_seconds", help, spent)?;
    let durations = with_items(seen).filter(|stage| !stage.item_seconds.counts.is_empty());
    let durations = durations.map(|stage| ([("stage", stage.name.as_str())], &stage.item_seconds));
    out.histogram("stage_item_duration_seconds", "How long items were worked on", durations)
}
