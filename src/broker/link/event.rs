//! What happens to a link, and what it does about it.

use crate::broker::{Judged, Sequence, SharedQueue, Verdict, Woken};

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
    /// The machine is to give back what it has not begun, and to leave once the rest has ended.
    Finish,
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
    /// Leases that are another machine's: this one was out of touch for too long.
    Lost {
        queue: SharedQueue,
        items: usize,
    },
    /// Commits that did not happen.
    Refused {
        line: LineId,
        commits: usize,
    },
    /// The broker has lost commits that it had acknowledged, by a restart or a failover.
    Forgotten {
        line: LineId,
        commits: u64,
    },
}
