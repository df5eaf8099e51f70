//! What machines and visitors ask of a pipeline's state, and what it answers. A request is a message of the log; an answer never
//! travels, each machine comes to it by itself.

use super::blobs::{ItemRef, Span};
use super::reserved::Reserved;
use crate::broker::values::NOWHERE;
use crate::broker::{
    Commit, Fault, Forgotten, Judged, Progress, QueueSettings, Registered, Retried, RunOrder, Sequence,
    SharedQueue,
};
use serde::{Deserialize, Serialize};

/// A life of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Who {
    pub machine: String,
    pub life: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) enum Request {
    /// The machine joins the run that its life has joined or begun before, else one that it has not left, else the latest, or begins a new
    /// one.
    Join {
        who: Who,
        queues: Vec<QueueSettings>,
        ack_wait: u64,
        joined: Option<u64>,
        only: Option<u64>,
        new_run: bool,
    },
    /// A machine of a run.
    Machine { run: u64, who: Who, action: Action },
    /// One who looks at a run.
    Visitor { run: u64, visit: Visit },
    /// All runs go, unless a machine is alive. `alive_for`: ms without a word after which it may be gone; `None`: they go anyway.
    Drop { shown_for: u64, alive_for: Option<u64> },
    /// The server's store is full.
    Short,
    /// The reserve is whole, and as large as that.
    Reserved(Reserved),
    /// What had become of no use up to one place in the log is deleted, as far as it lies before another.
    Cleaned { through: u64, deletes_through: u64 },
    /// Parts whose request does not come.
    Abandon { parts: Vec<u64> },
    /// A run that works off dead letters is begun, if this one is the latest and has ended. `sealed`: of each queue, whether only
    /// sources write it.
    WorkOff { run: u64, queues: Vec<QueueSettings>, sealed: Vec<bool> },
}

/// See [`crate::broker::Broker`]. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) enum Action {
    Take {
        queue: SharedQueue,
        n: u32,
        looks_for_expired: bool,
        max_deliveries: u32,
    },
    Extend {
        queue: SharedQueue,
        leases: Vec<Sequence>,
    },
    Commit {
        line: String,
        place: String,
        commits: Vec<StoredCommit>,
    },
    GiveBack {
        queue: SharedQueue,
        leases: Vec<(Sequence, u32)>,
    },
    Register {
        queue: SharedQueue,
        place: String,
    },
    /// The queue ends, if it may.
    Seal {
        queue: SharedQueue,
        before: Vec<SharedQueue>,
    },
    Finish,
    /// `time`: 0 where there is no claim to the stage.
    Claim {
        place: String,
        time: u64,
    },
    Resign {
        place: String,
    },
    /// `None`: what was shown before stays.
    Show {
        text: Option<Span>,
        time: u64,
    },
    Leave,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) enum Visit {
    Watch {
        time: u64,
    },
    Order {
        order: RunOrder,
    },
    Forget {
        machine: String,
        shown_for: u64,
        silent_after: u64,
    },
    /// Into the same queue of the latest run.
    Retry {
        queue: SharedQueue,
        letters: Vec<Sequence>,
        into: (u64, SharedQueue),
    },
    Discard {
        queue: SharedQueue,
        letters: Vec<Sequence>,
    },
}

/// Whose commits.
#[derive(Clone, Copy)]
pub(in crate::broker::jetstream) struct Line<'a> {
    pub who: &'a Who,
    pub name: &'a str,
    pub place: &'a str,
}

/// A commit whose outputs lie in the data of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct StoredCommit {
    pub number: u64,
    pub ends: Vec<StoredEnd>,
    pub outputs: Vec<(SharedQueue, Span)>,
    /// From where to where.
    pub step: Option<(Vec<u8>, Vec<u8>)>,
    pub marks: Vec<SharedQueue>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct StoredEnd {
    pub queue: SharedQueue,
    pub sequence: Sequence,
    pub dead: Option<(String, u32)>,
}

impl StoredCommit {
    /// Whether there is more to keep for it than before. A position is one a stage, however often it moves.
    pub(in crate::broker::jetstream) fn grows(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Whether its step, if it has one, begins where the stage is.
    pub(super) fn begins_at(&self, position: &[u8]) -> bool {
        self.step.as_ref().is_none_or(|(from, _)| from == position)
    }

    /// In the place of one that can't happen any more, or was judged before: it asks for the verdict alone, and its outputs take no room in the
    /// log. Should the other happen after all, it still does not: then its items are delivered anew.
    pub(in crate::broker::jetstream) fn void(number: u64) -> StoredCommit {
        let nowhere = NOWHERE.to_vec();
        StoredCommit {
            number,
            ends: Vec::new(),
            outputs: Vec::new(),
            step: Some((nowhere.clone(), nowhere)),
            marks: Vec::new(),
        }
    }

    /// The bytes of the outputs go behind `data`.
    pub(in crate::broker::jetstream) fn of(commit: &Commit, data: &mut Vec<u8>) -> StoredCommit {
        let mut stored = |item: &[u8]| {
            let span = Span { at: data.len() as u32, len: item.len() as u32 };
            data.extend_from_slice(item);
            span
        };
        let outputs = commit.outputs.iter().map(|output| (output.queue, stored(&output.item))).collect();
        let end = |end: &crate::broker::End| StoredEnd {
            queue: end.queue,
            sequence: end.sequence,
            dead: end.dead.clone(),
        };
        StoredCommit {
            number: commit.number,
            ends: commit.ends.iter().map(end).collect(),
            outputs,
            step: commit.step.as_ref().map(|step| (step.from.clone(), step.to.clone())),
            marks: commit.marks.clone(),
        }
    }
}

/// An item that was handed out; its bytes are still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker::jetstream) struct Taken {
    pub sequence: Sequence,
    pub item: ItemRef,
    pub attempts: u32,
    pub deliveries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker::jetstream) enum Answer {
    Done,
    /// The message has no meaning here: nothing has happened.
    Nothing,
    Superseded,
    Joined {
        run: u64,
        begun: u64,
        ended: Option<u64>,
        is_back: bool,
        works_off: bool,
        /// As they count in the run.
        queues: Vec<QueueSettings>,
        /// Another run that has not ended: the one before a new one, or the latest.
        other: Option<u64>,
    },
    /// The machine's file says of this queue otherwise than those of the run what is to be dropped.
    Differs(SharedQueue),
    /// The run that was asked for is not there.
    NoRun,
    /// The run has other queues.
    Foreign,
    Struck,
    Taken(Vec<Taken>),
    /// Leases that are no longer the machine's.
    Lost(Vec<Sequence>),
    Judged(Judged),
    Registered(Registered),
    Progress(Progress),
    Finished(bool),
    /// The position; `None`: the stage is another's.
    Claimed(Option<Vec<u8>>),
    /// The run that takes dead letters, and whether it works them off.
    RetryRun(u64, bool),
    /// So many machines.
    Ordered(u64),
    Forgotten(Forgotten),
    Retried(Vec<Retried>),
    Discarded(u64),
    /// This machine is alive.
    Alive(String),
    Dropped,
}

impl Answer {
    /// Of an answer that was not looked for.
    pub(in crate::broker::jetstream) fn fault(&self) -> Fault {
        match self {
            Answer::Superseded => Fault::Superseded,
            _ => Fault::Away("the broker has lost what the request was about".into()),
        }
    }
}
