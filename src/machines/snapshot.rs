//! The whole run in the shape of one machine's snapshot, for what reads those.

use super::whole::{QueueSum, StageSum, Whole};
use crate::model::{Totals, WhenFull};
use crate::numbers::counted;
use crate::status::{
    Config, ConfigState, Fate, Histogram, Letters, MachineStage, Phase, QueueStatus, Snapshot, StageStatus,
    Times,
};
use std::collections::BTreeMap;

/// Times are those that were spent lately.
pub(crate) fn of(whole: &Whole) -> Snapshot {
    let mut totals = Totals::default();
    whole.stages.iter().for_each(|stage| totals += stage.totals);
    Snapshot {
        pipeline: format!(
            "{}, run {} on {}",
            whole.pipeline,
            whole.run.number,
            counted(whole.alive().count() as u64, "machine")
        ),
        file: whole.file.clone(),
        pid: 0,
        run: whole.run.number.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        upgrades: 0,
        phase: phase(whole),
        paused: whole.alive().count() > 0 && whole.alive().all(|(_, shown)| shown.paused),
        time: String::new(),
        started: whole.run.begun.clone(),
        uptime: whole.run.age,
        config: Config { generation: 1, state: ConfigState::Current, refusal: None, changed: Vec::new() },
        stages: whole.stages.iter().map(|stage| describe(whole, stage)).collect(),
        queues: queues(whole),
        totals,
        dead_letters: whole.queues.iter().map(|queue| queue.letters).sum(),
        dead_letter_file: String::new(),
        letters: Letters::default(),
        bottleneck: whole.bottleneck.clone(),
        broker: None,
        page: None,
        page_fault: None,
        save_fault: None,
    }
}

fn phase(whole: &Whole) -> Phase {
    let phases: Vec<Phase> = whole.alive().map(|(_, shown)| shown.phase).collect();
    let is_running = |phase: &Phase| matches!(phase, Phase::Running | Phase::Reloading);
    match phases.as_slice() {
        [] => Phase::Stopping,
        phases if phases.iter().any(is_running) => Phase::Running,
        [first, ..] => *first,
    }
}

fn describe(whole: &Whole, stage: &StageSum) -> StageStatus {
    let known = whole.machines.iter().filter_map(|machine| machine.stage(&stage.name));
    let here: Vec<&MachineStage> =
        whole.alive().filter_map(|(machine, _)| machine.stage(&stage.name)).collect();
    let any = known.clone().next();
    let mut times = Times::default();
    here.iter().for_each(|stage| times += stage.recent);
    let fate = match here.iter().find(|stage| stage.fate == Fate::Wanted).or(here.first()) {
        Some(stage) => stage.fate,
        None if stage.state == "finished" => Fate::Finished,
        None => Fate::Stopped,
    };
    StageStatus {
        name: stage.name.clone(),
        kind: String::new(),
        is_command: any.is_some_and(|stage| stage.is_command),
        inputs: any.map_or(Vec::new(), |stage| stage.inputs.clone()),
        outputs: any.map_or(Vec::new(), |stage| stage.outputs.clone()),
        processes: stage.processes,
        scheduled: any.is_some_and(|stage| stage.scheduled),
        rate_limit: any.and_then(|stage| stage.rate_limit.clone()),
        waits_for: Vec::new(),
        order: None,
        running: stage.running,
        paused: !here.is_empty() && here.iter().all(|stage| stage.paused),
        fate,
        totals: stage.totals,
        rate: stage.rate,
        progress: None,
        times,
        item_seconds: Histogram::default(),
        restarts: BTreeMap::from([("all".to_owned(), stage.restarts)]),
        killed_in_a_row: None,
        failing: None,
        failed_checks: 0,
        workers: Vec::new(),
    }
}

/// The shared queues, then those that each machine has for itself, summed.
fn queues(whole: &Whole) -> Vec<QueueStatus> {
    let mut queues: Vec<QueueStatus> = whole.queues.iter().map(shared).collect();
    let own = whole.alive().flat_map(|(_, shown)| &shown.queues);
    let mut sums: BTreeMap<&str, QueueStatus> = BTreeMap::new();
    for queue in own {
        let sum = sums.entry(&queue.name).or_insert_with(|| empty(&queue.name));
        sum.capacity += queue.capacity;
        sum.waiting += queue.waiting;
        sum.leased += queue.leased;
    }
    queues.extend(sums.into_values());
    queues
}

fn shared(queue: &QueueSum) -> QueueStatus {
    QueueStatus {
        capacity: queue.capacity,
        put: queue.put,
        waiting: queue.waiting,
        leased: queue.leased,
        done: queue.done,
        dropped: queue.dropped,
        dead: queue.dead,
        ended: queue.sealed,
        shared: true,
        ..empty(&queue.name)
    }
}

fn empty(name: &str) -> QueueStatus {
    QueueStatus {
        name: name.to_owned(),
        capacity: 0,
        max_bytes: u64::MAX,
        when_full: WhenFull::Block,
        put: 0,
        waiting: 0,
        delayed: 0,
        leased: 0,
        done: 0,
        dropped: 0,
        dead: 0,
        bytes: 0,
        ended: false,
        closed: false,
        shared: false,
        leaving: false,
        readers: Vec::new(),
        writers: Vec::new(),
    }
}
