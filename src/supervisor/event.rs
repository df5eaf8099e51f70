//! All that can happen to the supervisor.

use super::ids::{AskId, Pid, WorkerId};
use super::reason::End;
use super::state::Left;
use super::wanted::Wanted;
use crate::control::protocol::Command;
use crate::model::Totals;
use crate::queue::{ItemTimes, QueueId, SlotId, WorkTimes};
use crate::status::{Glimpse, Progress};
use crate::sys::process::SpawnError;

/// Something happened; [`State::handle`](super::state::State::handle) decides what to do about it.
#[derive(Debug)]
pub enum Event {
    /// The pipeline to run: the first one.
    Begin(Wanted),
    /// The pipeline that a program before this one has run up to now, in this process: the first one.
    TakeOver(Wanted, Box<Left>),
    /// SIGUSR2.
    Upgrade,
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGHUP, with a terminal still there, or without one from the start.
    Hangup,
    /// SIGHUP, because the terminal is gone.
    TerminalGone,
    /// The pipeline file may have changed.
    FileTouched,
    /// What became of an [`Action::Load`](super::action::Action::Load).
    Loaded(Loading),
    /// What became of an [`Action::Rehearse`](super::action::Action::Rehearse): why the program on the disk can't take over.
    Rehearsed(Result<(), String>),
    /// The program on the disk has not taken over.
    NotHandedOver(NotHandedOver),
    /// Somebody asked for something to be done; answered by an [`Action::Answer`](super::action::Action::Answer), maybe
    /// later.
    Asked(AskId, Command),
    /// A worker has a process.
    Spawned(WorkerId, Pid),
    /// A worker could not be started.
    SpawnFailed(WorkerId, SpawnError),
    /// A worker has built its stage.
    Ready(WorkerId, Pid),
    /// A worker that is to pause has come to rest.
    AtRest(WorkerId, Pid),
    /// A worker's process is gone, and reaped.
    Ended(WorkerId, Pid, End, Work),
    /// A signal stopped a worker's process.
    Halted {
        /// Which.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
        /// It can't go on, and with it nobody who wants the queues' lock.
        holds_lock: bool,
    },
    /// Queues are gone.
    QueuesRemoved(Vec<QueueId>),
    /// No queue was removed, since this one still holds so many items.
    QueueHolds(QueueId, u64),
    /// The dead letter of the item that is left in this slot is written, and the item has ended.
    Buried(SlotId),
    /// It is not written; why.
    NotBuried(SlotId, String),
    /// All dead letters that are to be tried again were; whether each of them could be.
    Fed(bool),
    /// The guardian process is gone.
    GuardianEnded,
    /// The log writer's process is gone.
    LogWriterEnded,
    /// The disk has no room for what the queues need to go on.
    NoRoom(String),
    /// The queues' memory is damaged.
    Damaged(String),
    /// The time of [`State::deadline`](super::state::State::deadline) has come.
    Deadline,
}

/// What a process did in its life, from its slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// It got as far as building its stage.
    pub ready: bool,
    /// What became of its items.
    pub counts: Totals,
    /// How far the source was that it ran.
    pub progress: Option<Progress>,
    /// How it spent its time.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
    /// Which try it was of the item that it had begun, and not ended; 0: it had begun none.
    pub attempt: u32,
    /// The item that it had begun, and not ended.
    pub item: Option<Box<Glimpse>>,
    /// What it or its program has said at last, if it failed; oldest first.
    pub words: Vec<String>,
    /// Another worker of its stage has done something.
    pub stage_has_worked: bool,
}

/// Why the program on the disk has not taken over.
#[derive(Debug)]
pub enum NotHandedOver {
    /// Something came in that this program has to see to first.
    Interrupted,
    /// It failed.
    Failed(String),
}

/// What became of an attempt to read the pipeline file.
#[derive(Debug)]
pub enum Loading {
    /// It is good; with the items that the queues held at that moment, by name.
    Good(Box<Wanted>, Vec<(String, u64)>),
    /// It is not; the whole report.
    Bad(String),
    /// There is no file.
    Gone(String),
}
