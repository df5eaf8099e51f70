//! What a changed file means for a running pipeline: a plan to show before it is done, or a refusal. Pure.

use super::summary::count;
use crate::config::{
    DeadLetters, Diff, KeyChange, MAX_PROCESSES, Named, Pipeline, Stage, StageChange, ValueChange, diff,
    elements::show_duration,
};
use crate::dead_letter::WhenFull;
use std::fmt;

/// One step of a plan, in the user's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedStep {
    /// A setting of the whole pipeline.
    DrainTimeout(String),
    /// Other bounds for dead letters.
    DeadLetters(DeadLetters),
    /// Relative paths start elsewhere: all workers are replaced.
    Folder(String),
    /// A queue is made.
    AddQueue(String),
    /// A queue gets other bounds.
    ChangeQueue(String, Vec<KeyChange>),
    /// A stage is started.
    AddStage(String),
    /// A stage gets more or fewer workers.
    Scale(String, ValueChange<u32>),
    /// A stage takes over settings as it runs.
    Tune(String, Vec<KeyChange>),
    /// A stage's workers are replaced one by one.
    Roll(String, Vec<KeyChange>),
    /// A stage works off its input and ends, or ends after the items it has.
    RemoveStage(String),
    /// A queue is removed once it is empty.
    RemoveQueue(String),
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlannedStep::DrainTimeout(change) => write!(f, "drain_timeout: {change}"),
            PlannedStep::DeadLetters(new) => {
                let when_full = match new.when_full {
                    WhenFull::Block => "block",
                    WhenFull::DropOld => "drop-old",
                };
                let max_size = new.max_size;
                write!(
                    f,
                    "dead letters: at most {max_size} bytes, then {when_full}, for workers that start from now on"
                )
            }
            PlannedStep::Folder(change) => {
                write!(f, "all stages: replace workers one by one (folder: {change})")
            }
            PlannedStep::AddQueue(queue) => write!(f, "queue {queue}: add"),
            PlannedStep::ChangeQueue(queue, keys) => write!(f, "queue {queue}: change {}", listed(keys)),
            PlannedStep::AddStage(stage) => write!(f, "stage {stage}: start"),
            PlannedStep::Scale(stage, change) if change.new > change.old => {
                let more = count((change.new - change.old).into(), "worker");
                write!(f, "stage {stage}: add {more} (processes: {change})")
            }
            PlannedStep::Scale(stage, change) => {
                let leaving = match change.old - change.new {
                    1 => "the newest worker leaves".to_owned(),
                    fewer => format!("the newest {fewer} workers leave"),
                };
                write!(f, "stage {stage}: {leaving} (processes: {change})")
            }
            PlannedStep::Tune(stage, keys) => write!(f, "stage {stage}: take over {}", listed(keys)),
            PlannedStep::Roll(stage, keys) => {
                write!(f, "stage {stage}: replace workers one by one ({})", listed(keys))
            }
            PlannedStep::RemoveStage(stage) => write!(f, "stage {stage}: drain and stop"),
            PlannedStep::RemoveQueue(queue) => write!(f, "queue {queue}: remove once it is empty"),
        }
    }
}

fn listed(keys: &[KeyChange]) -> String {
    keys.iter().map(KeyChange::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a good file can't be taken over by the running pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pipeline has another name: its state folder and everybody who knows it go by that.
    Renamed(ValueChange<String>),
    /// Whoever talks to it knows it by its socket.
    OtherControl,
    /// Another address for metrics.
    OtherMetrics,
    /// Items would be lost.
    QueueHolds(String, u64),
    /// The queues would have to move from memory into a file, or back.
    Durable(bool),
    /// Whether, and how, the queues are saved.
    Sync,
    /// No room in shared memory.
    TooManyWorkers(u64),
    /// No room in shared memory.
    TooManyQueues,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Renamed(change) => {
                write!(f, "the pipeline's name changed ({change}), which needs a restart")
            }
            Refusal::Durable(true) => {
                f.write_str("it makes a queue durable, which needs a restart: the queues are in memory now")
            }
            Refusal::Durable(false) => f.write_str(
                "no queue is durable any more, which needs a restart: the queues are in a file now",
            ),
            Refusal::Sync => f.write_str("`sync` changed, which needs a restart"),
            Refusal::OtherControl => f.write_str("`[control]` changed, which needs a restart"),
            Refusal::OtherMetrics => f.write_str("`[metrics]` changed, which needs a restart"),
            Refusal::QueueHolds(queue, items) => {
                write!(
                    f,
                    "the queue {queue} would go, but it holds {items} items that no stage would work off first"
                )
            }
            Refusal::TooManyWorkers(workers) => {
                write!(
                    f,
                    "{workers} processes over all stages are more than the {MAX_PROCESSES} of one pipeline"
                )
            }
            Refusal::TooManyQueues => f.write_str("there are more queues than fit in one run"),
        }
    }
}

