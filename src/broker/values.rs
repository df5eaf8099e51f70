//! What travels between the link and the broker.

use crate::model::{Machines, WhenFull};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A shared queue, by its place in [`Layout::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedQueue(pub u16);

/// The name that a broker gave to an entry: milliseconds since 1970 by its clock, and a number; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sequence(pub u64, pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Sequence {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Sequence, Self::Err> {
        let (major, minor) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Sequence(major.parse()?, minor.parse()?))
    }
}

/// The shared queues of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `prefix`, so that pipelines of one name can share a server.
    pub prefix: String,
    pub pipeline: String,
    pub queues: Vec<QueueSettings>,
    /// How long a lease lasts without a word from its machine.
    pub ack_wait: Duration,
    /// An item that was delivered this often, each time to a machine that died, becomes a dead letter.
    pub max_deliveries: u32,
    /// Servers of a cluster that each keep what is in the queues. For NATS.
    pub replicas: u8,
}

#[cfg_attr(not(any(feature = "redis", feature = "nats")), expect(dead_code, reason = "no broker is built"))]
impl Layout {
    /// What the file says otherwise than the run, each a sentence.
    pub(super) fn differences(&self, run: &[QueueSettings]) -> Vec<String> {
        let differs = |(own, run): &(&QueueSettings, &QueueSettings)| own != run;
        let text = |(own, run): (&QueueSettings, &QueueSettings)| {
            let (name, key) =
                (&own.name, if own.when_full == run.when_full { "capacity" } else { "when_full" });
            let [own, run] = [own, run].map(|settings| match key {
                "capacity" => settings.capacity.to_string(),
                _ => settings.when_full.quoted().to_owned(),
            });
            format!(
                "the queue {name} has `{key} = {run}` in this run, where this file says {own}: the file's value counts once those of all \
                 machines in the run say the same"
            )
        };
        self.queues.iter().zip(run).filter(differs).map(text).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    pub name: String,
    /// Items waiting and leased, over all machines.
    pub capacity: u64,
    /// [`WhenFull::DropOld`] is no setting of a shared queue: what is oldest may be leased.
    pub when_full: WhenFull,
}

/// Who joins which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// A random id of the machine's state folder.
    pub machine: String,
    /// A random id of the arena. Numbers of commits begin anew with it, and leases of another life are given back.
    pub life: String,
    /// The run that this life has joined before: it stays in it, as long as the broker has it.
    pub joined: Option<u64>,
    /// Only this run will do.
    pub only: Option<u64>,
    /// Begin another run, unless this life has begun one before.
    pub new_run: bool,
    /// Run on settings of the broker under which it may lose items.
    pub allow_loss: bool,
}

/// What is said of another run than the one that is joined.
#[cfg(any(feature = "redis", feature = "nats"))]
pub(super) fn unfinished(run: u64) -> String {
    format!("run {run} has not ended: `mprun run FILE --run {run}` joins it")
}

/// A run that was joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub run: u64,
    /// Milliseconds since 1970, by the broker's clock: no two runs of a number have begun in the same.
    pub begun: u64,
    /// Seconds since 1970.
    pub ended: Option<u64>,
    /// The machine was in the run before, and has not left it. A run that has ended has no other machines.
    pub is_back: bool,
    /// The run only works on dead letters of earlier ones: it has no sources.
    pub works_off: bool,
    /// What the broker's settings don't protect from, each a sentence.
    pub warnings: Vec<String>,
}

/// An item that this machine may work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub sequence: Sequence,
    pub item: Bytes,
    /// Attempts that other machines have begun and told of.
    pub attempts: u32,
    /// This is the item's delivery of that number; those that were given back don't count.
    pub deliveries: u32,
}

/// What one transaction of a stage changes in the broker, in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Rises along the line; 1 is the first.
    pub number: u64,
    pub ends: Vec<End>,
    pub outputs: Vec<Output>,
    pub step: Option<Step>,
    /// Queues that this line writes no more into.
    pub marks: Vec<SharedQueue>,
}

/// Where no stage is: a step from there is refused. Positions are JSON, or empty.
pub(super) const NOWHERE: &[u8] = b"\0nowhere";

impl Commit {
    /// A lease that was lost, came back and was handed out again may lie in one turn of a worker twice. Such a commit is refused by both
    /// brokers, whatever else holds: it would publish what the worker has made of the item twice.
    pub(super) fn ends_one_twice(&self) -> bool {
        let lease = |end: &End| (end.queue, end.sequence);
        let is_in_order = self.ends.is_sorted_by(|before, behind| lease(before) < lease(behind));
        let mut leases: Vec<_> = if is_in_order { Vec::new() } else { self.ends.iter().map(lease).collect() };
        leases.sort_unstable();
        leases.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// The end of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub queue: SharedQueue,
    pub sequence: Sequence,
    /// It failed for good, after so many attempts, and this is why. `None`: it is done.
    pub dead: Option<(String, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub queue: SharedQueue,
    pub item: Bytes,
}

/// The position of a stage moves: where a source is, how long a file is, what a stage has summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the stage was. The broker has another position: it refuses the commit.
    pub from: Vec<u8>,
    pub to: Vec<u8>,
}

/// A stage as the broker knows it: of this machine, or of all that run it one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedStage {
    pub name: String,
    pub machines: Machines,
    /// What it is still to write is made of items that have ended: as a writer it goes with the life of its machine.
    pub is_of_life: bool,
}

impl SharedStage {
    /// What names it among the writers and positions of a run.
    pub(super) fn place(&self, machine: &str, life: &str) -> String {
        match self.machines {
            Machines::All if self.is_of_life => format!("{machine}/{}:{life}", self.name),
            Machines::All => format!("{machine}/{}", self.name),
            Machines::One => format!("/{}", self.name),
        }
    }

    /// Machine and stage of a place.
    pub(super) fn of_place(place: &str) -> Option<(&str, &str)> {
        let (machine, stage) = place.split_once('/')?;
        Some((machine, stage.split_once(':').map_or(stage, |(stage, _)| stage)))
    }
}

/// What a queue says to a stage that will write into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The queue does not end before the stage has.
    Open,
    /// The stage has said its end in this run already.
    Ended,
    /// The queue has ended without it.
    Sealed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It happened, by this request or by an earlier one.
    Done,
    /// It did not, and never will: a lease of it is another machine's, its stage is elsewhere by now, or its target has ended.
    Refused,
}

/// What became of a request of commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Of the first commits of the request, in order.
    pub verdicts: Vec<Verdict>,
    /// Why the next one was not judged, nor those behind it.
    pub full: Option<Full>,
    /// The last number that the line had before. Less than what it was told to have had: the broker has lost what it acknowledged.
    pub before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    Queue(SharedQueue),
    /// The broker's own memory.
    Memory,
}

/// How far a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    Open,
    /// No more items come.
    Sealed,
    /// And none of those that are there waits: each is leased.
    Leased,
    /// And none is there.
    Finished,
}

/// Where dead letters lie: the queue of a run, by its name. The file may have that queue no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterPlace {
    pub run: u64,
    pub queue: String,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub sequence: Sequence,
    pub item: Vec<u8>,
    pub cause: String,
    pub attempts: u32,
}

/// `put = done + dead + dropped + waiting + leased`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub put: u64,
    pub done: u64,
    pub dead: u64,
    pub dropped: u64,
    pub waiting: u64,
    pub leased: u64,
}

impl Ledger {
    pub fn adds_up(&self) -> bool {
        self.put == self.done + self.dead + self.dropped + self.waiting + self.leased
    }
}

/// What may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There may be items, or the queue may have ended.
    Items(SharedQueue),
    /// There may be room.
    Room(SharedQueue),
    /// The connection is gone.
    Away,
}
