//! The checked pipeline: what the rest of the program runs on. Only [`super::compile`] makes one.

use super::env_file::Variables;
use crate::logs::LogFile;
pub use crate::model::{
    Halt, HaltAt, HaltOf, HaltWhen, Limits, Rate, RateUnit, Retry, Schedule, Tuning, WhenFailing, WhenFull,
};
pub(crate) use crate::model::{Machines, Route};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A whole pipeline file, checked: names resolve, every queue has a reader and a writer, all numbers are in range.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// `name`, or the file's stem.
    pub name: String,
    /// The file's folder, absolute: relative paths of stages start here.
    pub folder: PathBuf,
    /// Enabled stages only, in the order of the file.
    pub stages: Vec<Stage>,
    /// Names of the stages that the file turns off (`enabled = false`).
    pub disabled: Vec<String>,
    /// Every queue that an enabled stage names, in the order of first mention.
    pub queues: Vec<Queue>,
    /// How long a stop may take to let items finish.
    pub drain_timeout: Duration,
    /// Where it is inspected and controlled.
    pub control: Control,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// How many dead letters are kept.
    pub dead_letters: DeadLetters,
    /// The broker that holds the shared queues.
    pub broker: Option<Broker>,
}

/// `[dead_letters]`: how many items that never went through are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// Whether there is a file of them.
    pub keep: bool,
    /// Bytes of their file, at most.
    pub max_size: u64,
    /// What one more does then.
    pub when_full: crate::dead_letter::WhenFull,
}

impl Default for DeadLetters {
    fn default() -> DeadLetters {
        let (max_size, when_full) =
            (crate::dead_letter::Store::MAX_SIZE, crate::dead_letter::WhenFull::Block);
        DeadLetters { keep: true, max_size, when_full }
    }
}

/// What environment files say, by the name of the stage.
pub type FileVariables = BTreeMap<String, Variables>;

impl Pipeline {
    /// The folder at which the relative paths of a stage start.
    pub fn folder_of<'a>(&'a self, stage: &'a Stage) -> &'a Path {
        stage.folder.as_deref().unwrap_or(&self.folder)
    }

    /// Whether it has no stage with items.
    pub fn has_services_only(&self) -> bool {
        self.stages.iter().all(|stage| stage.work.is_service())
    }

    /// Whether its queues are kept in a file. All of them, if any is durable: what a worker takes from one queue and
    /// puts into another is one step, and that takes one memory.
    pub fn is_durable(&self) -> bool {
        self.queues.iter().any(|queue| queue.durable)
    }

    /// Only works off what is there from now on.
    pub fn work_off(&mut self) {
        self.stages.retain(|stage| !stage.work.inputs.is_empty());
        self.queues.iter_mut().for_each(|queue| queue.durable = true);
    }

    /// What the environment files say, by stage.
    pub fn file_variables(&self) -> FileVariables {
        let read = |stage: &Stage| Some((stage.name.clone(), stage.work.command()?.file_variables.clone()?));
        self.stages.iter().filter_map(read).collect()
    }

    /// Whether an environment file was not read yet.
    pub fn lacks_file_variables(&self) -> bool {
        let mut commands = self.stages.iter().filter_map(|stage| stage.work.command());
        commands.any(|command| !command.env_file.is_empty() && command.file_variables.is_none())
    }

    /// The same as they were said before.
    pub fn set_file_variables(&mut self, variables: &FileVariables) {
        for stage in &mut self.stages {
            if let Task::Command(command) = &mut stage.work.task {
                command.file_variables = variables.get(&stage.name).cloned();
            }
        }
    }

    /// What a power cut may cost: what is asked for one queue holds for all, for the same reason.
    pub fn sync(&self) -> Sync {
        self.queues.iter().map(|queue| queue.sync).max().unwrap_or(Sync::Never)
    }
}

