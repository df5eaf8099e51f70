//! The tables of a pipeline file: every key with its type, its default and its meaning, stated once.

mod broker;
mod file;
mod places;
mod policies;
mod queue;
mod route;
mod stage;

pub(super) use broker::{BrokerKeys, BrokerText};
pub(super) use file::{ControlKeys, FileKeys, MetricsKeys};
pub(super) use places::help_for;
pub(super) use policies::{
    BackoffKeys, GiveUpKeys, HealthKeys, JobLogKeys, LimitKeys, LogFileKeys, ReadyKeys, RecycleKeys,
    RetryKeys,
};
pub(super) use queue::QueueKeys;
use route::RouteKeys;
pub(super) use route::{Routes, Rule};
pub(super) use stage::{Defaults, StageKeys};

use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::nearest;
    use crate::config::elements::Key;

    fn tables() -> Vec<Vec<Key>> {
        places::all().into_iter().map(|place| place.keys).collect()
    }

    #[test]
    fn every_key_is_described() {
        for key in tables().iter().flatten() {
            assert!(key.doc.ends_with('.') && !key.accepted.is_empty(), "{}", key.name);
        }
    }

    #[test]
    fn another_word_for_a_key_is_no_key_itself() {
        for keys in tables() {
            for key in &keys {
                for word in key.also {
                    assert!(keys.iter().all(|other| other.name != *word), "{word}");
                    assert_eq!(nearest(word, [*word]), Some(*word));
                }
            }
        }
    }
}