/// The way from `old` to `new`. `held`: how many items each queue holds now.
pub fn plan(old: &Pipeline, new: &Pipeline, held: &[(String, u64)]) -> Result<Vec<PlannedStep>, Refusal> {
    let Diff { name, folder, drain_timeout, control, metrics, dead_letters, stages, queues } = diff(old, new);
    if let Some(change) = name {
        return Err(Refusal::Renamed(change));
    }
    if control.is_some() {
        return Err(Refusal::OtherControl);
    }
    if metrics.is_some() {
        return Err(Refusal::OtherMetrics);
    }
    let workers = new.stages.iter().map(|stage| u64::from(stage.processes)).sum();
    if workers > MAX_PROCESSES {
        return Err(Refusal::TooManyWorkers(workers));
    }
    if old.is_durable() != new.is_durable() {
        return Err(Refusal::Durable(new.is_durable()));
    }
    if old.sync() != new.sync() {
        return Err(Refusal::Sync);
    }
    refuse_to_lose_items(old, new, held)?;
    let drain_timeout = drain_timeout.map(|ValueChange { old, new }| {
        PlannedStep::DrainTimeout(format!("{} -> {}", show_duration(old), show_duration(new)))
    });
    let folder = folder.map(|ValueChange { old, new }| {
        PlannedStep::Folder(format!("{} -> {}", old.display(), new.display()))
    });
    let (gone_stages, stages): (Vec<_>, Vec<_>) =
        stages.into_iter().partition(|stage| matches!(stage, Named::Removed(_)));
    let (gone_queues, queues): (Vec<_>, Vec<_>) =
        queues.into_iter().partition(|queue| matches!(queue, Named::Removed(_)));
    let dead_letters = dead_letters.map(|change| PlannedStep::DeadLetters(change.new));
    let first = drain_timeout.into_iter().chain(dead_letters).chain(folder);
    let queue_steps = |queues: Vec<Named<Vec<KeyChange>>>| queues.into_iter().map(queue_step);
    let stage_steps = |stages: Vec<Named<StageChange>>| stages.into_iter().flat_map(stage_steps);
    Ok(first
        .chain(queue_steps(queues))
        .chain(stage_steps(stages))
        .chain(stage_steps(gone_stages))
        .chain(queue_steps(gone_queues))
        .collect())
}

fn queue_step(change: Named<Vec<KeyChange>>) -> PlannedStep {
    match change {
        Named::Added(queue) => PlannedStep::AddQueue(queue),
        Named::Removed(queue) => PlannedStep::RemoveQueue(queue),
        Named::Changed(name, keys) => PlannedStep::ChangeQueue(name, keys),
    }
}

fn stage_steps(change: Named<StageChange>) -> Vec<PlannedStep> {
    match change {
        Named::Added(stage) => vec![PlannedStep::AddStage(stage)],
        Named::Removed(stage) => vec![PlannedStep::RemoveStage(stage)],
        Named::Changed(name, change) => changed_stage(&name, change),
    }
}

fn changed_stage(name: &str, change: StageChange) -> Vec<PlannedStep> {
    let StageChange { processes, live, replaced } = change;
    let some = |keys: Vec<KeyChange>| (!keys.is_empty()).then_some(keys);
    let steps = [
        some(live).map(|keys| PlannedStep::Tune(name.to_owned(), keys)),
        processes.map(|change| PlannedStep::Scale(name.to_owned(), change)),
        some(replaced).map(|keys| PlannedStep::Roll(name.to_owned(), keys)),
    ];
    steps.into_iter().flatten().collect()
}

fn refuse_to_lose_items(old: &Pipeline, new: &Pipeline, held: &[(String, u64)]) -> Result<(), Refusal> {
    for (name, items) in held.iter().filter(|(_, items)| *items > 0) {
        let named = |pipeline: &Pipeline| pipeline.queues.iter().any(|queue| queue.name == *name);
        if named(old) && !named(new) && !old.stages.iter().any(|stage| works_off(stage, name, new)) {
            return Err(Refusal::QueueHolds(name.clone(), *items));
        }
    }
    Ok(())
}

/// Whether a removed stage reads `queue` to its end before it goes: all that it reads goes with it.
fn works_off(stage: &Stage, queue: &str, new: &Pipeline) -> bool {
    let goes = |name: &String| !new.queues.iter().any(|queue| queue.name == *name);
    !new.stages.iter().any(|other| other.name == stage.name)
        && stage.work.inputs.iter().any(|input| input == queue)
        && stage.work.inputs.iter().all(goes)
}

#[cfg(test)]
mod tests;