/// One stage: what its workers do, and the rules they live by.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Unique in the pipeline.
    pub name: String,
    /// The folder at which its relative paths start, absolute; `None`: the pipeline's.
    pub folder: Option<PathBuf>,
    /// What it is: a change here means new workers.
    pub work: Work,
    /// Worker processes, 1 or more.
    pub processes: u32,
    /// The stages that are started before it, by name.
    pub after: Vec<String>,
    /// When a process of it counts as started; `None`: as soon as its program runs.
    pub ready: Option<Check>,
    /// What is looked at as long as it runs.
    pub health: Option<Health>,
    /// What the supervisor does when a worker ends.
    pub rules: Rules,
    /// What the worker loop reads live from its slot.
    pub tuning: Tuning,
    /// In which order what its workers write comes out.
    pub order: OutputOrder,
    /// The broker says where it works and from which position, on each machine or on one; `None`: it works on every machine, and
    /// what it keeps stays there.
    pub placed: Option<Machines>,
    /// When a fresh process replaces an old one.
    pub recycle: Recycle,
    /// Where what its workers say goes, beside standard error. The path starts at the pipeline's folder.
    pub log_file: Option<LogFile>,
}

impl Stage {
    /// How many finished items may wait for those before them, if the order of its input is to be kept. A program with
    /// `mode = "stream"` has one process then, which keeps an order by itself.
    pub fn window(&self) -> Option<u64> {
        let is_stream = self.work.command().is_some_and(|command| command.mode == Mode::Stream);
        let keeps = self.order.order.is_some() && !is_stream;
        keeps.then(|| u64::from(self.order.order_window) * u64::from(self.processes))
    }
}

/// The part of a stage that a running worker can't change: replaced worker by worker on reload.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Work {
    /// What is done with the items.
    pub task: Task,
    /// Names of the queues it reads; none: a source.
    pub inputs: Vec<String>,
    /// Names of the queues it writes; none: lines on standard output.
    pub outputs: Vec<String>,
    /// Of the outputs the last ones, so many: they get only the items that are for them.
    #[serde(default, skip_serializing_if = "is_none_apart")]
    pub apart: usize,
    /// `routes`: which item is for which output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none_apart(apart: &usize) -> bool {
    *apart == 0
}

/// In which order what the workers of a stage write comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputOrder {
    /// That of its input; `None`: as it is done.
    pub order: Option<OrderOf>,
    /// Finished items that may wait for those before them, for each process.
    pub order_window: u32,
}

/// `order`: whose order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOf {
    /// The input's.
    Input,
}

/// Who does the work of a stage.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Task {
    /// A stage of the registry.
    Use {
        /// The registered name of the stage (`use`).
        name: String,
        /// Its parameters (`with`), with variables expanded. An object, maybe empty.
        with: serde_json::Map<String, serde_json::Value>,
    },
    /// A program of the user's.
    Command(Box<Command>),
}

impl Task {
    /// A stage of the registry, with no parameters.
    #[cfg(test)]
    pub fn of(name: impl Into<String>) -> Task {
        Task::Use { name: name.into(), with: serde_json::Map::new() }
    }
}

impl Work {
    /// Of its outputs those that get every item.
    pub fn main_outputs(&self) -> &[String] {
        &self.outputs[..self.outputs.len().saturating_sub(self.apart)]
    }

    /// What people call it: the name of a registered stage, or the program's.
    pub fn title(&self) -> Cow<'_, str> {
        match &self.task {
            Task::Use { name, .. } => name.into(),
            Task::Command(command) => command.invocation.title(),
        }
    }

    /// The registered name of the stage, if it is one.
    pub fn uses(&self) -> Option<&str> {
        match &self.task {
            Task::Use { name, .. } => Some(name),
            Task::Command(_) => None,
        }
    }

    /// Its program, if it is one.
    pub fn command(&self) -> Option<&Command> {
        match &self.task {
            Task::Use { .. } => None,
            Task::Command(command) => Some(command),
        }
    }

    /// Whether all its workers share a position or a state.
    pub fn keeps_state(&self, registry: &crate::stage::Registry) -> bool {
        match &self.task {
            Task::Use { name, with } => registry.keeps_state(name, with),
            Task::Command(_) => false,
        }
    }

    /// Whether it is a source that is known to come to an end.
    pub fn ends(&self, registry: &crate::stage::Registry) -> bool {
        match &self.task {
            Task::Use { name, with } => registry.ends(name, with),
            Task::Command(_) => false,
        }
    }

    /// Whether it is a built-in that reads mprun's standard input.
    pub fn reads_stdin(&self, registry: &crate::stage::Registry) -> bool {
        self.uses().is_some_and(|name| registry.reads_stdin(name))
    }

    /// Whether it is a service: a program with neither input nor output, which needs no worker beside it.
    pub fn is_service(&self) -> bool {
        self.command().is_some() && self.inputs.is_empty() && self.outputs.is_empty()
    }

    /// Whether what it writes goes to standard output.
    pub fn prints(&self, registry: &crate::stage::Registry) -> bool {
        self.outputs.is_empty()
            && self.command().is_none_or(|command| command.stdout == Stdout::Items)
            && self.uses().and_then(|name| registry.kind(name)) != Some(crate::stage::Kind::Sink)
    }

    /// Whether its outputs may have to wait in a hidden queue of the stage: they can't be made a second time.
    pub fn needs_spill_queue(&self) -> bool {
        self.command().is_some_and(|command| command.mode != Mode::Stream) && !self.outputs.is_empty()
    }
}

