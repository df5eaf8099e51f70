//! Changes of queues.

use super::keys::{KeyChange, Keys};
use crate::config::pipeline::Queue;

/// What is to happen to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueDiff {
    /// A queue of this name is new.
    Added(String),
    /// The queue of this name is gone.
    Removed(String),
    /// Its bounds are others: all of them can change while it is in use.
    Changed {
        /// The queue.
        name: String,
        /// Its changed keys, one or more.
        keys: Vec<KeyChange>,
    },
}

pub fn diff(old: &[Queue], new: &[Queue]) -> Vec<QueueDiff> {
    let find = |queues: &[Queue], name: &str| queues.iter().position(|queue| queue.name == name);
    let removed = old.iter().filter(|queue| find(new, &queue.name).is_none());
    let removed = removed.map(|queue| QueueDiff::Removed(queue.name.clone()));
    let others = new.iter().filter_map(|queue| match find(old, &queue.name) {
        None => Some(QueueDiff::Added(queue.name.clone())),
        Some(at) => change(&old[at], queue),
    });
    removed.chain(others).collect()
}

fn change(old: &Queue, new: &Queue) -> Option<QueueDiff> {
    let Queue { name, capacity, max_bytes, max_item, when_full, durable, sync } = old;
    let mut keys = Keys::default();
    keys.number("capacity", capacity, &new.capacity);
    keys.size("max_bytes", max_bytes, &new.max_bytes);
    keys.size("max_item", max_item, &new.max_item);
    keys.choice("when_full", when_full, &new.when_full);
    keys.number("durable", durable, &new.durable);
    keys.choice("sync", sync, &new.sync);
    (!keys.0.is_empty()).then(|| QueueDiff::Changed { name: name.clone(), keys: keys.0 })
}
