//! The conversation with one program, as a pure machine: an [`Event`] happens, the [`Phase`] changes, and what is to be
//! done about it comes back as [`Effect`]s. No I/O, no clock, no queue.
//!
//! ```text
//! Idle <─> Busy ─> Muted                    items go in, answers come out
//!   └─ input ended ─> LastInput ─> Finishing    the program is to end by itself
//!   └─ worker ends ─> Leaving                   it has had its last item, and a time to end
//!           any of these ─> Ending: Terminating ─> Killing    SIGTERM, then SIGKILL
//!                          Ending: Exited ─> Over     what it wrote is read, then its items are settled
//! ```
//!
//! | mode | at the end of its input | when it fails | when the worker is terminated |
//! |---|---|---|---|
//! | each | it ends by itself | killed | the attempt does not count |
//! | reply | it ends by itself, or by SIGTERM once the pipeline stops | killed, its pipes closed | everything is answered, or given back |
//! | stream | it ends by itself, or by SIGTERM if the pipeline stops and it does nothing | (its exit tells) | what it has written still counts |

use super::error::ProgramError;
use crate::queue::Ending;
use std::time::{Duration, Instant};

/// From the end of a program's output to its own end.
const EXIT_GRACE: Duration = Duration::from_secs(1);
/// A program that has had all its input is reported if it does nothing for this long.
pub(crate) const LINGER_REPORT: Duration = Duration::from_secs(5);
/// A program that has moved no byte for this long does not notice that its input has ended.
const LINGER_QUIET: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A program for each attempt.
    Each,
    /// Each item gets an answer. `bounded`: after its last answer the program has `stop_timeout` to end.
    Reply { bounded: bool },
    /// What is read and what is written are unrelated.
    Stream { is_source: bool },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// The program has no unanswered item.
    Idle,
    /// The oldest unanswered item is with the program since then.
    Busy { since: Instant },
    /// The program has closed its output: with an unanswered item it should exit before `until`.
    Muted { busy_since: Option<Instant>, until: Instant },
    /// The input has ended, and its last bytes go in. `early`: the pipeline was not stopping then.
    LastInput { early: bool },
    /// All input is in, the program is to end by itself. It has moved nothing since `quiet_since`.
    Finishing { early: bool, quiet_since: Instant, is_reported: bool },
    /// The worker is to end: the program has the end of its input, and until then to end.
    Leaving { ending: Ending, until: Instant },
    /// The program ends, or has ended, and that means this.
    Ending { life: Life, outcome: Outcome },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Life {
    /// SIGTERM was sent.
    Terminating {
        kill_at: Instant,
    },
    /// SIGKILL was sent.
    Killing,
    /// What it has written is still being read.
    Exited,
    Over,
}

/// What the end of the program means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Its exit says it. `finished`: it came after the end of the input.
    Unasked {
        finished: bool,
    },
    Stop(Ending),
    Failed(ProgramError),
    /// The worker can't go on with it.
    Abandoned,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// An item is the oldest unanswered one from now on.
    Begun,
    /// The program is done with the oldest items.
    Done,
    Moved,
    /// The program has closed its standard output.
    OutputClosed,
    /// No item will come any more.
    InputEnded {
        early: bool,
    },
    /// Nothing is left to be written, or the program reads no more.
    InputWritten,
    /// The worker is to end, by an order or for a fresh one.
    Leave(Ending),
    /// The worker was sent SIGTERM.
    Terminated,
    Failed(ProgramError),
    /// The worker can't go on with the program.
    Abandoned,
    Exited,
    /// Its output and its standard error are read to their ends.
    Drained,
    Tick(Circumstances),
}

/// The facts outside that limits depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// The pipeline or the worker is to end.
    pub stopping: bool,
    pub item_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    CloseInput,
    CloseOutput,
    /// SIGTERM, to the program and all it has started.
    Terminate,
    Kill,
    /// The items that are done end, with what was written for them.
    Acknowledge,
    /// Items of which no byte is written go back.
    TakeBack,
    /// What was not acknowledged is given back or charged: by the outcome.
    Settle,
    ReportLingering,
    ReportOverdue,
}

