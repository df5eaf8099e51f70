//! What travels: requests to a running pipeline, and its replies. Both ends use these types.

use crate::status::{Glimpse, Queue, Snapshot};
use serde::{Deserialize, Serialize};

/// The version of the protocol, the first part of every path. It grows when something that was there changes or goes.
pub const VERSION: u32 = 1;

/// Something that a running pipeline is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// What it looks like.
    Status(Status),
    /// Whether every item is accounted for.
    Audit,
    /// What a reload would change.
    Plan(Plan),
    /// What passes through a queue.
    Tap(Tap),
    /// To do something.
    Tell(Command),
    /// To put an item back that became a dead letter.
    Put(Put),
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    /// With what happened to each worker lately.
    pub history: bool,
}

/// `POST /v1/plan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Another file in place of the pipeline's own, absolute.
    pub file: Option<String>,
}

/// `GET /v1/tap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// The queue.
    pub queue: String,
}

/// One item to put into a queue once more: never twice, whoever is killed.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// The queue that it was taken from.
    pub queue: String,
    /// Its bytes.
    pub item: Vec<u8>,
    /// Which letter it was: the queue remembers the last one that it got.
    pub key: u64,
    /// Don't put it: only say whether it was put.
    pub only_asks: bool,
}

/// `POST /v1/dead/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The dead letters, by their keys.
    pub keys: Vec<String>,
}

/// What became of a [`Retry`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Items that wait in their queues again.
    pub put: u64,
    /// Keys of which there is no letter any more.
    pub missing: u64,
    /// Why others were left where they are.
    pub refused: Vec<String>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Another number of processes.
    Scale(Scale),
    /// Fresh workers, one by one.
    Restart(Restart),
    /// Workers finish their item and wait.
    Pause(Whom),
    /// And go on.
    Resume(Whom),
    /// Take the file over, as SIGHUP does.
    Reload(Wait),
    /// The program on the disk takes over, as after SIGUSR2. Answered only if it doesn't: else the connection ends.
    Upgrade,
    /// Sources end, all items are worked off, however long that takes.
    Drain,
    /// The same for at most `drain_timeout`.
    Stop(Stop),
}

/// `POST /v1/scale`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The stage.
    pub stage: String,
    /// How many processes it is to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Instead: how many more than now; below zero: fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<i32>,
    /// Reply only when it has them.
    #[serde(default)]
    pub wait: bool,
}

/// `POST /v1/restart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// The stage.
    pub stage: String,
    /// Reply only when all its workers are fresh ones.
    #[serde(default)]
    pub wait: bool,
}

/// `POST /v1/pause` and `POST /v1/resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Whom {
    /// The stage; none: all of them.
    pub stage: Option<String>,
    /// Reply to a pause only when no worker is at an item any more. To go on takes no time.
    pub wait: bool,
}

/// `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wait {
    /// Reply only when all is as the file says, or back as it was.
    pub wait: bool,
}

/// `POST /v1/stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// Do not work off what is in the queues.
    pub now: bool,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Snapshot>),
    /// To [`Request::Audit`].
    Audit(Audit),
    /// To [`Request::Plan`].
    Plan(Steps),
    /// To [`Request::Tap`]: what was seen since the last time.
    Tap(Option<Glimpse>),
    /// To [`Request::Tell`] and [`Request::Put`].
    Done(Done),
}

/// An answer, or why there is none.
pub type Reply = Result<Answer, Refused>;

/// Whether every item is accounted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// It all adds up.
    pub ok: bool,
    /// The first thing that doesn't.
    pub fault: Option<String>,
    /// The ledgers.
    pub queues: Vec<Queue>,
}

/// What a reload would change, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// In words; none: nothing would change.
    pub steps: Vec<String>,
}

/// It is done, or under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What, in words.
    pub done: String,
    /// The steps of it, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// It is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why, as a word for programs.
    pub reason: Reason,
    /// Why, for people.
    pub error: String,
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The request makes no sense.
    Malformed,
    /// There is no such path.
    NoSuchPath,
    /// The path is asked in another way.
    WrongMethod,
    /// The request is too large.
    TooLarge,
    /// The request or its answer took too long.
    TooSlow,
    /// Too many are asking.
    Busy,
    /// The pipeline has no stage of this name.
    NoSuchStage,
    /// The pipeline has no queue of this name.
    NoSuchQueue,
    /// A stage needs one process at least.
    TooFew,
    /// There is no room for so many.
    TooMany,
    /// The stage has done its work.
    Finished,
    /// The stage gave up.
    GaveUp,
    /// The stage is on its way out.
    Removed,
    /// The pause that was waited for ended before all workers had come to rest.
    Resumed,
    /// The pipeline is on its way out.
    Stopping,
    /// The file can't be used.
    BadFile,
    /// The file is good, but the running pipeline can't take it over.
    FileRefused,
    /// The new pipeline did not work: the old one runs on.
    RolledBack,
    /// The program on the disk can't take over: this one goes on.
    NotUpgraded,
    /// The queue has no room.
    Full,
    /// Nobody will take from the queue any more.
    Ended,
    /// The queue has not got this item last.
    NotPut,
    /// What was to be read or written could not be.
    Failed,
}
