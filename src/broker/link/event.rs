//! What happens to a link, and what it does about it.

use crate::broker::{Judged, Sequence, SharedQueue, Verdict, Woken};
use serde::{Deserialize, Serialize};

/// A line, by its place in [`super::Remains::commits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineId(pub usize);

/// The leases that a commit ends.
pub type Ends = Vec<(SharedQueue, Sequence)>;

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run is joined.
    Joined,
    /// The connection is gone, or was not to be had. `jitter` (0.5 ..= 1) shortens the pause.
    Broken {
        jitter: f64,
    },
    /// No try helps: what the broker says of it.
    Hopeless(String),
    /// All that is leased to this machine.
    Held {
        queue: SharedQueue,
        sequences: Vec<Sequence>,
    },
    /// The arena has places for so many items.
    Room {
        queue: SharedQueue,
        places: usize,
    },
    /// Of `asked` items, the broker leased these.
    Taken {
        queue: SharedQueue,
        asked: usize,
        sequences: Vec<Sequence>,
    },
    /// Leases began anew, but for these.
    Extended {
        queue: SharedQueue,
        lost: Vec<Sequence>,
    },
    /// The arena has taken these out of its queue, with the attempts that were begun.
    Withdrawn {
        queue: SharedQueue,
        leases: Vec<(Sequence, u32)>,
    },
    /// A stage has committed: that lies in the arena, and ends these leases once the broker has it.
    Queued {
        line: LineId,
        number: u64,
        ends: Ends,
    },
    /// The answer to a request of commits from number `first` on.
    Judged {
        line: LineId,
        first: u64,
        judged: Judged,
    },
    Woken(Woken),
    /// No worker of the stage is left on this machine, and none comes before [`Note::Here`]. Its commits are known.
    Stopped {
        line: LineId,
    },
    /// The answer to a claim: the stage is this machine's, and its position there to be put into the token.
    Claimed {
        line: LineId,
        is_ours: bool,
    },
    /// The supervisor wants no work of the stage on this machine, or wants it again.
    Switched {
        line: LineId,
        is_off: bool,
    },
    /// The broker knows that the stage has ended.
    LineEnded {
        line: LineId,
    },
    /// It did, and knows it no more: a restart or a failover has taken it back.
    EndForgotten {
        line: LineId,
    },
    /// The machine is to give back what it has not begun, and to leave once the rest has ended.
    Finish,
    /// The same, without waiting for room for what its sources have emitted.
    Stop,
    /// It has left.
    Left,
    /// The deadline has come.
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Join,
    /// Answered by [`Event::Held`].
    AskHeld {
        queue: SharedQueue,
    },
    /// Answered by [`Event::Taken`].
    Take {
        queue: SharedQueue,
        n: usize,
        look_for_expired: bool,
    },
    /// Items of the last answer come into the arena, with their sequences: one transaction.
    Store {
        queue: SharedQueue,
        sequences: Vec<Sequence>,
    },
    /// Answered by [`Event::Extended`].
    Extend {
        queue: SharedQueue,
        sequences: Vec<Sequence>,
    },
    /// Needs no answer: what is still this machine's, the next `AskHeld` names.
    GiveBack {
        queue: SharedQueue,
        leases: Vec<(Sequence, u32)>,
    },
    /// Items that are another machine's go out of the arena, where no worker has begun them.
    Drop {
        queue: SharedQueue,
        sequences: Vec<Sequence>,
    },
    /// All items that no worker has begun go out of the arena. Answered by [`Event::Withdrawn`].
    Withdraw {
        queue: SharedQueue,
    },
    /// Items that come back from workers stay in the arena again.
    Open {
        queue: SharedQueue,
    },
    /// Answered by [`Event::Claimed`].
    Claim {
        line: LineId,
    },
    /// The position of the last answer becomes the stage's token: one transaction.
    PutToken {
        line: LineId,
    },
    /// Needs no answer: a claim that is not renewed expires.
    Resign {
        line: LineId,
    },
    /// The line's commits from `first` to `last`. Answered by [`Event::Judged`].
    Commit {
        line: LineId,
        first: u64,
        last: u64,
    },
    /// The line's oldest commits, from `first` on, go out of the arena, with the sequences that they end: one transaction.
    End {
        line: LineId,
        first: u64,
        verdicts: Vec<Verdict>,
    },
    Say(Note),
    /// Answered by [`Event::Left`].
    Leave,
    /// The process ends. With a reason, it has failed.
    Exit(Option<String>),
}

/// What people are to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    Away,
    Up,
    /// Whether the broker's memory has room for the commits of the line.
    Room {
        line: LineId,
        room: Room,
    },
    /// The stage may work on this machine.
    Here {
        line: LineId,
    },
    /// It may not, any more: its workers are to end. Answered by [`Event::Stopped`].
    Elsewhere {
        line: LineId,
    },
    /// Leases that are another machine's: this one was out of touch for too long, or they were deleted.
    Lost {
        queue: SharedQueue,
        items: usize,
    },
    /// Commits that did not happen.
    Refused {
        line: LineId,
    },
    /// The broker has lost commits that it had acknowledged, by a restart or a failover.
    Forgotten {
        line: LineId,
        commits: u64,
    },
}

/// Whether the broker's memory has room for what a stage has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Room {
    There,
    /// Commits are refused, and go through now and then, as items are taken out elsewhere.
    Short,
    /// None has gone through for a minute.
    Gone,
}