use Effect::{
    Acknowledge, CloseInput, CloseOutput, Kill, ReportLingering, ReportOverdue, Settle, TakeBack, Terminate,
};

pub(crate) type Effects = &'static [Effect];

/// The machine in its present phase.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub phase: Phase,
    pub manner: Manner,
    pub stop_timeout: Duration,
}

impl Conversation {
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Effects {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let (phase, effects) = self.step(phase, event, now);
        self.phase = phase;
        effects
    }

    /// What the end of the program will mean, as far as that is settled.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Ending { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Since when the oldest unanswered item is with the program.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Busy { since } => Some(since),
            Phase::Muted { busy_since, .. } => busy_since,
            _ => None,
        }
    }

    /// Whether the program may get items.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. })
    }

    /// Whether an order may still decide how the worker ends.
    pub(super) fn is_undecided(&self) -> bool {
        match &self.phase {
            Phase::Leaving { .. } => false,
            Phase::Ending { outcome, .. } => matches!(outcome, Outcome::Unasked { .. }),
            _ => true,
        }
    }

    /// Whether the program was sent a signal to end, and has not ended.
    pub(super) fn is_signalled(&self) -> bool {
        matches!(self.phase, Phase::Ending { life: Life::Terminating { .. } | Life::Killing, .. })
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ending { life: Life::Over, .. })
    }

    /// When the next [`Event::Tick`] changes something.
    pub(super) fn deadline(&self, facts: Circumstances) -> Option<Instant> {
        self.deadline_of(&self.phase, facts)
    }

    fn deadline_of(&self, phase: &Phase, facts: Circumstances) -> Option<Instant> {
        match phase {
            Phase::Busy { since } => facts.item_timeout.map(|limit| *since + limit),
            Phase::Muted { busy_since, until } => {
                let since = (*busy_since)?;
                [facts.item_timeout.map(|limit| since + limit), Some(*until)].into_iter().flatten().min()
            }
            Phase::Finishing { early, quiet_since, is_reported } => {
                let report = (!is_reported).then_some(LINGER_REPORT);
                let limits = [report, self.finish_limit(*early, facts)];
                limits.into_iter().flatten().min().map(|limit| *quiet_since + limit)
            }
            Phase::Leaving { until, .. } => Some(*until),
            Phase::Ending { life: Life::Terminating { kill_at }, .. } => Some(*kill_at),
            Phase::Idle | Phase::LastInput { .. } | Phase::Ending { .. } => None,
        }
    }

    /// How long a program that has had all its input may take to end, or do nothing.
    fn finish_limit(&self, early: bool, facts: Circumstances) -> Option<Duration> {
        match self.manner {
            Manner::Reply { .. } if facts.stopping && early => Some(Duration::ZERO),
            Manner::Reply { bounded } => (bounded || facts.stopping).then_some(self.stop_timeout),
            Manner::Stream { .. } => (facts.stopping && early).then_some(LINGER_QUIET),
            Manner::Each => None,
        }
    }

    /// A phase that an event is not for stays as it is: see the tests' table.
    fn step(&self, phase: Phase, event: Event, now: Instant) -> (Phase, Effects) {
        match event {
            Event::Begun => (begun(phase, now), &[]),
            Event::Done => done(phase),
            Event::Moved => (self.moved(phase, now), &[]),
            Event::OutputClosed => (self.output_closed(phase, now), &[]),
            Event::InputEnded { early } => (input_ended(phase, early), &[]),
            Event::InputWritten => input_written(phase, now),
            Event::Leave(ending) => self.leave(phase, ending, now),
            Event::Terminated => self.terminated(phase, now),
            Event::Failed(error) => self.failed(phase, error),
            Event::Abandoned => self.abandoned(phase, now),
            Event::Exited => exited(phase),
            Event::Drained => drained(phase),
            Event::Tick(facts) => self.tick(phase, facts, now),
        }
    }

    fn moved(&self, phase: Phase, now: Instant) -> Phase {
        match (phase, self.manner) {
            (Phase::Finishing { early, is_reported, .. }, Manner::Stream { .. }) => {
                Phase::Finishing { early, quiet_since: now, is_reported }
            }
            (other, _) => other,
        }
    }

    fn output_closed(&self, phase: Phase, now: Instant) -> Phase {
        let until = now + EXIT_GRACE;
        match (phase, self.manner) {
            (Phase::Idle, Manner::Reply { .. }) => Phase::Muted { busy_since: None, until },
            (Phase::Busy { since }, Manner::Reply { .. }) => Phase::Muted { busy_since: Some(since), until },
            (other, _) => other,
        }
    }

    fn leave(&self, phase: Phase, ending: Ending, now: Instant) -> (Phase, Effects) {
        let timeout = match phase {
            // It had its time already.
            Phase::Finishing { early: true, quiet_since, .. } if quiet_since + LINGER_QUIET <= now => {
                Duration::ZERO
            }
            Phase::Ending { life: life @ Life::Exited, outcome: Outcome::Unasked { .. } } => {
                return (Phase::Ending { life, outcome: Outcome::Stop(ending) }, &[TakeBack]);
            }
            Phase::Leaving { .. } | Phase::Ending { .. } => return (phase, &[]),
            _ => self.stop_timeout,
        };
        match self.manner {
            Manner::Stream { is_source: true } => self.terminate(Outcome::Stop(ending), now, &[Terminate]),
            _ => (Phase::Leaving { ending, until: now + timeout }, &[TakeBack]),
        }
    }

    fn terminated(&self, phase: Phase, now: Instant) -> (Phase, Effects) {
        let ending = match (phase, self.manner) {
            (over @ Phase::Ending { life: Life::Over, .. }, _) => return (over, &[]),
            // It has answered everything: its exit tells how it ended.
            (
                Phase::Ending { life, outcome: outcome @ Outcome::Unasked { finished: true } },
                Manner::Reply { .. },
            ) => {
                return (Phase::Ending { life, outcome }, &[]);
            }
            // An attempt that a SIGTERM to the worker may have ended does not count.
            (Phase::Ending { life, outcome: Outcome::Unasked { .. } }, _)
            | (Phase::Ending { life, outcome: Outcome::Failed(_) }, Manner::Each) => {
                return (Phase::Ending { life, outcome: Outcome::Stop(Ending::Ordered) }, &[]);
            }
            (ending @ Phase::Ending { .. }, _) => return (ending, &[]),
            (Phase::Leaving { ending, .. }, _) => ending,
            (Phase::Finishing { .. }, Manner::Reply { .. }) => Ending::InputEnded,
            _ => Ending::Ordered,
        };
        let effects: Effects = match self.manner {
            Manner::Reply { .. } => &[CloseInput, Terminate],
            Manner::Each | Manner::Stream { .. } => &[Terminate],
        };
        self.terminate(Outcome::Stop(ending), now, effects)
    }

    fn failed(&self, phase: Phase, error: ProgramError) -> (Phase, Effects) {
        let life = match phase {
            Phase::Ending { life: Life::Exited, outcome: Outcome::Unasked { .. } } => Life::Exited,
            Phase::Ending { .. } => return (phase, &[]),
            _ => Life::Killing,
        };
        // Nothing more is said to a program that has to answer.
        let effects: Effects = match (self.manner, life) {
            // The signal first: nothing more is read, and no end of the input is seen.
            (Manner::Reply { .. }, Life::Killing) => &[Kill, CloseInput, CloseOutput],
            (Manner::Reply { .. }, _) => &[CloseInput, CloseOutput],
            (_, Life::Killing) => &[Kill],
            _ => &[],
        };
        (Phase::Ending { life, outcome: Outcome::Failed(error) }, effects)
    }

    fn abandoned(&self, phase: Phase, now: Instant) -> (Phase, Effects) {
        let outcome = Outcome::Abandoned;
        match phase {
            Phase::Ending { life: Life::Over, .. } => (phase, &[]),
            Phase::Ending { life, .. } => (Phase::Ending { life, outcome }, &[CloseInput, CloseOutput]),
            _ => self.terminate(outcome, now, &[CloseInput, CloseOutput, Terminate]),
        }
    }

    fn tick(&self, phase: Phase, facts: Circumstances, now: Instant) -> (Phase, Effects) {
        if self.deadline_of(&phase, facts).is_none_or(|deadline| deadline > now) {
            return (phase, &[]);
        }
        match phase {
            Phase::Muted { until, .. } if until <= now => self.failed(phase, ProgramError::ClosedOutput),
            Phase::Busy { .. } | Phase::Muted { .. } => {
                let outcome = Outcome::Failed(ProgramError::TimedOut(facts.item_timeout.unwrap_or_default()));
                let effects: Effects = match self.manner {
                    Manner::Reply { .. } => &[CloseInput, CloseOutput, Terminate],
                    Manner::Each | Manner::Stream { .. } => &[Terminate],
                };
                self.terminate(outcome, now, effects)
            }
            Phase::Finishing { early, quiet_since, .. } => match self.finish_limit(early, facts) {
                Some(limit) if quiet_since + limit <= now => {
                    let is_overdue =
                        matches!(self.manner, Manner::Reply { .. }) && quiet_since + self.stop_timeout <= now;
                    let effects: Effects =
                        if is_overdue { &[ReportOverdue, Terminate] } else { &[Terminate] };
                    self.terminate(Outcome::Stop(Ending::InputEnded), now, effects)
                }
                _ => (Phase::Finishing { early, quiet_since, is_reported: true }, &[ReportLingering]),
            },
            Phase::Leaving { ending, .. } => self.terminate(Outcome::Stop(ending), now, &[Terminate]),
            Phase::Ending { outcome, .. } => (Phase::Ending { life: Life::Killing, outcome }, &[Kill]),
            Phase::Idle | Phase::LastInput { .. } => (phase, &[]),
        }
    }

    fn terminate(&self, outcome: Outcome, now: Instant, effects: Effects) -> (Phase, Effects) {
        let life = Life::Terminating { kill_at: now + self.stop_timeout };
        (Phase::Ending { life, outcome }, effects)
    }
}

