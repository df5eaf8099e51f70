//! A snapshot as tables.

use super::{dead, health};
use crate::cli::table::Table;
use crate::numbers::{counted, rate, time};
use crate::status::{
    BrokerStatus, CheckState, Fate, Phase, QueueStatus, Snapshot, StageStatus, WorkerState, WorkerStatus,
};
use crate::sys::local_time;
use std::time::{Duration, SystemTime};

/// All of it, for a terminal of this width.
pub(super) fn render(snapshot: &Snapshot, width: Option<usize>) -> String {
    let mut text = head(snapshot);
    for table in [stages(snapshot), services(snapshot)] {
        if table.len() > 0 {
            text.push('\n');
            text.push_str(&table.render(width));
        }
    }
    if !snapshot.queues.is_empty() {
        text.push('\n');
        text.push_str(&queues(snapshot).render(width));
    }
    let notes = notes(snapshot);
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes.join("\n"));
        text.push('\n');
    }
    text
}

fn head(snapshot: &Snapshot) -> String {
    let Snapshot { pipeline, file, pid, uptime, .. } = snapshot;
    let file = if file.is_empty() { "a command line" } else { file };
    let phase = if snapshot.paused { "paused" } else { phase(snapshot.phase) };
    format!("{pipeline}: {phase}, up {} (process {pid}, {file})\n", time(*uptime))
}

/// How far a pipeline is, in a word.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Reloading => "reloading",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
    }
}

fn stages(snapshot: &Snapshot) -> Table {
    let heads = ["<STAGE", "<STATE", "PROCESSES", "DONE", "EMITTED", "DONE/S", "EMITTED/S", "RESTARTS"];
    let mut table = Table::new(&heads);
    for stage in snapshot.stages.iter().filter(|stage| !stage.is_service()) {
        let of_items = |text: String| if stage.is_source() { "-".to_owned() } else { text };
        table.push([
            stage.name.clone(),
            stage.state().to_owned(),
            format!("{}/{}", stage.running, stage.processes),
            of_items(stage.totals.done.to_string()),
            stage.totals.emitted.to_string(),
            of_items(rate(stage.rate.done)),
            rate(stage.rate.emitted),
            stage.restarts().to_string(),
        ]);
    }
    table
}

fn services(snapshot: &Snapshot) -> Table {
    let mut table = Table::new(&["<SERVICE", "<STATE", "PROCESSES", "UP", "RESTARTS"]);
    for stage in snapshot.stages.iter().filter(|stage| stage.is_service()) {
        table.push([
            stage.name.clone(),
            stage.state().to_owned(),
            format!("{}/{}", stage.running, stage.processes),
            stage.up().map_or("-".to_owned(), time),
            stage.restarts().to_string(),
        ]);
    }
    table
}

/// What a stage waits for before its first start.
fn held_back(stage: &StageStatus) -> Option<String> {
    let names = stage.waits_for.join(", ");
    // That the broker is away is said on its own.
    (stage.state() == "waiting" && stage.fate == Fate::Wanted)
        .then(|| format!("{} waits for {names} to be ready (after)", stage.name))
}

/// What a stage waits for that has nothing more to do.
fn lingering(stage: &StageStatus) -> Option<String> {
    let programs = stage.workers.iter().filter(|worker| worker.state == WorkerState::InputEnded);
    let programs: Vec<String> =
        programs.filter_map(|worker| worker.program).map(|pid| pid.to_string()).collect();
    let (name, process) = (&stage.name, if programs.len() == 1 { "process" } else { "processes" });
    (!programs.is_empty()).then(|| {
        format!(
            "{name} has had all its input, waits for its program to end ({process} {})",
            programs.join(", ")
        )
    })
}

/// Health checks that have failed, and are not too many yet.
fn failed_checks(stage: &StageStatus) -> Vec<String> {
    let of_worker = |worker: &WorkerStatus| {
        let check = worker.check.as_ref().filter(|check| check.state == CheckState::Failing)?;
        Some(format!("{}[{}] {}", stage.name, worker.index, check.says()?))
    };
    stage.workers.iter().filter_map(of_worker).collect()
}

