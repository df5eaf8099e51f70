//! Why something happens to a worker. Every start, stop, kill and restart carries one of these: it is logged, kept in
//! the history, and shown by the status.

use crate::exit;
use crate::model::Halt;
use crate::queue::Ending;
use crate::sys::process::SpawnError;
use crate::sys::wait::Exit;
use std::fmt;
use std::time::Duration;

/// Why a worker is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum StartReason {
    /// The stage is new in the pipeline.
    New,
    /// The stage is new, and those that it waited for are ready (`after`).
    ItsTurn,
    /// `processes` grew.
    Scaled,
    /// The one before it failed.
    Failed,
    /// The one before it was killed from outside.
    Killed,
    /// The one before it ended well, and `restart = "always"`.
    Always,
    /// The one before it had done its share (`recycle`).
    Recycled,
    /// The stage's work changed.
    Changed,
    /// A fresh one was asked for.
    Requested,
    /// The broker has said from where the stage goes on here.
    Here,
    /// It was on its way out, but is wanted after all.
    WantedAgain,
    /// It had finished, but there is work again.
    WorkAgain,
    /// Its time has come (`schedule`).
    Scheduled,
    /// The one before it was not ready in its time (`ready`).
    NotReady,
    /// The one before it was unhealthy (`health`).
    Unhealthy,
}

impl fmt::Display for StartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartReason::New => "the stage is new",
            StartReason::ItsTurn => "it waits for no other stage any more (after)",
            StartReason::Scaled => "more processes are wanted",
            StartReason::Failed => "the one before it failed",
            StartReason::Killed => "the one before it was killed from outside",
            StartReason::Always => "the one before it finished, and restart is \"always\"",
            StartReason::Recycled => "the one before it had done its share",
            StartReason::Changed => "the stage's work changed",
            StartReason::Requested => "a restart was asked for",
            StartReason::Here => "the broker gives the stage to this machine",
            StartReason::WantedAgain => "it is wanted after all",
            StartReason::WorkAgain => "there is work for it again",
            StartReason::Scheduled => "it is time (schedule)",
            StartReason::NotReady => "the one before it was not ready in time",
            StartReason::Unhealthy => "the one before it was unhealthy",
        })
    }
}

/// Why a worker is requested to end, or is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum StopReason {
    /// `processes` shrank.
    Scaled,
    /// The stage is not in the pipeline any more.
    Removed,
    /// The stage's work changed: a worker with the new work takes its place.
    Changed,
    /// A fresh one is to take its place.
    Requested,
    /// The stage's output has no reader.
    OutputClosed,
    /// The stage gave up.
    GaveUp,
    /// The pipeline stops.
    Stopping,
    /// It was stopped by a signal in the one moment when all others wait for it.
    HoldsLock,
    /// The stage was stopped by hand.
    ByHand,
    /// The broker says where the stage goes on: on another machine, or from another position.
    Elsewhere,
    /// It is as old or as large as `recycle` lets it be. (A worker sees that by itself.)
    Recycled,
    /// It was not ready in its time.
    NotReady,
    /// Checks of it failed.
    Unhealthy,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopReason::Scaled => "fewer processes are wanted",
            StopReason::Removed => "the stage was removed",
            StopReason::Changed => "the stage's work changed",
            StopReason::Requested => "a restart was asked for",
            StopReason::OutputClosed => "the reader of its output is gone",
            StopReason::GaveUp => "the stage gave up",
            StopReason::Stopping => "the pipeline stops",
            StopReason::ByHand => "the stage was stopped by hand",
            StopReason::Elsewhere => "the broker gives the stage to another machine",
            StopReason::Recycled => "it has done its share",
            StopReason::NotReady => "it is not ready in time",
            StopReason::Unhealthy => "it is unhealthy",
            StopReason::HoldsLock => "it was stopped by a signal while it held the queues' lock",
        })
    }
}

