//! What a changed file means for a running pipeline: a plan to show before it is done, or a refusal. Pure.

use crate::config::{
    DeadLetters, Diff, KeyChange, MAX_PROCESSES, Named, Pipeline, Stage, StageChange, ValueChange, diff,
    elements::show_duration,
};
use crate::dead_letter::WhenFull;
use crate::model::Machines;
use crate::numbers::counted;
use std::collections::BTreeSet;
use std::fmt;

fn listed(keys: &[KeyChange]) -> String {
    keys.iter().map(KeyChange::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a good file can't be taken over by the running pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The pipeline has another name: its state folder and its clients go by that.
    Renamed(ValueChange<String>),
    /// Clients know it by its socket.
    OtherControl,
    /// Another address for metrics.
    OtherMetrics,
    /// Another broker, or other queues in it: those of the old one are with other machines as well.
    OtherBroker,
    /// Other stages at shared queues: the process that speaks with the broker knows those of its start.
    SharedStages,
    /// Items would be lost.
    QueueHolds(String, u64),
    /// Items of this queue would come to stages that they are not meant for.
    Moved(Moved),
    /// The queues would have to move from memory into a file, or back.
    Durable(bool),
    /// Whether, and how, the queues are saved.
    Sync,
    /// Another output of a stage that keeps the order of its input: workers of both settings are at it together.
    OrderedOutput(String),
    /// No room in shared memory.
    TooManyWorkers(u64),
    /// No room in shared memory: those that go and those that come are both there while the old ones are worked off.
    TooManyQueues { new: usize, room: usize },
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
            Refusal::OtherControl => {
                f.write_str("`[control]` has another `socket` or `enabled`, which needs a restart")
            }
            Refusal::OtherMetrics => f.write_str("`[metrics]` changed, which needs a restart"),
            Refusal::OtherBroker => {
                f.write_str("`broker`, or which queues are shared, changed, which needs a restart")
            }
            Refusal::SharedStages => {
                f.write_str("which stages read or write shared queues, or their `machines`, changed, which needs a restart")
            }
            Refusal::QueueHolds(queue, items) => {
                write!(
                    f,
                    "the queue {queue} would go, but it holds {} that no stage would work off first",
                    counted(*items, "item")
                )
            }
            Refusal::Moved(Moved { queue, stage, again }) => {
                let comes = match again {
                    true => format!("would come to the stage {stage} once more"),
                    false => format!("would never come to the stage {stage}"),
                };
                write!(
                    f,
                    "the queue {queue} would stand at another place in the pipeline: what is in it now {comes}. \
                     Give the queue that stands there a new name: what is in {queue} is worked off first then"
                )
            }
            Refusal::OrderedOutput(stage) => {
                write!(
                    f,
                    "`output` of the stage {stage} changed, which needs a restart: it keeps the order of its input with several processes. \
                     A reload can do it that gives its `input` another name as well"
                )
            }
            Refusal::TooManyWorkers(workers) => {
                write!(
                    f,
                    "{workers} processes over all stages are more than the {MAX_PROCESSES} of one pipeline"
                )
            }
            Refusal::TooManyQueues { new, room } => {
                write!(
                    f,
                    "it adds {}, hidden ones included, and the run has room for {room} beside those it has: \
                     change fewer at once",
                    counted(*new as u64, "queue")
                )
            }
        }
    }
}

