//! What the user wants to run, and what that means for one worker.

use crate::config::{Loaded, Pipeline, Recycle, Texts, Watched, Work};
use crate::logs::LogFile;
use crate::queue::{QueueId, SharedQueues};
use crate::stage::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A good pipeline file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub pipeline: Pipeline,
    /// Its text, and those of the files that it includes.
    pub texts: Texts,
    /// What else decides what is to run.
    pub watched: Watched,
    /// The stages that keep a position or a state: each has a hidden queue with one token.
    pub stateful: BTreeSet<String>,
    /// The stages whose outputs go to standard output, if that is a file: they share a hidden queue with one token.
    pub printing: BTreeSet<String>,
    /// The sources that are known to come to an end.
    pub ending: BTreeSet<String>,
    /// Stages that were given another number of processes by hand, with the file's number.
    pub by_hand: BTreeMap<String, u32>,
}

impl Wanted {
    /// What a file says, with what the registry knows about its stages.
    /// `prints_to_file`: standard output is a regular file.
    pub(crate) fn new(loaded: Loaded, registry: &Registry, prints_to_file: bool) -> Wanted {
        let Loaded { pipeline, texts, watched, .. } = loaded;
        let stateful = pipeline.stages.iter().filter(|stage| stage.work.keeps_state(registry));
        let stateful = stateful.map(|stage| stage.name.clone()).collect();
        let printing = pipeline.stages.iter().filter(|stage| prints_to_file && stage.work.prints(registry));
        let printing = printing.map(|stage| stage.name.clone()).collect();
        let ending = pipeline.stages.iter().filter(|stage| stage.work.ends(registry));
        let ending = ending.map(|stage| stage.name.clone()).collect();
        Wanted { pipeline, texts, watched, stateful, printing, ending, by_hand: BTreeMap::new() }
    }

    /// All that it was made of, as one text: what has the same is the same.
    pub(crate) fn source(&self) -> String {
        format!("{:?} {:?}", self.texts, self.pipeline.file_variables())
    }

    /// Gives a stage another number of processes than the file says.
    pub(crate) fn scale(&mut self, stage: &str, processes: u32) {
        let Some(spec) = self.pipeline.stages.iter_mut().find(|spec| spec.name == stage) else { return };
        let filed = *self.by_hand.entry(stage.to_owned()).or_insert(spec.processes);
        spec.processes = processes;
        if filed == processes {
            self.by_hand.remove(stage);
        }
    }

    /// What the file says, without what was changed by hand.
    pub(crate) fn as_filed(&self) -> Pipeline {
        let mut pipeline = self.pipeline.clone();
        for spec in &mut pipeline.stages {
            spec.processes = self.by_hand.get(&spec.name).copied().unwrap_or(spec.processes);
        }
        pipeline
    }
}

/// All that a running worker can't change: a worker of another version is replaced.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Version {
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
    /// Those of its queues that lie in a broker, and the hidden queue of its commits.
    pub shared: Option<SharedQueues>,
    /// The hidden queue with its stage's token.
    pub token: Option<QueueId>,
    /// The hidden queue with the token of standard output, if its stage prints into a file.
    pub print_token: Option<QueueId>,
    /// The hidden queue in which its stage's finished outputs wait for room.
    pub spill: Option<QueueId>,
}

impl Version {
    /// Whether it has no input.
    pub(crate) fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Whether it is a program that runs without a worker.
    pub(crate) fn is_service(&self) -> bool {
        self.work.is_service()
    }

    /// Whether it reads queues, all of them such.
    pub(crate) fn reads_only(&self, such: impl Fn(QueueId) -> bool) -> bool {
        !self.is_source() && self.inputs.iter().all(|&queue| such(queue))
    }

    /// The same, but it reads what `other` reads.
    pub(crate) fn with_inputs_of(&self, other: &Version) -> Version {
        let mut version = self.clone();
        version.work.inputs.clone_from(&other.work.inputs);
        version.inputs.clone_from(&other.inputs);
        version
    }

    /// The same, but it reads and writes what `other` does.
    pub(crate) fn with_queues_of(&self, other: &Version) -> Version {
        let mut version = self.with_inputs_of(other);
        version.work.outputs.clone_from(&other.work.outputs);
        version.outputs.clone_from(&other.outputs);
        version
    }

    /// The queues that a worker of this version is attached to.
    pub(crate) fn queues(&self) -> impl Iterator<Item = QueueId> {
        self.inputs
            .iter()
            .chain(&self.outputs)
            .chain(&self.token)
            .chain(&self.print_token)
            .chain(&self.spill)
            .chain(self.shared.as_ref().map(|shared| &shared.line))
            .copied()
    }

    /// Whether `queue` is one of them.
    pub(crate) fn uses(&self, queue: QueueId) -> bool {
        self.queues().any(|used| used == queue)
    }
}
