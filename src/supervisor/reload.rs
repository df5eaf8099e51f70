//! What a changed file means for a running pipeline: a plan to show before it is done, or a refusal.

use crate::config::{Pipeline, Stage};
use crate::queue::MAX_SLOTS;
use std::fmt;

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep(pub String);

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a good file can't be taken over by the running pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pipeline has another name: its state folder and everybody who knows it by name go by that.
    Renamed(String, String),
    /// Items would be lost.
    QueueHolds(String, u64),
    /// No room in shared memory.
    TooManyWorkers(u64),
    /// No room in shared memory.
    TooManyQueues,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Renamed(old, new) => {
                write!(f, "the name changed from {old} to {new}, which needs a restart")
            }
            Refusal::QueueHolds(queue, items) => {
                write!(
                    f,
                    "the queue {queue} would go, but holds {items} items that nothing in the new file reads"
                )
            }
            Refusal::TooManyWorkers(workers) => {
                write!(f, "{workers} workers are more than the {MAX_SLOTS} that fit in one run")
            }
            Refusal::TooManyQueues => f.write_str("there are more queues than fit in one run"),
        }
    }
}

/// The way from `old` to `new`. `held`: how many items each queue holds now.
pub fn plan(old: &Pipeline, new: &Pipeline, held: &[(String, u64)]) -> Result<Vec<PlannedStep>, Refusal> {
    if old.name != new.name {
        return Err(Refusal::Renamed(old.name.clone(), new.name.clone()));
    }
    let workers = new.stages.iter().map(|stage| u64::from(stage.processes)).sum();
    if workers > MAX_SLOTS as u64 {
        return Err(Refusal::TooManyWorkers(workers));
    }
    refuse_to_lose_items(old, new, held)?;
    Ok(steps(old, new))
}

fn refuse_to_lose_items(old: &Pipeline, new: &Pipeline, held: &[(String, u64)]) -> Result<(), Refusal> {
    for (name, items) in held.iter().filter(|(_, items)| *items > 0) {
        let goes = old.queues.iter().any(|queue| queue.name == *name)
            && !new.queues.iter().any(|queue| queue.name == *name);
        if goes && !old.stages.iter().any(|stage| works_off(stage, name, new)) {
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

fn steps(_old: &Pipeline, _new: &Pipeline) -> Vec<PlannedStep> {
    Vec::new()
}