/// The way from `old` to `new`, step by step in the user's words. `held`: how many items each queue holds now.
pub(crate) fn plan(old: &Pipeline, new: &Pipeline, held: &[(String, u64)]) -> Result<Vec<String>, Refusal> {
    let Diff {
        name,
        folder,
        drain_timeout,
        control,
        is_other_socket,
        metrics,
        dead_letters,
        is_other_broker,
        is_other_way_to_broker,
        stages,
        queues,
    } = diff(old, new);
    if let Some(change) = name {
        return Err(Refusal::Renamed(change));
    }
    if is_other_socket {
        return Err(Refusal::OtherControl);
    }
    if metrics.is_some() {
        return Err(Refusal::OtherMetrics);
    }
    if is_other_broker {
        return Err(Refusal::OtherBroker);
    }
    if at_shared_queues(old) != at_shared_queues(new) {
        return Err(Refusal::SharedStages);
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
    refuse_to_move_queues(old, new)?;
    refuse_to_lose_order(old, new)?;
    let mut steps = Vec::new();
    steps.extend(drain_timeout.map(|ValueChange { old, new }| {
        format!("drain_timeout: {} -> {}", show_duration(old), show_duration(new))
    }));
    if !control.is_empty() {
        steps.push(format!("control: {}", listed(&control)));
    }
    steps.extend(dead_letters.map(|change| dead_letters_step(change.new)));
    if is_other_way_to_broker {
        steps.push("broker: this machine's password or files for it are others".to_owned());
    }
    steps.extend(folder.map(|ValueChange { old, new }| {
        let change = format!("{} -> {}", old.display(), new.display());
        format!("all stages: replace workers one by one (folder: {change})")
    }));
    let (gone_stages, stages): (Vec<_>, Vec<_>) =
        stages.into_iter().partition(|stage| matches!(stage, Named::Removed(_)));
    let (gone_queues, queues): (Vec<_>, Vec<_>) =
        queues.into_iter().partition(|queue| matches!(queue, Named::Removed(_)));
    steps.extend(queues.into_iter().map(queue_step));
    let stages = stages.into_iter().chain(gone_stages);
    steps.extend(stages.flat_map(|change| stage_steps(change, old)));
    steps.extend(gone_queues.into_iter().map(queue_step));
    Ok(steps)
}

/// The step of a stage that gave up.
pub(crate) fn starts_again(stage: &str) -> String {
    format!("stage {stage}: start again (it gave up)")
}

/// The stages that read or write shared queues, each with these and where it works.
fn at_shared_queues(pipeline: &Pipeline) -> BTreeSet<(&str, &str, bool, Option<Machines>)> {
    let shared: BTreeSet<&str> =
        pipeline.queues.iter().filter(|queue| queue.shared).map(|queue| queue.name.as_str()).collect();
    let mut all = BTreeSet::new();
    for stage in &pipeline.stages {
        let (name, placed) = (stage.name.as_str(), stage.placed);
        all.extend(stage.work.inputs.iter().map(|queue| (name, queue.as_str(), true, placed)));
        all.extend(stage.work.outputs.iter().map(|queue| (name, queue.as_str(), false, placed)));
    }
    all.retain(|(_, queue, ..)| shared.contains(queue));
    all
}

fn dead_letters_step(new: DeadLetters) -> String {
    let when_full = match new.when_full {
        WhenFull::Block => "block",
        WhenFull::DropOld => "drop-old",
    };
    if !new.keep {
        return "dead letters: kept no more, by workers that start from now on".to_owned();
    }
    let max_size = new.max_size;
    format!("dead letters: at most {max_size} bytes, then {when_full}, for workers that start from now on")
}

fn queue_step(change: Named<Vec<KeyChange>>) -> String {
    match change {
        Named::Added(queue) => format!("queue {queue}: add"),
        Named::Removed(queue) => format!("queue {queue}: remove once it is empty"),
        Named::Changed(name, keys) => format!("queue {name}: change {}", listed(&keys)),
    }
}

fn stage_steps(change: Named<StageChange>, old: &Pipeline) -> Vec<String> {
    let of_old = |name: &str| old.stages.iter().find(|stage| stage.name == name);
    let is_service = |name: &str| of_old(name).is_some_and(|stage| stage.work.is_service());
    match change {
        Named::Added(stage) => vec![format!("stage {stage}: start")],
        Named::Removed(stage) if is_service(&stage) => vec![format!("stage {stage}: stop")],
        Named::Removed(stage) => vec![format!("stage {stage}: drain and stop")],
        Named::Changed(name, change) => {
            let what = if is_service(&name) { ("process", "processes") } else { ("worker", "workers") };
            let is_scheduled = of_old(&name).is_some_and(|stage| stage.rules.schedule.is_some());
            changed_stage(&name, change, what, is_scheduled)
        }
    }
}

/// `what`: one process of it, and several.
fn changed_stage(name: &str, change: StageChange, what: (&str, &str), is_scheduled: bool) -> Vec<String> {
    let StageChange { processes, live, replaced } = change;
    let mut steps = Vec::new();
    if !live.is_empty() {
        steps.push(format!("stage {name}: take over {}", listed(&live)));
    }
    steps.extend(processes.map(|change| scale_step(name, &change, what)));
    if !replaced.is_empty() && is_scheduled {
        steps.push(format!("stage {name}: the next run takes over {}", listed(&replaced)));
    } else if !replaced.is_empty() {
        steps.push(format!("stage {name}: replace {} one by one ({})", what.1, listed(&replaced)));
    }
    steps
}

fn scale_step(stage: &str, change: &ValueChange<u32>, (one, several): (&str, &str)) -> String {
    let what = match change.new.checked_sub(change.old) {
        Some(1) => format!("add 1 {one}"),
        Some(more) => format!("add {more} {several}"),
        None if change.old - change.new == 1 => format!("the newest {one} leaves"),
        None => format!("the newest {} {several} leave", change.old - change.new),
    };
    format!("stage {stage}: {what} (processes: {change})")
}

fn refuse_to_lose_items(old: &Pipeline, new: &Pipeline, held: &[(String, u64)]) -> Result<(), Refusal> {
    let [before, after] =
        [old, new].map(|pipeline| pipeline.queues.iter().map(|queue| &queue.name).collect::<BTreeSet<_>>());
    for (name, items) in held.iter().filter(|(_, items)| *items > 0) {
        if before.contains(name)
            && !after.contains(name)
            && !old.stages.iter().any(|stage| works_off(stage, name, new))
        {
            return Err(Refusal::QueueHolds(name.clone(), *items));
        }
    }
    Ok(())
}

/// A queue whose name stands for another one in the new file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub queue: String,
    /// It has read the queue, or has written into it.
    pub stage: String,
    /// It would get what it has written; else it would not get what is written for it.
    pub again: bool,
}