/// Processes that have ended well, and wait for their next start.
fn restarts(stage: &StageStatus) -> Vec<String> {
    let of_worker = |worker: &WorkerStatus| {
        let until = worker.until.map_or(String::new(), |until| format!(" in {}", time(until)));
        format!("{}[{}] finished, and starts again{until}", stage.name, worker.index)
    };
    stage.workers.iter().filter(|worker| worker.has_finished).map(of_worker).collect()
}

/// When a stage with a schedule runs next.
fn next_run(stage: &StageStatus) -> Option<String> {
    let waits = stage.workers.iter().filter(|worker| worker.state == WorkerState::Scheduled);
    let left = waits.filter_map(|worker| worker.until).min_by(f64::total_cmp)?;
    // The printed age is below the true one: the moment is cut to a whole second.
    let at = SystemTime::now().checked_add(Duration::try_from_secs_f64(left + 0.5).ok()?)?;
    let at = local_time::format("%Y-%m-%d %H:%M:%S", at)?;
    if stage.paused {
        return Some(format!("{} would run next at {at}, but is paused: that run is left out", stage.name));
    }
    Some(format!("{} runs next at {at}, in {}", stage.name, time(left)))
}

fn queues(snapshot: &Snapshot) -> Table {
    let heads = ["<QUEUE", "WAITING", "OF", "DELAYED", "LEASED", "PUT", "DONE", "DROPPED", "DEAD", "<STATE"];
    let mut table = Table::new(&heads);
    for queue in &snapshot.queues {
        table.push([
            queue.name.clone(),
            queue.waiting.to_string(),
            queue.capacity.to_string(),
            queue.delayed.to_string(),
            queue.leased.to_string(),
            queue.put.to_string(),
            queue.done.to_string(),
            queue.dropped.to_string(),
            queue.dead.to_string(),
            queue_state(queue).to_owned(),
        ]);
    }
    table
}

fn queue_state(queue: &QueueStatus) -> &'static str {
    match queue {
        QueueStatus { leaving: true, .. } => "leaving",
        QueueStatus { closed: true, .. } => "closed",
        QueueStatus { ended: true, .. } => "ended",
        queue if queue.fullness() >= 1.0 => "full",
        _ => "",
    }
}

/// What limits the pipeline, and what is not as the file says, or not as it should be.
fn notes(snapshot: &Snapshot) -> Vec<String> {
    let mut notes: Vec<String> = snapshot.bottleneck.iter().map(|found| found.text.clone()).collect();
    notes.extend(snapshot.stages.iter().filter_map(held_back));
    notes.extend(snapshot.stages.iter().filter_map(lingering));
    notes.extend(snapshot.stages.iter().filter_map(next_run));
    notes.extend(snapshot.stages.iter().flat_map(restarts));
    notes.extend(snapshot.stages.iter().flat_map(failed_checks));
    let faults = health::of(snapshot).faults;
    let of_broker = snapshot.broker.as_ref().and_then(BrokerStatus::note);
    notes.extend(of_broker.filter(|note| !faults.contains(note)));
    notes.extend(faults);
    notes.extend(snapshot.page_fault.clone());
    if !snapshot.config.changed.is_empty() {
        notes.push(format!("changed by hand, until the next reload: {}", snapshot.config.changed.join(", ")));
    }
    let left = snapshot.letters_left();
    if left.items > 0 {
        let letters = counted(left.items, "dead letter");
        let it = if left.items == 1 { "it" } else { "them" };
        notes.push(format!("{letters}: {}", dead::shown_by(snapshot, it)));
    }
    if left.too_long > 0 {
        let too_long = counted(left.too_long, "dead letter");
        notes.push(format!("{too_long} of what was too long for an item: `mprun dead list` shows them"));
    }
    if snapshot.totals.repeated > 0 {
        let lines = counted(snapshot.totals.repeated, "line");
        notes.push(format!("{lines} may be twice in a file, as the log says: another program wrote there when a worker was killed"));
    }
    if snapshot.totals.perhaps_lost > 0 {
        let items = counted(snapshot.totals.perhaps_lost, "item");
        notes.push(format!("about {items} may be lost, as the log says: a program with mode = \"stream\" ended with them in hand"));
    }
    notes
}
