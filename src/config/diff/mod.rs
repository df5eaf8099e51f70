//! What changed between two pipelines, key by key. The keys of queues and stages are compared by their tables in
//! [`super::keys`]; what remains is taken apart without `..`, so that a forgotten field does not compile. What follows
//! from a change is for the supervisor to say.

mod command;
mod stage;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::elements::{Compared, Part};
use super::keys::QueueKeys;
use super::pipeline::{Control, DeadLetters, Limits, Pipeline, Queue, Sync};
pub use stage::StageChange;

/// An old and a new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChange<T> {
    /// What held.
    pub old: T,
    /// What is to hold.
    pub new: T,
}

/// All that differs between two pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The pipeline's name.
    pub name: Option<ValueChange<String>>,
    /// The folder at which relative paths start.
    pub folder: Option<ValueChange<PathBuf>>,
    /// `drain_timeout`.
    pub drain_timeout: Option<ValueChange<Duration>>,
    /// `[control]`.
    pub control: Option<ValueChange<Control>>,
    /// `[metrics]`.
    pub metrics: Option<ValueChange<Option<SocketAddr>>>,
    /// `[dead_letters]`.
    pub dead_letters: Option<ValueChange<DeadLetters>>,
    /// Stages that differ.
    pub stages: Vec<Named<StageChange>>,
    /// Queues that differ, with the keys that changed: all of them can change while the queue is in use.
    pub queues: Vec<Named<Vec<KeyChange>>>,
}

/// What is to happen to a stage or a queue of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<T> {
    /// It is new.
    Added(String),
    /// It is gone.
    Removed(String),
    /// It is another.
    Changed(String, T),
}

/// A key whose value changed, both as a file would write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key, dotted where it lies in a table of the stage.
    pub key: String,
    /// Its values.
    pub change: ValueChange<String>,
    /// The value is the same, and what it names has changed: what of it.
    pub within: Option<String>,
}

/// What it takes to come from `old` to `new`. Stages and queues are told by their names; their order is no change.
pub fn diff(old: &Pipeline, new: &Pipeline) -> Diff {
    let Pipeline { name, folder, stages, queues, drain_timeout, control, metrics, dead_letters } = old;
    Diff {
        name: ValueChange::of(name, &new.name),
        folder: ValueChange::of(folder, &new.folder),
        drain_timeout: ValueChange::of(drain_timeout, &new.drain_timeout),
        control: ValueChange::of(control, &new.control),
        metrics: ValueChange::of(metrics, &new.metrics),
        dead_letters: ValueChange::of(dead_letters, &new.dead_letters),
        stages: by_name(stages, &new.stages, |stage| &stage.name, stage::compare),
        queues: by_name(queues, &new.queues, |queue| &queue.name, compare_queue),
    }
}

/// Removed ones first, then the new ones in their order.
fn by_name<T, C>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    compare: impl Fn(&T, &T) -> Option<C>,
) -> Vec<Named<C>> {
    let find = |all: &[T], wanted: &T| all.iter().position(|one| name(one) == name(wanted));
    let removed = old.iter().filter(|one| find(new, one).is_none());
    let removed = removed.map(|one| Named::Removed(name(one).clone()));
    let others = new.iter().filter_map(|one| match find(old, one) {
        None => Some(Named::Added(name(one).clone())),
        Some(at) => compare(&old[at], one).map(|change| Named::Changed(name(one).clone(), change)),
    });
    removed.chain(others).collect()
}

fn compare_queue(old: &Queue, new: &Queue) -> Option<Vec<KeyChange>> {
    let Queue { name: _, limits, durable, sync } = old;
    let mut keys = Vec::new();
    <QueueKeys as Part<Limits>>::compare_part("", limits, &new.limits, &mut keys);
    bool::compare("durable", durable, &new.durable, &mut keys);
    Sync::compare("sync", sync, &new.sync, &mut keys);
    (!keys.is_empty()).then_some(keys)
}

impl<T: Clone + PartialEq> ValueChange<T> {
    /// The change, if there is one.
    pub fn of(old: &T, new: &T) -> Option<ValueChange<T>> {
        (old != new).then(|| ValueChange { old: old.clone(), new: new.clone() })
    }
}

impl<T: fmt::Display> fmt::Display for ValueChange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.old, self.new)
    }
}

impl KeyChange {
    /// The change of a key, if there is one.
    pub fn between<T: PartialEq>(
        key: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) -> Option<KeyChange> {
        let change = (old != new).then(|| ValueChange { old: show(old), new: show(new) })?;
        Some(KeyChange { key: key.to_owned(), change, within: None })
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.within {
            Some(what) => write!(f, "{} changed: {what}", self.key),
            None => write!(f, "{}: {}", self.key, self.change),
        }
    }
}

#[cfg(test)]
mod tests;
