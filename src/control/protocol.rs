//! The control API: its paths, the bodies of its requests and its answers. Client and server use these types.
//!
//! A new command is a variant of [`Command`] and its path in [`PATHS`]: its name in JSON is the end of its path.

use crate::status::{Glimpse, Phase, QueueStatus, Snapshot};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the protocol, the first part of every path. It grows when something that was there changes or goes.
pub(crate) const VERSION: u32 = 1;

/// What the paths of commands begin with.
pub(crate) const PREFIX: &str = "/v1/";

/// The API describes itself.
pub(crate) const ROOT: &str = "/v1";
/// [`Status`].
pub(crate) const STATUS: &str = "/v1/status";
/// [`Audit`].
pub(crate) const AUDIT: &str = "/v1/audit";
/// [`Plan`].
pub(crate) const PLAN: &str = "/v1/plan";
/// [`Tap`].
pub(crate) const TAP: &str = "/v1/tap";
/// [`RunEnded`]; the connection ends with the run.
pub(crate) const END: &str = "/v1/end";
/// The status, once a second, as server-sent events.
pub(crate) const EVENTS: &str = "/v1/events";
/// [`Logs`].
pub(crate) const LOGS: &str = "/v1/logs";
/// [`Dead`].
pub(crate) const DEAD: &str = "/v1/dead";
/// Dead letters by stage and cause.
pub(crate) const DEAD_GROUPS: &str = "/v1/dead/groups";
/// [`Drop`].
pub(crate) const DROP: &str = "/v1/dead/drop";
/// [`Open`]; on the control socket only.
pub(crate) const OPEN: &str = "/v1/open";
/// The other pipelines of this user, each a [`Neighbour`].
pub(crate) const PIPELINES: &str = "/v1/pipelines";
/// The run of the shared queues over all its machines.
pub(crate) const MACHINES: &str = "/v1/machines";
/// The status for Prometheus.
pub(crate) const METRICS: &str = "/metrics";
/// [`Retry`].
pub(crate) const RETRY: &str = "/v1/dead/retry";

/// All paths and their methods.
pub(crate) const PATHS: [(&str, Method); 26] = [
    (ROOT, Method::GET),
    (STATUS, Method::GET),
    (AUDIT, Method::GET),
    (PLAN, Method::POST),
    (TAP, Method::GET),
    (END, Method::GET),
    ("/v1/scale", Method::POST),
    ("/v1/restart", Method::POST),
    ("/v1/pause", Method::POST),
    ("/v1/resume", Method::POST),
    ("/v1/reload", Method::POST),
    ("/v1/upgrade", Method::POST),
    ("/v1/drain", Method::POST),
    ("/v1/stop", Method::POST),
    ("/v1/stop-stage", Method::POST),
    ("/v1/start-stage", Method::POST),
    (RETRY, Method::POST),
    (METRICS, Method::GET),
    (EVENTS, Method::GET),
    (LOGS, Method::GET),
    (DEAD, Method::GET),
    (DEAD_GROUPS, Method::GET),
    (DROP, Method::POST),
    (OPEN, Method::POST),
    (PIPELINES, Method::GET),
    (MACHINES, Method::GET),
];

/// The path of the API that a request names, and its method. `/` names the root, and a slash at the end says nothing.
pub(crate) fn endpoint(path: &str) -> Option<(&'static str, Method)> {
    let path = if path == "/" { ROOT } else { path.trim_end_matches('/') };
    PATHS.into_iter().find(|(known, _)| *known == path)
}

/// Something that a running pipeline is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// What it looks like.
    Status(Status),
    /// Whether every item is accounted for.
    Audit,
    /// What a reload would change.
    Plan(Plan),
    /// What passes through a queue.
    Tap(Tap),
    /// How the shared queues are on all machines.
    Machines,
    /// To change something.
    Command(Command),
    /// To put an item back that became a dead letter.
    Put(Put),
}

/// A request without parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// `GET /v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Status {
    /// With what happened to each worker lately.
    pub history: bool,
}

/// `POST /v1/plan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plan {
    /// Another file in place of the pipeline's own, absolute.
    pub file: Option<String>,
}

/// `GET /v1/tap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tap {
    pub queue: String,
}

/// One item of a dead letter to put into its queue: never twice, whichever process is killed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Put {
    /// The queue that it was taken from.
    pub queue: String,
    pub item: Vec<u8>,
    /// What names it still, as its letter says.
    pub origin: Option<String>,
    /// Which letter it was: the queue remembers the last one that it got.
    pub key: u64,
    /// Don't put it: only say whether it was put.
    pub only_asks: bool,
}

/// `POST /v1/dead/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// The dead letters, by their keys.
    pub keys: Vec<String>,
}

