//! All that the supervisor does. Decided by [`State`](super::state::State), done by [`perform`](crate::supervisor::effects::performer).

use super::condition::Goal;
use super::history::{History, TransitionKind};
use super::ids::{Pid, RequestId, StageKey, WorkerId};
use super::reason::{End, StopCause};
use super::recovered::Label;
use super::saved::SavedMachine;
use super::totals::StageTotals;
use super::wanted::Version;
use crate::config;
use crate::config::pipeline::Probe;
use crate::control::protocol::{Done, Refused};
use crate::link::arena::LinkSpec;
use crate::link::{LinkOrder, LinkPlan};
use crate::model::HaltOf;
use crate::queue::{FailureAttribution, Order, QueueId, SharedQueues, SlotId, StageId};
use crate::service::Message;
use crate::text::last_words;
use log::Level;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Fork and exec; answered by `Spawned` or `SpawnFailed`.
    Spawn(Spawn),
    /// A worker is there already: a program before this one has started it.
    Adopt {
        worker: WorkerId,
        /// Its stage's name.
        stage: String,
        stage_id: Option<StageId>,
        slot: SlotId,
        pid: Pid,
        /// Of a service: what it runs.
        service: Option<Rc<Version>>,
        /// How it says by itself that it is ready.
        announces: Option<Probe>,
    },
    /// Find something out about a service, in place of what was to be found out before; answered by `Found`.
    Check(Goal),
    /// Nothing more is to be found out about it.
    Uncheck(SlotId, Pid),
    /// SIGSTOP to a service, or SIGCONT.
    Suspend(Pid, bool),
    /// Try the program on the disk; answered by `PreflightDone`.
    Preflight(Box<SavedMachine>),
    /// Execute it in this process. If that fails, answered by `NotReplaced`.
    ReplaceProgram(Box<SavedMachine>),
    /// A start or a change of the pipeline is through: what only that needed goes back to the system.
    ReleaseMemory,
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
    /// answered by `DeadLetterWritten` or `DeadLetterFailed`.
    WriteDeadLetter(Release),
    /// Kill the helper that writes the dead letter of the item in this slot.
    KillDeadLetterWriter(SlotId),
    /// Create a queue, or change its limits.
    SetQueue(QueueId, config::Queue),
    /// Create a hidden queue: with the first token of a stage, or for its finished outputs that wait for room.
    AddHidden(QueueId, Label),
    /// Keep the order of a queue in this window.
    BeginOrder(KeptOrder),
    /// A window keeps no order any more.
    EndOrder(QueueId),
    /// Throw away a stage's token and put the first one again.
    ResetToken(QueueId),
    /// Remove a hidden queue, whatever it holds.
    DropToken(QueueId),
    /// A queue has no writer any more, or has one again.
    SetEnded(QueueId, bool),
    /// The same of a line to a broker; one that goes on takes the number of the last word that may have been said.
    EndLine(QueueId, bool),
    /// A queue has no reader any more, or has one again.
    SetClosed(QueueId, bool),
    /// Remove queues, if all of them are empty; answered by `QueuesRemoved` or `QueueHolds`.
    RemoveQueues(Vec<QueueId>),
    /// Dead letters have these bounds from now on.
    LimitDeadLetters(config::DeadLetters),
    /// Clients are served in this way from now on.
    Serve(Box<config::Control>),
    /// Clients over TCP need the tokens from now on that their files hold now.
    ReadTokens,
    /// Read the pipeline file; answered by `Loaded`.
    Load,
    /// Ask the wall clock when a stage runs next; answered by `NextRun`.
    NextRun(StageKey, config::Schedule),
    /// Start the guardian process.
    StartGuardian,
    /// Start the log writer's process once more.
    StartLogWriter,
    /// Start the process that makes checks.
    StartChecker,
    /// It has nothing more to do.
    EndChecker,
    /// Start the process that speaks with the broker; answered by `LinkNews`.
    StartLink(Box<StartLink>),
    /// Tell it this; its end is answered by `LinkEnded`.
    OrderLink(LinkOrder),
    /// End it at once.
    KillLink,
    /// Tell the service manager.
    Notify(Vec<Message>),
    /// Tell it how things are: this, and the rates.
    Status(String),
    /// Answer a request.
    Answer(RequestId, Result<Done, Refused>),
    /// Say something.
    Log(Level, String),
    /// Say something about a worker (`stage[index]`).
    LogAbout(Level, String, String),
    /// Show a report of several lines, as it is.
    Show(String),
    End(Outcome),
}

