//! What changed between two pipelines: every field of every type, or it does not compile (each is taken apart
//! without `..`). What follows from a change is for the supervisor to say.

mod command;
mod keys;
mod queue;
mod stage;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::pipeline::{Control, DeadLetters, Pipeline};
pub use keys::KeyChange;
pub use queue::QueueDiff;
pub use stage::{StageChange, StageDiff};

/// An old and a new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<T> {
    /// What held.
    pub old: T,
    /// What is to hold.
    pub new: T,
}

/// All that differs between two pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The pipeline's name.
    pub name: Option<Change<String>>,
    /// The folder at which relative paths start.
    pub folder: Option<Change<PathBuf>>,
    /// `drain_timeout`.
    pub drain_timeout: Option<Change<Duration>>,
    /// `[control]`.
    pub control: Option<Change<Control>>,
    /// `[metrics]`.
    pub metrics: Option<Change<Option<SocketAddr>>>,
    /// `[dead_letters]`.
    pub dead_letters: Option<Change<DeadLetters>>,
    /// Stages that differ: removed ones first, then the new file's in their order.
    pub stages: Vec<StageDiff>,
    /// Queues that differ: removed ones first, then the new file's in their order.
    pub queues: Vec<QueueDiff>,
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
    }
}

/// What it takes to come from `old` to `new`. Stages and queues are told by their names; their order is no change.
pub fn diff(old: &Pipeline, new: &Pipeline) -> Diff {
    let Pipeline { name, folder, stages, queues, drain_timeout, control, metrics, dead_letters } = old;
    Diff {
        name: Change::of(name, &new.name),
        folder: Change::of(folder, &new.folder),
        drain_timeout: Change::of(drain_timeout, &new.drain_timeout),
        control: Change::of(control, &new.control),
        metrics: Change::of(metrics, &new.metrics),
        dead_letters: Change::of(dead_letters, &new.dead_letters),
        stages: stage::diff(stages, &new.stages),
        queues: queue::diff(queues, &new.queues),
    }
}

impl<T: Clone + PartialEq> Change<T> {
    /// The change, if there is one.
    pub fn of(old: &T, new: &T) -> Option<Change<T>> {
        (old != new).then(|| Change { old: old.clone(), new: new.clone() })
    }
}

impl<T: fmt::Display> fmt::Display for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.old, self.new)
    }
}

#[cfg(test)]
mod tests;