fn begun(phase: Phase, now: Instant) -> Phase {
    match phase {
        Phase::Idle => Phase::Busy { since: now },
        Phase::Muted { busy_since: None, until } => Phase::Muted { busy_since: Some(now), until },
        other => other,
    }
}

fn done(phase: Phase) -> (Phase, Effects) {
    match phase {
        Phase::Busy { .. } => (Phase::Idle, &[Acknowledge]),
        Phase::Muted { until, .. } => (Phase::Muted { busy_since: None, until }, &[Acknowledge]),
        Phase::Ending { life: Life::Over, .. }
        | Phase::Ending { outcome: Outcome::Failed(_) | Outcome::Abandoned, .. } => (phase, &[]),
        other => (other, &[Acknowledge]),
    }
}

fn input_ended(phase: Phase, early: bool) -> Phase {
    match phase {
        Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. } => Phase::LastInput { early },
        other => other,
    }
}

fn input_written(phase: Phase, now: Instant) -> (Phase, Effects) {
    match phase {
        Phase::LastInput { early } => {
            (Phase::Finishing { early, quiet_since: now, is_reported: false }, &[CloseInput])
        }
        Phase::Leaving { .. } | Phase::Ending { life: Life::Terminating { .. } | Life::Killing, .. } => {
            (phase, &[CloseInput])
        }
        other => (other, &[]),
    }
}

fn exited(phase: Phase) -> (Phase, Effects) {
    let outcome = match phase {
        Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. } => Outcome::Unasked { finished: false },
        Phase::LastInput { .. } | Phase::Finishing { .. } => Outcome::Unasked { finished: true },
        Phase::Leaving { ending, .. } => Outcome::Stop(ending),
        Phase::Ending { life: Life::Terminating { .. } | Life::Killing, outcome } => outcome,
        Phase::Ending { .. } => return (phase, &[]),
    };
    (Phase::Ending { life: Life::Exited, outcome }, &[CloseInput])
}

fn drained(phase: Phase) -> (Phase, Effects) {
    match phase {
        Phase::Ending { life: Life::Exited, outcome } => {
            (Phase::Ending { life: Life::Over, outcome }, &[Settle])
        }
        other => (other, &[]),
    }
}

#[cfg(test)]
mod tests;