mod broker;
mod check;
pub(crate) mod code_words;
mod command;
mod control;
mod one_or_more;
pub(crate) mod placeholder;
pub(crate) mod shell_line;
pub(crate) mod token_file;
pub use self::broker::{Broker, BrokerAccess, BrokerUrl};
pub(crate) use self::check::{Check, Health, Probe};
pub(crate) use self::command::{
    Collect, Command, Invocation, JobLog, LaterCodes, Mode, ProgramLimits, Reply, Resume, Stdout, StopSignal,
};
pub use self::control::Control;
pub(crate) use self::placeholder::Placeholders;
pub(crate) use crate::framing::Framing;

/// Restart, give up, stop: rules that only the supervisor needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// When an ended worker is started again.
    pub restart: Restart,
    /// How long to wait before a restart.
    pub backoff: Backoff,
    /// When too many restarts are too many.
    pub give_up: GiveUp,
    /// What follows then.
    pub on_give_up: OnGiveUp,
    /// From TERM to KILL.
    pub stop_timeout: Duration,
    /// When a worker is started; `None`: at once, and again as `restart` says.
    pub schedule: Option<Schedule>,
    /// How long the stage may be failing before the run ends for it; `None`: 10 minutes where the run ends by itself,
    /// else any time.
    pub failing_timeout: Option<Duration>,
    /// Whether it begins without `mprun start NAME STAGE`.
    pub autostart: bool,
}

/// `restart`: when an ended worker is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Also after a good end, unless its input ended or its output has no reader left.
    Always,
    /// After a crash, a non-zero exit or a kill.
    OnFailure,
    /// Not at all.
    Never,
}

/// `backoff`: delays double from `initial` to `max`, with jitter; a good run of `reset_after` starts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay; the first restart after a good run has none.
    pub initial: Duration,
    /// No delay is longer.
    pub max: Duration,
    /// A run this long counts as good.
    pub reset_after: Duration,
}

/// `give_up`: more than `restarts` within `within`, counted over the stage's workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// Restarts that are allowed.
    pub restarts: u32,
    /// The window.
    pub within: Duration,
}

/// `on_give_up`: what a stage that gave up does to the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGiveUp {
    /// The pipeline stops; exit 1.
    Stop,
    /// The pipeline continues without the stage; it exits with 1 at the end.
    Continue,
}

/// `recycle`: the limits at which a fresh worker replaces an old one; `None`: never for that reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Recycle {
    /// Items taken (or, for a source, emitted).
    pub items: Option<u64>,
    /// Resident memory in bytes.
    pub memory: Option<u64>,
    /// Time since the worker's start.
    pub age: Option<Duration>,
}

/// One queue and its bounds: all of them can change live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Unique in the pipeline.
    pub name: String,
    /// Its bounds.
    pub limits: Limits,
    /// The queues of its pipeline are kept in a file.
    pub durable: bool,
    /// What a power cut may cost.
    pub sync: Sync,
    /// Its items lie in the broker; this machine's memory holds those that it has taken.
    pub shared: bool,
}

impl Queue {
    /// One of no size yet, which no file can ask for.
    pub fn unbounded(name: &str) -> Queue {
        let limits = Limits { capacity: 0, max_bytes: 0, max_item: 0, when_full: WhenFull::Block };
        Queue { name: name.to_owned(), limits, durable: false, sync: Sync::Never, shared: false }
    }
}

/// `sync`: when durable queues are saved, for a power cut; from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sync {
    /// When the system sees fit.
    Never,
    /// A second after something has changed.
    Interval,
    /// At each commit, before the stage continues.
    Always,
}
