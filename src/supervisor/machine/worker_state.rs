//! The life of one worker, as a pure table: what is, what happens, what follows.
//!
//! ```text
//!            Start            Spawned             Ended
//!   Due ───────────> Forking ─────────> Alive ─────────────> Due | Resting | Over | (its place goes)
//!    ^                                    │ asked: Finish, then Term, then Kill; never back but from Finish
//!    └── Resting (back-off is over) ──────┘
//! ```

use super::ids::Pid;
use super::reason::{StartReason, StopReason};
use crate::queue::{Order, SlotId};
use std::time::{Duration, Instant};

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It has no process, and is to get one.
    Due(StartReason),
    /// It has no process until then: back-off.
    Resting {
        /// When it is due.
        until: Instant,
        /// Why it will be started.
        why: StartReason,
    },
    /// The fork is being done.
    Forking {
        /// The slot it will have.
        slot: SlotId,
        /// What it will be told as soon as it lives.
        asked: Asked,
    },
    /// It has a process.
    Alive(Process),
    /// It has no process and won't get one.
    Over(Over),
}

/// A worker's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its slot in the arena.
    pub slot: SlotId,
    /// Its pid; also the number of its group.
    pub pid: Pid,
    /// When it was started.
    pub since: Instant,
    /// Its stage is built, and it works.
    pub ready: bool,
    /// What it was told.
    pub asked: Asked,
}

/// What a process was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To work.
    Nothing,
    /// To end after its item, and to be terminated if it hasn't by then (`None`: it may take any time).
    Finish(StopReason, Option<Instant>),
    /// To die, and to be killed if it hasn't by then.
    Term(StopReason, Instant),
    /// It is killed; the kernel does the rest.
    Kill(StopReason),
}

impl Asked {
    /// Why.
    pub fn reason(self) -> Option<StopReason> {
        match self {
            Asked::Nothing => None,
            Asked::Finish(why, _) | Asked::Term(why, _) | Asked::Kill(why) => Some(why),
        }
    }

    /// Whether the supervisor itself is killing it, so that no item is to blame for its death.
    pub fn is_deadly(self) -> bool {
        match self {
            Asked::Nothing | Asked::Finish(..) => false,
            Asked::Term(..) | Asked::Kill(_) => true,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Asked::Nothing => 0,
            Asked::Finish(..) => 1,
            Asked::Term(..) => 2,
            Asked::Kill(_) => 3,
        }
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            Asked::Finish(_, until) => until,
            Asked::Term(_, until) => Some(until),
            Asked::Nothing | Asked::Kill(_) => None,
        }
    }
}

/// Why a worker is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Over {
    /// Its source is through.
    Finished,
    /// Its input ended.
    InputEnded,
    /// Nobody reads its output any more.
    OutputClosed,
    /// The pipeline stops.
    Stopped,
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
            Over::OutputClosed => "nobody reads its output any more",
            Over::Stopped => "the pipeline stops",
            Over::Failed => "it failed, and restart is \"never\"",
            Over::GaveUp => "the stage gave up",
        })
    }
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It gets this slot, and is to be started.
    Start(SlotId),
    /// It has a process.
    Spawned(Pid),
    /// Its stage is built.
    Ready,
    /// It is told to go, in this way. A gentler way than before changes nothing.
    Ask(Asked),
    /// It may stay after all, if it was only asked to finish.
    Relent,
    /// Time has passed.
    Tick,
    /// Its process is gone, or never came to be; this follows.
    Ended(Life),
}

