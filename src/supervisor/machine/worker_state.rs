//! The life of one worker, as a pure table: what is, what happens, what follows.
//!
//! ```text
//!            Start            Spawned             Ended
//!   Due ───────────> Forking ─────────> Alive ─────────────> Due | BackOff | Over | (its place goes)
//!    ^                                    │ asked: Finish, then Term, then Kill; never back but from Finish
//!    └── BackOff (back-off is over) ──────┘
//! ```

use super::ids::Pid;
use super::reason::{End, StartReason, StopReason};
use crate::queue::{Order, SlotId};
use crate::sys::wait::Exit;
use std::time::{Duration, Instant};

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has no process, and is to get one.
    Due(StartReason),
    /// It has no process until then: back-off.
    BackOff {
        /// When it is due.
        until: Instant,
        /// Why it will be started.
        why: StartReason,
    },
    /// The fork is being done.
    Forking {
        /// The slot it will have.
        slot: SlotId,
        /// What it is requested to do once it lives.
        requested: StopRequest,
    },
    /// It has a process.
    Alive(Process),
    /// It has no process and won't get one.
    Over(Over),
}

/// A worker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its slot in the arena.
    pub slot: SlotId,
    /// Its pid; also the number of its group.
    pub pid: Pid,
    /// When it was started.
    pub since: Instant,
    /// Its stage is built, and it works.
    pub ready: bool,
    /// What it is requested to do.
    pub requested: StopRequest,
}

/// What a process is requested to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopRequest {
    Nothing,
    /// To end after its item, and to be terminated if it hasn't by then (`None`: it may take any time).
    Finish(StopReason, Option<Instant>),
    /// To die, and to be killed if it hasn't by then.
    Term(StopReason, Instant),
    /// It is killed; the kernel does the rest.
    Kill(StopReason),
}

impl StopRequest {
    pub(crate) fn reason(self) -> Option<StopReason> {
        match self {
            StopRequest::Nothing => None,
            StopRequest::Finish(why, _) | StopRequest::Term(why, _) | StopRequest::Kill(why) => Some(why),
        }
    }

    /// The same for a program without a worker: only a signal tells it to finish. `until`: then it is killed.
    pub(crate) fn by_signal(self, until: Instant) -> StopRequest {
        match self {
            StopRequest::Finish(why, limit) => {
                StopRequest::Term(why, earlier(limit, Some(until)).unwrap_or(until))
            }
            other => other,
        }
    }

    /// Whether the supervisor itself is killing it, so that no item is to blame for its death.
    pub(crate) fn is_deadly(self) -> bool {
        match self {
            StopRequest::Nothing | StopRequest::Finish(..) => false,
            StopRequest::Term(..) | StopRequest::Kill(_) => true,
        }
    }

    /// Whether a signal ended the process that came from outside: by hand, or by the kernel for want of memory.
    pub(crate) fn killed_externally(self, end: &End) -> bool {
        match end {
            End::Died(Exit::Signal(signal)) => {
                matches!(signal.0, libc::SIGKILL | libc::SIGTERM) && !self.is_deadly()
            }
            End::ProgramKilled(_) => !self.is_deadly(),
            End::Terminated => self == StopRequest::Nothing,
            End::Died(Exit::Code(_)) | End::Said(_) | End::NotStarted(_) => false,
            End::CannotStart(_) | End::NotNow(_) => false,
        }
    }

    fn rank(self) -> u8 {
        match self {
            StopRequest::Nothing => 0,
            StopRequest::Finish(..) => 1,
            StopRequest::Term(..) => 2,
            StopRequest::Kill(_) => 3,
        }
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            StopRequest::Finish(_, until) => until,
            StopRequest::Term(_, until) => Some(until),
            StopRequest::Nothing | StopRequest::Kill(_) => None,
        }
    }
}

/// Why a worker is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Over {
    /// Its source is through.
    Finished,
    /// Its input ended.
    InputEnded,
    /// Its output has no reader any more.
    OutputClosed,
    /// The pipeline stops.
    Stopped,
    /// Its stage was stopped by hand.
    ByHand,
    /// It failed, and `restart = "never"`.
    Failed,
    /// Its stage gave up.
    GaveUp,
}

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Over::Finished => "it has finished",
            Over::InputEnded => "its input has ended",
            Over::OutputClosed => "the reader of its output is gone",
            Over::ByHand => "its stage was stopped by hand",
            Over::Stopped => "the pipeline stops",
            Over::Failed => "it failed, and restart is \"never\"",
            Over::GaveUp => "the stage gave up",
        })
    }
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerEvent {
    /// It gets this slot, and is to be started.
    Start(SlotId),
    /// It has a process.
    Spawned(Pid),
    /// Its stage is built.
    Ready,
    /// It is requested to end, in this way. A gentler way than before changes nothing.
    Ask(StopRequest),
    /// It may stay after all, if it was only asked to finish.
    CancelStop,
    /// Time has passed.
    Tick,
    /// Its process is gone, or never came to be; this follows.
    Ended(Life),
}

/// What must be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerEffect {
    /// Fork and exec.
    Spawn(SlotId),
    /// Write this order into its slot, and nudge it.
    Order(Process, Order),
    /// Terminate its group.
    Term(Process, StopReason),
    /// Kill its group.
    Kill(Process, StopReason),
}