/// Two queues that change their names, and the like: other stages write a queue and others read it, and the way on from it leaves out
/// one that has read it, or comes to one that has written it.
fn refuse_to_move_queues(old: &Pipeline, new: &Pipeline) -> Result<(), Refusal> {
    for queue in old.queues.iter().map(|queue| &queue.name) {
        let [(written, read), (writes, reads)] =
            [old, new].map(|pipeline| (ends(pipeline, queue, false), ends(pipeline, queue, true)));
        let are_others =
            |before: &[&str], now: &[&str]| !now.is_empty() && !before.iter().any(|name| now.contains(name));
        if !(are_others(&written, &writes) && are_others(&read, &reads)) {
            continue;
        }
        let behind = stages_behind(new, queue);
        let is_there = |name: &&&str| new.stages.iter().any(|stage| stage.name == **name);
        let left_out =
            read.iter().filter(is_there).find(|name| !behind.contains(**name)).map(|name| (name, false));
        let again = || written.iter().find(|name| behind.contains(**name)).map(|name| (name, true));
        if let Some((stage, again)) = left_out.or_else(again) {
            let (queue, stage) = (queue.clone(), (*stage).to_owned());
            return Err(Refusal::Moved(Moved { queue, stage, again }));
        }
    }
    Ok(())
}

/// The stages that read a queue, or those that write it.
fn ends<'p>(pipeline: &'p Pipeline, queue: &String, read: bool) -> Vec<&'p str> {
    let queues = |stage: &'p Stage| if read { &stage.work.inputs } else { &stage.work.outputs };
    pipeline
        .stages
        .iter()
        .filter(|stage| queues(stage).contains(queue))
        .map(|stage| stage.name.as_str())
        .collect()
}

/// The stages that items of a queue may come to.
fn stages_behind<'p>(pipeline: &'p Pipeline, queue: &'p String) -> BTreeSet<&'p str> {
    let (mut behind, mut queues) = (BTreeSet::new(), vec![queue]);
    while let Some(queue) = queues.pop() {
        for stage in pipeline.stages.iter().filter(|stage| stage.work.inputs.contains(queue)) {
            if behind.insert(stage.name.as_str()) {
                queues.extend(&stage.work.outputs);
            }
        }
    }
    behind
}

/// Its readers read the old output to its end first, so outputs of the two settings must not alternate.
fn refuse_to_lose_order(old: &Pipeline, new: &Pipeline) -> Result<(), Refusal> {
    for stage in old.stages.iter().filter(|stage| stage.window().is_some()) {
        let Some(now) = new.stages.iter().find(|now| now.name == stage.name && now.window().is_some()) else {
            continue;
        };
        let is_read_out = stage.work.inputs.iter().all(|input| works_off(stage, input, new));
        let are_several = stage.processes.max(now.processes) > 1;
        if stage.work.outputs != now.work.outputs && are_several && !is_read_out {
            return Err(Refusal::OrderedOutput(stage.name.clone()));
        }
    }
    Ok(())
}

/// Whether a stage reads `queue` to its end before it goes or reads others: all that it reads goes.
fn works_off(stage: &Stage, queue: &str, new: &Pipeline) -> bool {
    let goes = |name: &String| !new.queues.iter().any(|queue| queue.name == *name);
    stage.work.inputs.iter().any(|input| input == queue) && stage.work.inputs.iter().all(goes)
}

#[cfg(test)]
mod tests;
