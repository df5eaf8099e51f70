//! All that the supervisor does. Decided by [`State`](super::state::State), done by [`perform`](super::perform).

use super::ids::{AskId, Pid, WorkerId};
use super::inheritance::Label;
use super::reason::End;
use super::state::Left;
use super::wanted::Version;
use crate::config;
use crate::control::protocol::{Done, Refused};
use crate::model::Totals;
use crate::queue::{FailureAttribution, ItemTimes, Order, QueueId, SlotId, WorkTimes};
use crate::service::Message;
use crate::status::Progress;
use log::Level;
use std::rc::Rc;
use std::time::Duration;

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Fork and exec; answered by `Spawned` or `SpawnFailed`.
    Spawn(Spawn),
    /// A worker is there already: a program before this one has started it.
    Adopt {
        /// Which.
        worker: WorkerId,
        /// Its stage's name.
        stage: String,
        /// Its slot.
        slot: SlotId,
        /// Its process.
        pid: Pid,
    },
    /// Find out whether the program that is on the disk could go on from here; answered by `Rehearsed`.
    Rehearse(Box<Left>),
    /// Let it go on from here. If it can't, this one does; answered by `NotHandedOver`.
    HandOver(Box<Left>),
    /// Write an order into a slot, and nudge the process.
    Order(SlotId, Pid, Order),
    /// SIGTERM to a process group.
    Term(Pid),
    /// SIGKILL to a process group.
    Kill(Pid),
    /// Other settings for a running worker.
    Tune(SlotId, Pid, config::Tuning),
    /// Give back what a dead worker held.
    Release(Release),
    /// Give back what a dead worker held but the item that was at its last try, and have that one's dead letter written;
    /// answered by `Buried` or `NotBuried`.
    Bury(Release),
    /// Whoever writes the dead letter of what is left in this slot has not come back: it is ended.
    EndBurial(SlotId),
    /// Create a queue, or change its limits.
    SetQueue(QueueId, config::Queue),
    /// Create a hidden queue with the first token of a stage.
    AddToken(QueueId, Label),
    /// Throw away a stage's token and put the first one again.
    ResetToken(QueueId),
    /// Create the hidden queue in which the finished outputs of the stage of this name wait for room.
    AddOutbox(QueueId, String),
    /// Remove a hidden queue, whatever it holds.
    DropToken(QueueId),
    /// Say that nobody will write a queue any more, or that somebody will.
    SetEnded(QueueId, bool),
    /// Say that nobody will read a queue any more, or that somebody will.
    SetClosed(QueueId, bool),
    /// Remove queues, if all of them are empty; answered by `QueuesRemoved` or `QueueHolds`.
    RemoveQueues(Vec<QueueId>),
    /// Dead letters have these bounds from now on.
    BoundLetters(config::DeadLetters),
    /// Read the pipeline file; answered by `Loaded`.
    Load,
    /// Start the guardian process.
    StartGuardian,
    /// Start the log writer's process once more.
    StartLogWriter,
    /// Tell the service manager.
    Notify(Vec<Message>),
    /// Tell it how things are: this, and the rates.
    Status(String),
    /// Answer a request.
    Answer(AskId, Result<Done, Refused>),
    /// Say something.
    Log(Level, String),
    /// Say something about a worker (`stage[index]`).
    LogAbout(Level, String, String),
    /// Show a report of several lines, as it is.
    Show(String),
    /// All is over.
    End(Outcome),
}

/// A worker to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Spawn {
    /// Which.
    pub worker: WorkerId,
    /// Its stage's name.
    pub stage: String,
    /// Its slot.
    pub slot: SlotId,
    /// What it will do.
    pub version: Rc<Version>,
    /// Its settings.
    pub tuning: config::Tuning,
    /// Its first standing order.
    pub order: Order,
    /// How long its program may take to stop.
    pub stop_timeout: Duration,
}

/// A dead worker to settle.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Which.
    pub worker: WorkerId,
    /// Its stage's name.
    pub stage: String,
    /// Its slot.
    pub slot: SlotId,
    /// Whether the item that it had begun is to blame.
    pub blame: FailureAttribution,
    /// Tries that an item gets.
    pub attempts: u32,
    /// How it died, for a dead letter.
    pub end: End,
    /// What it has said at last, for the same.
    pub words: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// It was stopped before its work was through; why.
    pub stopped: Option<super::reason::StopCause>,
    /// A stage gave up, or something else went wrong.
    pub failed: bool,
    /// Queues that are not in the file any more hold items.
    pub strands: bool,
    /// What the stages did, those that are gone included.
    pub stages: Vec<StageTotals>,
}

impl Outcome {
    /// Whether nothing is left for another run to go on with.
    pub fn is_through(&self) -> bool {
        self.stopped.is_none() && !self.failed && !self.strands
    }
}

/// What a stage did in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageTotals {
    /// Its name.
    pub name: String,
    /// It has no input: what its workers lease is only its position.
    pub is_source: bool,
    /// What became of the items of its workers.
    #[serde(flatten)]
    pub counts: Totals,
    /// Restarts after a failure, or because of `restart = "always"`.
    pub restarts: u64,
    /// How far it came, if it is a source that knows.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// How its workers spent their time.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
}