impl Life {
    /// What `on` makes of this, and what must be done about it. `stop_timeout` is the stage's `stop_timeout`.
    pub(crate) fn on(
        self,
        on: WorkerEvent,
        now: Instant,
        stop_timeout: Duration,
    ) -> (Life, Option<WorkerEffect>) {
        match (self, on) {
            (Life::Due(_), WorkerEvent::Start(slot)) => {
                (Life::Forking { slot, requested: StopRequest::Nothing }, Some(WorkerEffect::Spawn(slot)))
            }
            (Life::BackOff { until, why }, WorkerEvent::Tick) if until <= now => (Life::Due(why), None),
            (Life::Forking { slot, requested }, WorkerEvent::Spawned(pid)) => {
                let process =
                    Process { slot, pid, since: now, ready: false, requested: StopRequest::Nothing };
                process.ask(requested)
            }
            (Life::Forking { slot, requested }, WorkerEvent::Ask(more)) => {
                (Life::Forking { slot, requested: harder(requested, more) }, None)
            }
            (Life::Forking { slot, requested: StopRequest::Finish(..) }, WorkerEvent::CancelStop) => {
                (Life::Forking { slot, requested: StopRequest::Nothing }, None)
            }
            (Life::Alive(process), WorkerEvent::Ready) => {
                (Life::Alive(Process { ready: true, ..process }), None)
            }
            (Life::Alive(process), WorkerEvent::Ask(requested)) => process.ask(requested),
            (Life::Alive(process), WorkerEvent::CancelStop) => process.cancel_stop(),
            (Life::Alive(process), WorkerEvent::Tick) => process.tick(now, stop_timeout),
            (Life::Forking { .. } | Life::Alive(_), WorkerEvent::Ended(next)) => (next, None),

            // Nothing to start: it is started, or not to be.
            (
                Life::BackOff { .. } | Life::Forking { .. } | Life::Alive(_) | Life::Over(_),
                WorkerEvent::Start(_),
            ) => (self, None),
            // No process to signal: the stage decides what becomes of a worker without one.
            (
                Life::Due(_) | Life::BackOff { .. } | Life::Over(_),
                WorkerEvent::Ask(_) | WorkerEvent::CancelStop,
            ) => (self, None),
            (Life::Forking { .. }, WorkerEvent::CancelStop) => (self, None),
            // News of another process.
            (
                Life::Due(_) | Life::BackOff { .. } | Life::Over(_),
                WorkerEvent::Spawned(_) | WorkerEvent::Ready | WorkerEvent::Ended(_),
            )
            | (Life::Forking { .. }, WorkerEvent::Ready)
            | (Life::Alive(_), WorkerEvent::Spawned(_)) => (self, None),
            // No deadline, or not yet.
            (
                Life::Due(_) | Life::BackOff { .. } | Life::Forking { .. } | Life::Over(_),
                WorkerEvent::Tick,
            ) => (self, None),
        }
    }

    /// When time alone will change something.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Life::BackOff { until, .. } => Some(until),
            Life::Alive(process) => process.requested.deadline(),
            Life::Due(_) | Life::Forking { .. } | Life::Over(_) => None,
        }
    }

    /// Its process, if it has one.
    pub(crate) fn process(self) -> Option<Process> {
        match self {
            Life::Alive(process) => Some(process),
            Life::Due(_) | Life::BackOff { .. } | Life::Forking { .. } | Life::Over(_) => None,
        }
    }

    /// Why its process was requested to end, if it was.
    pub(crate) fn requested(self) -> Option<StopReason> {
        match self {
            Life::Alive(Process { requested, .. }) | Life::Forking { requested, .. } => requested.reason(),
            Life::Due(_) | Life::BackOff { .. } | Life::Over(_) => None,
        }
    }

    /// Whether a process of it is there, or about to be.
    pub(crate) fn has_process(self) -> bool {
        matches!(self, Life::Alive(_) | Life::Forking { .. })
    }

    /// Whether it won't be started again.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Life::Over(_))
    }
}

impl Process {
    fn ask(self, more: StopRequest) -> (Life, Option<WorkerEffect>) {
        let requested = harder(self.requested, more);
        let process = Process { requested, ..self };
        if requested.rank() == self.requested.rank() {
            return (Life::Alive(process), None);
        }
        let effect = match requested {
            StopRequest::Nothing => None,
            StopRequest::Finish(..) => Some(WorkerEffect::Order(process, Order::Finish)),
            StopRequest::Term(why, _) => Some(WorkerEffect::Term(process, why)),
            StopRequest::Kill(why) => Some(WorkerEffect::Kill(process, why)),
        };
        (Life::Alive(process), effect)
    }

    fn cancel_stop(self) -> (Life, Option<WorkerEffect>) {
        match self.requested {
            StopRequest::Finish(..) => {
                let process = Process { requested: StopRequest::Nothing, ..self };
                (Life::Alive(process), Some(WorkerEffect::Order(process, Order::Run)))
            }
            StopRequest::Nothing | StopRequest::Term(..) | StopRequest::Kill(_) => (Life::Alive(self), None),
        }
    }

    fn tick(self, now: Instant, stop_timeout: Duration) -> (Life, Option<WorkerEffect>) {
        match self.requested {
            StopRequest::Finish(why, Some(until)) if until <= now => {
                self.ask(StopRequest::Term(why, now + stop_timeout))
            }
            StopRequest::Term(why, until) if until <= now => self.ask(StopRequest::Kill(why)),
            StopRequest::Nothing | StopRequest::Finish(..) | StopRequest::Term(..) | StopRequest::Kill(_) => {
                (Life::Alive(self), None)
            }
        }
    }
}

/// The harder of two ways to go; of two equally hard ones the newer reason and the earlier deadline.
fn harder(before: StopRequest, more: StopRequest) -> StopRequest {
    match (before, more) {
        (StopRequest::Finish(_, old), StopRequest::Finish(why, new)) => {
            StopRequest::Finish(why, earlier(old, new))
        }
        (StopRequest::Term(_, old), StopRequest::Term(why, new)) => StopRequest::Term(why, old.min(new)),
        (before, more) if more.rank() > before.rank() => more,
        (before, _) => before,
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