/// What became of a [`Retry`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retried {
    /// Items that wait in their queues again.
    pub put: u64,
    /// Keys of which there is no letter any more.
    pub missing: u64,
    /// Why others were left where they are.
    pub refused: Vec<String>,
}

/// What became of a [`Drop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub done: String,
    /// Letters that were there, and are gone.
    pub dropped: u64,
}

/// `GET /v1/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logs {
    /// None: all stages, and the supervisor.
    pub stage: Option<String>,
    /// How many lines, at most.
    pub lines: Option<u32>,
}

/// The answer: oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLines {
    pub lines: Vec<String>,
}

/// `GET /v1/dead`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dead {
    /// Those of a group; none: all.
    pub group: Option<String>,
    /// How many, at most.
    pub most: Option<u32>,
    /// Without what each holds: only their keys.
    pub keys: bool,
}

/// `GET /v1/dead/groups`: letters of one stage with one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DeadGroup {
    /// Names it in [`Dead`].
    pub group: String,
    pub stage: String,
    /// In one line.
    pub cause: String,
    pub letters: u64,
    pub first: String,
    pub last: String,
}

/// `POST /v1/dead/drop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drop {
    /// The dead letters, by their keys.
    pub keys: Vec<String>,
}

/// The line of `GET /v1/end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunEnded {
    /// Of the run.
    pub exit_code: u8,
}

/// `POST /v1/open`: a link that opens the page once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Open {
    /// For looking only.
    pub read_only: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// The address that is listened on: `http://127.0.0.1:7070`.
    pub base: String,
    /// What follows it: the path with a code that is good once.
    pub path: String,
    /// For so many seconds.
    pub seconds: u64,
}

/// `GET /v1/pipelines`: another pipeline of this user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Neighbour {
    pub name: String,
    /// `None`, as all that follows: it does not answer.
    pub phase: Option<Phase>,
    pub paused: bool,
    /// Seconds since it was started.
    pub uptime: Option<f64>,
    pub processes: u32,
    pub running: u32,
    /// Stages that fail or gave up.
    pub failing: usize,
    /// Dead letters.
    pub letters: u64,
    /// The address of its page, if it has one.
    pub page: Option<String>,
}

/// A change of the running pipeline: POST to `/v1/` and its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    /// Another number of processes.
    Scale(Scale),
    /// Fresh workers, one by one.
    Restart(Restart),
    /// Workers finish their item and wait.
    Pause(StageOrAll),
    /// Paused workers continue.
    Resume(StageOrAll),
    /// Apply the pipeline file, as SIGHUP does.
    Reload(Reload),
    /// The program on the disk takes over, as after SIGUSR2. Answered only if it doesn't: else the connection ends.
    Upgrade,
    /// Sources end, all items are worked off, however long that takes.
    Drain,
    /// The same for at most `drain_timeout`.
    Stop(Stop),
    /// The processes of a stage end; its inputs wait, its outputs do not end.
    StopStage(OneStage),
    /// It runs again.
    StartStage(OneStage),
}

impl Command {
    /// Whether its answer may take any time.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Command::Scale(Scale { wait, .. })
            | Command::Restart(Restart { wait, .. })
            | Command::StopStage(OneStage { wait, .. })
            | Command::StartStage(OneStage { wait, .. })
            | Command::Pause(StageOrAll { wait, .. }) => *wait,
            Command::Reload(_) | Command::Upgrade => true,
            Command::Resume(_) | Command::Drain | Command::Stop(_) => false,
        }
    }

    /// Its path and its body.
    ///
    /// # Errors
    /// Never: all of these types are plain.
    pub(crate) fn to_request(&self) -> serde_json::Result<(String, Value)> {
        let (name, body) = match serde_json::to_value(self)? {
            Value::Object(named) => named.into_iter().next().unwrap_or_default(),
            name => (name.as_str().unwrap_or_default().to_owned(), Value::Object(Map::new())),
        };
        Ok((format!("{PREFIX}{name}"), body))
    }

    /// The command of this name.
    ///
    /// # Errors
    /// When the body does not fit, or there is no such command.
    pub(crate) fn from_request(name: &str, body: &[u8]) -> serde_json::Result<Command> {
        if let Ok(plain) = serde_json::from_value(Value::from(name)) {
            return from_body(body).map(|Nothing {}| plain);
        }
        let named = Map::from_iter([(name.to_owned(), from_body(body)?)]);
        serde_json::from_value(Value::Object(named))
    }
}

/// The value in a body. An empty body is an empty object.
///
/// # Errors
/// When the body is not an object, or does not fit.
pub(crate) fn from_body<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    // serde would take a list, too: the fields by their order.
    let object: Map<String, Value> = serde_json::from_slice(body)?;
    serde_json::from_value(Value::Object(object))
}

