//! What the user wants to run, and what that means for one worker.

use crate::config::{Loaded, Pipeline, Recycle, Work};
use crate::log_file::LogFile;
use crate::queue::QueueId;
use crate::stage::Registry;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A good pipeline file.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What it says.
    pub pipeline: Pipeline,
    /// Its text: two files with the same text want the same.
    pub text: String,
    /// The stages that keep a position or a state: each has a hidden queue with one token.
    pub stateful: BTreeSet<String>,
}

impl Wanted {
    /// What a file says, with what the registry knows about its stages.
    pub fn new(loaded: Loaded, registry: &Registry) -> Wanted {
        let Loaded { pipeline, warnings: _, text } = loaded;
        let stateful = pipeline.stages.iter().filter(|stage| stage.work.keeps_state(registry));
        let stateful = stateful.map(|stage| stage.name.clone()).collect();
        Wanted { pipeline, text, stateful }
    }
}

/// All that a running worker can't change: a worker of another version is replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// What it does.
    pub work: Work,
    /// When it makes room for a fresh one.
    pub recycle: Recycle,
    /// Where what it says goes, beside standard error.
    pub log_file: Option<LogFile>,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// The queues it reads.
    pub inputs: Vec<QueueId>,
    /// The queues it writes.
    pub outputs: Vec<QueueId>,
    /// The hidden queue with its stage's token.
    pub token: Option<QueueId>,
    /// The hidden queue in which its stage's finished outputs wait for room.
    pub outbox: Option<QueueId>,
}

impl Version {
    /// Whether it has no input.
    pub fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Whether a worker of this version is attached to `queue`.
    pub fn uses(&self, queue: QueueId) -> bool {
        self.inputs.contains(&queue)
            || self.outputs.contains(&queue)
            || [self.token, self.outbox].contains(&Some(queue))
    }
}