/// A stage that keeps the order of its input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptOrder {
    pub input: QueueId,
    pub outputs: Vec<QueueId>,
    /// Its hidden queue, in which outputs wait for those before them.
    pub window: QueueId,
    /// Finished items that may wait.
    pub most: u64,
}

/// A worker to start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spawn {
    pub worker: WorkerId,
    /// Its stage's name.
    pub stage: String,
    pub slot: SlotId,
    /// Its stage's place in the arena.
    pub stage_id: Option<StageId>,
    /// What it will do.
    pub version: Rc<Version>,
    pub tuning: config::Tuning,
    /// Its first standing order.
    pub order: Order,
    /// How long its program may take to stop.
    pub stop_timeout: Duration,
    /// How a service says by itself that it is ready.
    pub announces: Option<Probe>,
}

/// A process to start that speaks with the broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StartLink {
    pub plan: LinkPlan,
    pub spec: LinkSpec,
    /// Its place in the arena.
    pub slot: SlotId,
    /// One before it has joined the run of the shared queues.
    pub joined_before: bool,
}

/// A dead worker to settle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Release {
    pub worker: WorkerId,
    /// Its stage's name.
    pub stage: String,
    pub slot: SlotId,
    /// Whether the item that it had begun is to blame.
    pub attribution: FailureAttribution,
    /// Tries that an item gets.
    pub attempts: u32,
    /// How it died, for a dead letter.
    pub end: End,
    /// What it has said at last, for the same.
    pub last_stderr: Vec<String>,
    /// Those of its queues that lie in a broker, where dead letters of their items go.
    pub shared: Option<SharedQueues>,
}

impl Release {
    /// Why the item failed, if the worker died of one.
    pub(crate) fn last_words(&self) -> String {
        match self.last_stderr.iter().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("its worker {}{}", self.end, last_words(line)),
            None => format!("its worker {}", self.end),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// It was stopped before its work was through; why.
    pub stopped: Option<StopCause>,
    /// A stage gave up, or something else went wrong.
    pub failed: bool,
    /// Queues that are not in the file any more hold items.
    pub retains_items: bool,
    /// What the stages did, those that are gone included.
    pub stages: Vec<StageTotals>,
}

impl Outcome {
    /// Whether all work is done: no other run has to continue it.
    pub(crate) fn is_through(&self) -> bool {
        self.stopped.is_none() && !self.failed && !self.retains_items
    }

    /// Whether it is the end of `mprun drain`.
    pub(crate) fn is_drain(&self) -> bool {
        matches!(self.stopped, Some(StopCause::Requested("drain")))
    }

    /// Whether a stage's `halt` that counts these ended the run.
    pub(crate) fn halted_by(&self, of: HaltOf) -> bool {
        matches!(self.stopped, Some(StopCause::Halted { halt, .. }) if halt.of == of)
    }
}

/// What follows from one event: effects to perform, and transitions to remember.
#[derive(Debug)]
pub(crate) struct Effects {
    /// The time of the event.
    pub now: Instant,
    /// What must be done, in this order.
    pub list: Vec<Effect>,
    /// What happened to workers, so far.
    pub history: History,
}

impl Effects {
    /// None yet; `history` is the one so far.
    pub(crate) fn new(now: Instant, history: History) -> Effects {
        Effects { now, list: Vec::new(), history }
    }

    /// One more thing to do.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// A line of the log.
    pub(crate) fn log(&mut self, level: Level, text: impl Into<String>) {
        self.list.push(Effect::Log(level, text.into()));
    }

    /// Remembers and logs a transition.
    pub(crate) fn transition(&mut self, worker: String, kind: TransitionKind) {
        self.transition_as(kind.level(), worker, kind.to_string(), kind);
    }

    /// Remembers a transition, and logs it with these words.
    pub(crate) fn transition_as(&mut self, level: Level, worker: String, text: String, kind: TransitionKind) {
        self.list.push(Effect::LogAbout(level, worker.clone(), text));
        self.history.note(self.now, worker, kind);
    }
}