/// What must be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
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
    /// What `step` makes of this, and what must be done about it. `patience` is the stage's `stop_timeout`.
    pub fn step(self, step: Step, now: Instant, patience: Duration) -> (Life, Option<Push>) {
        match (self, step) {
            (Life::Due(_), Step::Start(slot)) => {
                (Life::Forking { slot, asked: Asked::Nothing }, Some(Push::Spawn(slot)))
            }
            (Life::Resting { until, why }, Step::Tick) if until <= now => (Life::Due(why), None),
            (Life::Forking { slot, asked }, Step::Spawned(pid)) => {
                let process = Process { slot, pid, since: now, ready: false, asked: Asked::Nothing };
                process.ask(asked)
            }
            (Life::Forking { slot, asked }, Step::Ask(more)) => {
                (Life::Forking { slot, asked: harder(asked, more) }, None)
            }
            (Life::Forking { slot, asked: Asked::Finish(..) }, Step::Relent) => {
                (Life::Forking { slot, asked: Asked::Nothing }, None)
            }
            (Life::Alive(process), Step::Ready) => (Life::Alive(Process { ready: true, ..process }), None),
            (Life::Alive(process), Step::Ask(asked)) => process.ask(asked),
            (Life::Alive(process), Step::Relent) => process.relent(),
            (Life::Alive(process), Step::Tick) => process.tick(now, patience),
            (Life::Forking { .. } | Life::Alive(_), Step::Ended(next)) => (next, None),

            // Nothing to start: it is started, or not to be.
            (
                Life::Resting { .. } | Life::Forking { .. } | Life::Alive(_) | Life::Over(_),
                Step::Start(_),
            ) => (self, None),
            // Nobody to tell: the stage decides what becomes of a worker without a process.
            (Life::Due(_) | Life::Resting { .. } | Life::Over(_), Step::Ask(_) | Step::Relent) => {
                (self, None)
            }
            (Life::Forking { .. }, Step::Relent) => (self, None),
            // News of a process that this isn't.
            (
                Life::Due(_) | Life::Resting { .. } | Life::Over(_),
                Step::Spawned(_) | Step::Ready | Step::Ended(_),
            )
            | (Life::Forking { .. }, Step::Ready)
            | (Life::Alive(_), Step::Spawned(_)) => (self, None),
            // No deadline, or not yet.
            (Life::Due(_) | Life::Resting { .. } | Life::Forking { .. } | Life::Over(_), Step::Tick) => {
                (self, None)
            }
        }
    }

    /// When time alone will change something.
    pub fn deadline(self) -> Option<Instant> {
        match self {
            Life::Resting { until, .. } => Some(until),
            Life::Alive(process) => process.asked.deadline(),
            Life::Due(_) | Life::Forking { .. } | Life::Over(_) => None,
        }
    }

    /// Its process, if it has one.
    pub fn process(self) -> Option<Process> {
        match self {
            Life::Alive(process) => Some(process),
            Life::Due(_) | Life::Resting { .. } | Life::Forking { .. } | Life::Over(_) => None,
        }
    }

    /// Whether a process of it is there, or about to be.
    pub fn has_process(self) -> bool {
        matches!(self, Life::Alive(_) | Life::Forking { .. })
    }

    /// Whether it won't be started again.
    pub fn is_over(self) -> bool {
        matches!(self, Life::Over(_))
    }
}

impl Process {
    fn ask(self, more: Asked) -> (Life, Option<Push>) {
        let asked = harder(self.asked, more);
        let process = Process { asked, ..self };
        if asked.rank() == self.asked.rank() {
            return (Life::Alive(process), None);
        }
        let push = match asked {
            Asked::Nothing => None,
            Asked::Finish(..) => Some(Push::Order(process, Order::Finish)),
            Asked::Term(why, _) => Some(Push::Term(process, why)),
            Asked::Kill(why) => Some(Push::Kill(process, why)),
        };
        (Life::Alive(process), push)
    }

    fn relent(self) -> (Life, Option<Push>) {
        match self.asked {
            Asked::Finish(..) => {
                let process = Process { asked: Asked::Nothing, ..self };
                (Life::Alive(process), Some(Push::Order(process, Order::Run)))
            }
            Asked::Nothing | Asked::Term(..) | Asked::Kill(_) => (Life::Alive(self), None),
        }
    }

    fn tick(self, now: Instant, patience: Duration) -> (Life, Option<Push>) {
        match self.asked {
            Asked::Finish(why, Some(until)) if until <= now => self.ask(Asked::Term(why, now + patience)),
            Asked::Term(why, until) if until <= now => self.ask(Asked::Kill(why)),
            Asked::Nothing | Asked::Finish(..) | Asked::Term(..) | Asked::Kill(_) => {
                (Life::Alive(self), None)
            }
        }
    }
}

/// The harder of two ways to go; of two equally hard ones the newer reason and the earlier deadline.
fn harder(before: Asked, more: Asked) -> Asked {
    match (before, more) {
        (Asked::Finish(_, old), Asked::Finish(why, new)) => Asked::Finish(why, earlier(old, new)),
        (Asked::Term(_, old), Asked::Term(why, new)) => Asked::Term(why, old.min(new)),
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
