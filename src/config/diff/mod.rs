//! What changed between two pipelines, key by key. The keys of queues and stages are compared by their tables in
//! [`super::keys`]; what remains is taken apart without `..`, so that a forgotten field does not compile. What follows
//! from a change is for the supervisor to say.

mod change;
mod control;
mod stage;
mod with;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::elements::{Compared, Part};
use super::keys::QueueKeys;
use super::pipeline::{Broker, BrokerAccess, DeadLetters, Limits, Pipeline, Queue, Sync};
pub use change::{KeyChange, ValueChange};
pub use stage::StageChange;

/// All that differs between two pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The pipeline's name.
    pub name: Option<ValueChange<String>>,
    /// The folder at which relative paths start.
    pub folder: Option<ValueChange<PathBuf>>,
    /// `drain_timeout`.
    pub drain_timeout: Option<ValueChange<Duration>>,
    /// Keys of `[control]` that can change while clients are there.
    pub control: Vec<KeyChange>,
    /// The control socket is another one, or there is one no longer.
    pub is_other_socket: bool,
    /// `[metrics]`.
    pub metrics: Option<ValueChange<Option<SocketAddr>>>,
    /// `[dead_letters]`.
    pub dead_letters: Option<ValueChange<DeadLetters>>,
    /// `broker`, or which queues are shared.
    pub is_other_broker: bool,
    /// The broker is the same, and lets this machine in by another password or other files.
    pub is_other_way_to_broker: bool,
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

/// What differs between `old` and `new`. Stages and queues are compared by name; their order is no change.
pub fn diff(old: &Pipeline, new: &Pipeline) -> Diff {
    let Pipeline {
        name,
        folder,
        stages,
        disabled: _,
        queues,
        drain_timeout,
        control,
        metrics,
        dead_letters,
        broker,
    } = old;
    let other_control = control::compare(control, &new.control);
    Diff {
        name: ValueChange::of(name, &new.name),
        folder: ValueChange::of(folder, &new.folder),
        drain_timeout: ValueChange::of(drain_timeout, &new.drain_timeout),
        is_other_socket: other_control.is_none(),
        control: other_control.unwrap_or_default(),
        metrics: ValueChange::of(metrics, &new.metrics),
        dead_letters: ValueChange::of(dead_letters, &new.dead_letters),
        is_other_broker: place(broker) != place(&new.broker),
        is_other_way_to_broker: !broker.iter().zip(&new.broker).all(|(old, new)| old.has_same_way(new)),
        stages: by_name(stages, &new.stages, |stage| &stage.name, stage::compare),
        queues: by_name(queues, &new.queues, |queue| &queue.name, compare_queue),
    }
}

/// What all machines have to agree on. The bounds of the queues are compared with the others; secrets are a machine's own.
fn place(broker: &Option<Broker>) -> Option<(String, BrokerAccess, Vec<&str>)> {
    let Broker { url, access, queues, before: _ } = broker.as_ref()?;
    let access = BrokerAccess { credentials_file: None, tls_ca: None, ..access.clone() };
    Some((url.to_string(), access, queues.iter().map(|queue| queue.name.as_str()).collect()))
}

/// Removed ones first, then the new ones in their order.
fn by_name<T, C>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    compare: impl Fn(&T, &T) -> Option<C>,
) -> Vec<Named<C>> {
    let stay: BTreeSet<&String> = new.iter().map(&name).collect();
    let before: BTreeMap<&String, &T> = old.iter().map(|one| (name(one), one)).collect();
    let removed = old.iter().filter(|one| !stay.contains(name(one)));
    let removed = removed.map(|one| Named::Removed(name(one).clone()));
    let others = new.iter().filter_map(|one| match before.get(name(one)) {
        None => Some(Named::Added(name(one).clone())),
        Some(old) => compare(old, one).map(|change| Named::Changed(name(one).clone(), change)),
    });
    removed.chain(others).collect()
}

fn compare_queue(old: &Queue, new: &Queue) -> Option<Vec<KeyChange>> {
    let Queue { name: _, limits, durable, sync, shared: _ } = old;
    let mut keys = Vec::new();
    <QueueKeys as Part<Limits>>::compare_part("", limits, &new.limits, &mut keys);
    bool::compare("durable", durable, &new.durable, &mut keys);
    Sync::compare("sync", sync, &new.sync, &mut keys);
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests;
