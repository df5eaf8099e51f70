//! All that can happen to the supervisor.

use super::condition::Finding;
use super::ids::{Pid, RequestId, StageKey, WorkerId};
use super::reason::End;
use super::saved::SavedMachine;
use super::totals::ProcessWork;
use super::wanted::Wanted;
use crate::control::protocol::Command;
use crate::link::LinkNews;
use crate::queue::{QueueId, SlotId};
use crate::sys::process::SpawnError;
use crate::sys::wait::Exit;
use std::time::{Duration, Instant};

/// Something happened; [`State::handle_all`](super::state::State::handle_all) decides what to do about it.
#[derive(Debug)]
pub(crate) enum Event {
    /// The pipeline to run: the first one.
    Begin(Wanted),
    /// The pipeline that a program before this one has run up to now, in this process: the first one.
    Resume(Wanted, Box<SavedMachine>),
    Upgrade,
    Terminate,
    Interrupt,
    Quit,
    /// SIGHUP, with a terminal still there, or without one from the start.
    Hangup,
    /// SIGHUP, to the run of a command line: there is no file to read again.
    HungUp,
    /// SIGHUP, because the terminal is gone.
    TerminalGone,
    /// The pipeline file may have changed.
    FileTouched,
    /// What became of an [`Effect::Load`](super::effect::Effect::Load).
    Loaded(Loading),
    /// What became of an [`Effect::Preflight`](super::effect::Effect::Preflight): why the program on the disk can't take over.
    PreflightDone(Result<(), String>),
    /// The program on the disk has not taken over.
    NotReplaced(NotReplaced),
    /// A command; answered by an [`Effect::Answer`](super::effect::Effect::Answer), maybe
    /// later.
    Asked(RequestId, Command),
    /// A worker has a process.
    Spawned(WorkerId, Pid),
    /// A worker could not be started.
    SpawnFailed(WorkerId, SpawnError),
    /// A service could not be started; how that counts.
    NotStarted(WorkerId, End),
    /// A service is larger than it may be.
    Outgrown(WorkerId, Pid),
    /// Nobody reads what a service prints.
    OutputClosed(WorkerId, Pid),
    /// A worker has built its stage; the program of a service has begun.
    Ready(WorkerId, Pid),
    /// A check of a service has told something.
    Found(WorkerId, Pid, Finding),
    /// A worker that is to pause has come to rest.
    AtRest(WorkerId, Pid),
    /// A worker's process is gone, and reaped.
    Ended(WorkerId, Pid, End, ProcessWork),
    /// A signal stopped a worker's process.
    Suspended {
        worker: WorkerId,
        pid: Pid,
        /// It holds the queues' lock, so that every other worker waits.
        holds_lock: bool,
    },
    /// A stage is failing; `None`: no more.
    Failing(StageKey, Option<FailingNews>),
    /// Queues are removed.
    QueuesRemoved(Vec<QueueId>),
    /// No queue was removed, since this one still holds items: how many.
    QueueHolds(QueueId, u64),
    /// The dead letter of the item that is left in this slot is written, and the item has ended.
    DeadLetterWritten(SlotId),
    /// It is not written; why.
    DeadLetterFailed(SlotId, String),
    /// All dead letters that are to be tried again were; whether each of them could be.
    RetriesDone(bool),
    /// The guardian process is gone.
    GuardianEnded,
    /// The log writer's process is gone.
    LogWriterEnded,
    /// The process that makes checks is gone.
    CheckerEnded,
    /// The process that speaks with the broker has told something.
    LinkNews(LinkNews),
    /// A signal stopped it; `holds_lock` as of a worker.
    LinkSuspended {
        pid: Pid,
        holds_lock: bool,
    },
    /// It is gone; without an exit, there was none to be had.
    LinkEnded(Option<Exit>),
    /// The disk has no room for what the queues need to go on.
    NoRoom(String),
    /// The queues' memory is damaged.
    Damaged(String),
    /// When a stage with a schedule runs next: what became of an [`Effect::NextRun`](super::effect::Effect::NextRun).
    NextRun(StageKey, Instant),
    /// The wall clock was set.
    ClockSet,
    /// The time of [`State::deadline`](super::state::State::deadline) has come.
    Deadline,
}

impl Event {
    /// Whether it tells how a worker is. Many of these come at once, and nothing in between needs to be done first.
    pub(crate) fn is_news_of_worker(&self) -> bool {
        matches!(
            self,
            Event::Spawned(..)
                | Event::SpawnFailed(..)
                | Event::NotStarted(..)
                | Event::Ready(..)
                | Event::Found(..)
                | Event::AtRest(..)
                | Event::Ended(..)
                | Event::Failing(..)
        )
    }
}

/// Different items of a stage fail one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailingNews {
    /// Since how long.
    pub since: Duration,
    /// Why the last one failed.
    pub last_words: String,
}

/// Why the program on the disk has not taken over.
#[derive(Debug)]
pub(crate) enum NotReplaced {
    /// Something came in that this program has to see to first.
    Interrupted,
    Failed(String),
}

/// What became of an attempt to read the pipeline file.
#[derive(Debug)]
pub(crate) enum Loading {
    /// It is good; with the items that the queues held at that moment, by name.
    Good(Box<Wanted>, Vec<(String, u64)>),
    /// It is not; the whole report.
    Bad(String),
    /// There is no file.
    Gone(String),
}