/// `POST /v1/scale`. Exactly one of `processes` and `by` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    pub stage: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// How many processes more than now; below zero: fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<i32>,
    /// Reply only when it has them.
    #[serde(default)]
    pub wait: bool,
}

/// `POST /v1/restart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restart {
    pub stage: String,
    /// Reply only when all its workers are fresh ones.
    #[serde(default)]
    pub wait: bool,
}

/// `POST /v1/stop-stage` and `POST /v1/start-stage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneStage {
    pub stage: String,
    /// Reply only when none of its processes is left, or when all are there.
    #[serde(default)]
    pub wait: bool,
}

/// `POST /v1/pause` and `POST /v1/resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StageOrAll {
    /// None: all stages.
    pub stage: Option<String>,
    /// Reply to a pause only when no worker has an item. A resume takes no time.
    pub wait: bool,
}

/// `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reload {
    /// Reply only when all is as the file says, or back as it was.
    pub wait: bool,
}

/// `POST /v1/stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Stop {
    /// Leave the items in the queues.
    pub now: bool,
}

/// The supervisor's answer; its JSON is that of its content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// To [`Request::Status`].
    Status(Box<Snapshot>),
    /// To [`Request::Audit`].
    Audit(Audit),
    /// To [`Request::Plan`].
    Plan(ReloadSteps),
    /// To [`Request::Tap`]: what was seen since the last time.
    Tap(Option<Glimpse>),
    /// To [`Request::Machines`]: what was seen last, as JSON.
    Machines(Option<Vec<u8>>),
    /// To [`Request::Command`] and [`Request::Put`].
    Done(Done),
}

/// An answer, or why there is none.
pub(crate) type Reply = Result<Answer, Refused>;

/// Whether every item is accounted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audit {
    pub ok: bool,
    /// The first ledger that does not add up.
    pub fault: Option<String>,
    pub queues: Vec<QueueStatus>,
}

/// What a reload would change, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReloadSteps {
    /// In words; none: nothing would change.
    pub steps: Vec<String>,
}

/// A command is done, or under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub done: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// A request is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub error: String,
}

impl Refused {
    pub(crate) fn new(reason: Reason, error: impl Into<String>) -> Refused {
        Refused { reason, error: error.into() }
    }
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
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
    /// There is no room for that many.
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
    /// The program on the disk can't take over: this one continues.
    NotUpgraded,
    /// The queue has no room.
    Full,
    /// No stage will take from the queue any more.
    Ended,
    /// The queue has not got this item last.
    NotPut,
    /// What was to be read or written could not be.
    Failed,
    /// Over TCP, a token is needed.
    NoToken,
    /// There is nothing of the kind: no page, or no broker.
    NotServed,
    /// The token is for looking only, or the request comes from another site.
    NotAllowed,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no command.
    const OTHERS: [&str; 16] = [
        ROOT,
        STATUS,
        AUDIT,
        PLAN,
        TAP,
        END,
        METRICS,
        RETRY,
        EVENTS,
        LOGS,
        DEAD,
        DEAD_GROUPS,
        DROP,
        OPEN,
        PIPELINES,
        MACHINES,
    ];

    #[test]
    fn every_command_has_its_path() {
        let unknown = Command::from_request("?", b"").unwrap_err().to_string();
        for (path, method) in PATHS {
            let is_command = unknown.contains(&format!("`{}`", path.trim_start_matches(PREFIX)));
            assert_ne!(is_command, OTHERS.contains(&path), "{path}: {unknown}");
            assert!(!is_command || method == Method::POST, "{path}");
        }
        assert_eq!(unknown.matches('`').count() / 2, 1 + PATHS.len() - OTHERS.len(), "{unknown}");
    }

    #[test]
    fn a_command_comes_back_from_its_request() {
        let stage = || Some("a".to_owned());
        for command in [
            Command::Scale(Scale { stage: "a".into(), processes: None, by: Some(-1), wait: true }),
            Command::Pause(StageOrAll { stage: stage(), wait: true }),
            Command::Drain,
            Command::Stop(Stop { now: true }),
        ] {
            let (path, body) = command.to_request().unwrap();
            let name = path.strip_prefix(PREFIX).unwrap();
            assert_eq!(Command::from_request(name, body.to_string().as_bytes()).unwrap(), command);
        }
        assert_eq!(Command::from_request("drain", b" ").unwrap(), Command::Drain);
        assert!(Command::from_request("drain", b"{\"now\":true}").is_err());
        assert!(Command::from_request("drain", b"{").is_err());
    }
}