/// Why the pipeline stops before its work is through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// A signal asked for it.
    Signal(&'static str),
    /// A verb asked for it.
    Requested(&'static str),
    /// This stage gave up, with `on_give_up = "stop"`.
    GaveUp(String),
    /// This stage is failing: with `when_failing = "stop"`, or for longer than its `failing_timeout`.
    Failing { stage: String, last_words: String },
    /// This stage tries no further item, as its `halt` says.
    Halted { stage: String, halt: Halt },
    /// The terminal it ran in is gone.
    TerminalGone,
    /// The run of the shared queues has ended.
    RunEnded,
    /// The broker does not take this pipeline, and never will.
    NoBroker { why: String, is_usage: bool },
    /// The disk has no room for the queues.
    NoRoom(String),
    /// The queues' memory is damaged.
    Damaged(String),
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopCause::Signal(name) => f.write_str(name),
            StopCause::Requested(verb) => write!(f, "mprun {verb}"),
            StopCause::GaveUp(stage) => write!(f, "the stage {stage} gave up"),
            StopCause::Failing { stage, last_words } => {
                write!(f, "the stage {stage} is failing: {last_words}")
            }
            StopCause::Halted { stage, halt } => write!(f, "the stage {stage}: halt = \"{halt}\""),
            StopCause::TerminalGone => f.write_str("the terminal is gone"),
            StopCause::RunEnded => f.write_str("the run of the shared queues has ended"),
            StopCause::NoBroker { why, .. } => write!(f, "the broker: {why}"),
            StopCause::NoRoom(what) | StopCause::Damaged(what) => f.write_str(what),
        }
    }
}

/// How a worker's process ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum End {
    /// It said how before it went.
    Said(Ending),
    /// It went without a word.
    Died(Exit),
    /// There never was one.
    NotStarted(SpawnError),
    /// It ended since its program can't be started, however often it is tried; why.
    CannotStart(String),
    /// It ended since its program was killed, and not by the worker; in words.
    ProgramKilled(String),
    /// It ended since its program said that it can't work now; in words.
    NotNow(String),
    /// It obeyed a SIGTERM.
    Terminated,
}

impl End {
    /// What the process said counts more than how it went: at that moment all of its work was committed.
    pub(crate) fn new(ending: Option<Ending>, exit: Exit) -> End {
        const CANNOT_START: i32 = exit::CANNOT_START as i32;
        const PROGRAM_KILLED: i32 = exit::PROGRAM_KILLED as i32;
        const NOT_NOW: i32 = exit::NOT_NOW as i32;
        const TERMINATED: i32 = exit::TERMINATED as i32;
        match (ending, exit) {
            // The exit code tells apart what is one word in the slot.
            (Some(Ending::Failed(why)), Exit::Code(CANNOT_START)) => End::CannotStart(why),
            (Some(Ending::Failed(why)), Exit::Code(PROGRAM_KILLED)) => End::ProgramKilled(why),
            (Some(Ending::Failed(why)), Exit::Code(NOT_NOW)) => End::NotNow(why),
            (Some(Ending::Ordered), Exit::Code(TERMINATED)) => End::Terminated,
            (Some(ending), _) => End::Said(ending),
            (None, exit) => End::Died(exit),
        }
    }

    /// Whether this is a failure: something to restart for, and to count.
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            End::Said(ending) => matches!(ending, Ending::Failed(_) | Ending::Lost(_) | Ending::TimedOut),
            End::Died(_) | End::NotStarted(_) | End::CannotStart(_) => true,
            End::ProgramKilled(_) | End::NotNow(_) => true,
            End::Terminated => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Said(Ending::Finished) => f.write_str("finished"),
            End::Said(Ending::InputEnded) => f.write_str("finished: its input ended"),
            End::Said(Ending::OutputClosed) => f.write_str("finished: the reader of its output is gone"),
            End::Said(Ending::Ordered) => f.write_str("ended as asked"),
            End::Said(Ending::Recycled) => f.write_str("ended after its share"),
            End::Said(Ending::Halted) => f.write_str("tries no further item"),
            End::Said(Ending::Failed(why) | Ending::Lost(why)) => write!(f, "failed: {why}"),
            End::Died(Exit::Signal(signal)) => write!(f, "was killed by {signal}"),
            End::Died(Exit::Code(code)) => write!(f, "ended with exit code {code}"),
            End::Said(Ending::TimedOut) => f.write_str("took longer than item_timeout over an item"),
            End::NotStarted(error) => error.fmt(f),
            End::CannotStart(why) | End::ProgramKilled(why) | End::NotNow(why) => write!(f, "failed: {why}"),
            End::Terminated => f.write_str("ended by SIGTERM"),
        }
    }
}

/// A duration as people say it, at most to the millisecond.
pub(crate) fn spoken(duration: Duration) -> String {
    if (Duration::from_nanos(1)..Duration::from_millis(1)).contains(&duration) {
        return "less than 1ms".to_owned();
    }
    let rounded = if duration < Duration::from_secs(60) {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(duration.as_secs())
    };
    humantime::format_duration(rounded).to_string()
}
