//! A run as all its machines make it: what a look at the broker finds.

use super::{Fault, Ledger};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime};

/// How long a machine's snapshot stays in the broker.
pub const SHOWN_FOR: Duration = Duration::from_secs(3600);
/// A machine that has shown nothing for so long has fallen silent: it has missed two snapshots.
pub const SILENT_AFTER: Duration = Duration::from_secs(15);

/// What a machine hears beside its items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Somebody looks at the run: snapshots are to be fresh.
    pub is_watched: bool,
    /// What the machines of this time were last told.
    pub order: Option<RunOrder>,
}

/// What all machines of a run are told; one that joins later is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOrder {
    /// Sources end; all else works on.
    Drain,
    /// Every machine stops.
    Stop,
}

impl RunOrder {
    const ALL: [(&str, RunOrder); 2] = [("drain", RunOrder::Drain), ("stop", RunOrder::Stop)];

    /// As a broker keeps it.
    pub(super) fn name(self) -> &'static str {
        RunOrder::ALL.iter().find(|(_, order)| *order == self).map_or("", |(name, _)| name)
    }

    /// The same, read back.
    pub(super) fn named(name: &str) -> Option<RunOrder> {
        RunOrder::ALL.iter().find(|(own, _)| *own == name).map(|(_, order)| *order)
    }
}

/// A run at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    pub run: u64,
    /// Seconds since 1970, by the broker's clock.
    pub begun: u64,
    pub ended: Option<u64>,
    /// It only works off dead letters of earlier runs.
    pub works_off: bool,
    pub machines: Vec<Member>,
    /// In the order of the layout.
    pub queues: Vec<QueueView>,
}

/// A machine of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub machine: String,
    pub life: String,
    pub state: MemberState,
    /// What it has shown last, and how long ago.
    pub shown: Option<(Duration, Vec<u8>)>,
}

/// A machine's id for people: the beginning of it.
pub struct MachineName<'a>(pub &'a str);

impl fmt::Display for MachineName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..8).unwrap_or(self.0))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    Alive,
    /// Nothing was heard of it for [`SILENT_AFTER`].
    Silent,
    /// It has given its items back and gone.
    Left,
    /// `mprun forget` has struck it off.
    Struck,
}

/// A shared queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    pub name: String,
    pub ledger: Ledger,
    pub capacity: u64,
    /// No more items come.
    pub sealed: bool,
    /// Dead letters that lie in the broker.
    pub letters: u64,
    /// Dead letters that were dropped.
    pub letters_dropped: u64,
    /// For how long the oldest item waits.
    pub oldest: Option<Duration>,
    /// Leased items by machine.
    pub leased: Vec<(String, u64)>,
    pub writers: Vec<Writer>,
}

/// A stage that has said that it writes a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub machine: String,
    pub stage: String,
    pub state: WriterState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriterState {
    Open,
    Ended,
    /// Its machine was struck off.
    Struck,
}

/// What became of the wish to strike a machine off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    Unknown,
    /// It has shown itself that long ago.
    Alive(Duration),
    Struck {
        /// By queue: items that went back.
        items: Vec<(String, u64)>,
        /// By queue: stages that count as ended.
        writers: Vec<(String, String)>,
    },
}

/// The run whose queues take what dead letters held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRun {
    pub number: u64,
    /// It has no sources, and ends once the letters are worked on.
    pub works_off: bool,
}

/// What became of a dead letter that was to be an item again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    Put,
    /// There is no such letter any more.
    Missing,
    /// Its queue has ended, and the run has not.
    Ended,
    /// The run is not the latest any more.
    Outrun,
}

/// What a server holds of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPipeline {
    pub prefix: String,
    pub pipeline: String,
    pub runs: Vec<HeldRun>,
    pub keys: Vec<String>,
    /// Why its runs can't be read, though the server is there.
    pub fault: Option<Fault>,
}

/// A run, as far as the server tells without its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeldRun {
    pub number: u64,
    /// Seconds since 1970; in RFC 3339 as JSON.
    #[serde(serialize_with = "as_rfc3339")]
    pub begun: Option<u64>,
    #[serde(serialize_with = "as_rfc3339")]
    pub ended: Option<u64>,
    /// Items waiting or leased.
    pub items: u64,
    /// Dead letters.
    pub letters: u64,
    /// Machines that have shown themselves lately.
    pub alive: u64,
    /// Keys of its names that hold something else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<String>,
}

fn as_rfc3339<S: Serializer>(seconds: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    seconds.map(|seconds| humantime::format_rfc3339_seconds(at(seconds)).to_string()).serialize(to)
}

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// So many keys are gone.
    Keys(u64),
    /// Nothing has happened: this machine is alive.
    Alive(String),
    /// Nothing has happened: the pipeline can't be read, and this many connections are subscribed to it. Each may be a machine's.
    Heard(u64),
}
