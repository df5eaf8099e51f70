//! The conversation with one program, as a pure machine: an [`Event`] happens, the [`Phase`] changes, and what is to be
//! done about it comes back as [`Effect`]s. No I/O, no clock, no queue.
//!
//! ```text
//! Idle <─> Busy ─> Muted                    items go in, answers come out
//!   └─ input ended ─> LastInput ─> Finishing    the program is to end by itself
//!   └─ worker ends ─> Leaving                   it has had its last item, and a time to end
//!           any of these ─> Terminating ─> Killing    SIGTERM, then SIGKILL
//!                    any of all ─> Exited ─> Over     what it wrote is read, then its items are settled
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
    Busy {
        since: Instant,
    },
    /// The program has closed its output: with an unanswered item it should exit before `until`.
    Muted {
        busy_since: Option<Instant>,
        until: Instant,
    },
    /// The input has ended, and its last bytes go in. `early`: the pipeline was not stopping then.
    LastInput {
        early: bool,
    },
    /// All input is in, the program is to end by itself. It has moved nothing since `quiet_since`.
    Finishing {
        early: bool,
        quiet_since: Instant,
        is_reported: bool,
    },
    /// The worker is to end: the program has the end of its input, and until then to end.
    Leaving {
        ending: Ending,
        until: Instant,
    },
    Terminating {
        kill_at: Instant,
        outcome: Outcome,
    },
    Killing {
        outcome: Outcome,
    },
    /// What it has written is still being read.
    Exited {
        outcome: Outcome,
    },
    Over {
        outcome: Outcome,
    },
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
    manner: Manner,
    stop_timeout: Duration,
}

impl Conversation {
    pub fn new(manner: Manner, stop_timeout: Duration) -> Conversation {
        Conversation { phase: Phase::Idle, manner, stop_timeout }
    }

    pub fn manner(&self) -> Manner {
        self.manner
    }

    pub fn apply(&mut self, event: Event, now: Instant) -> Effects {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let (phase, effects) = self.step(phase, event, now);
        self.phase = phase;
        effects
    }

    /// What the end of the program will mean, as far as that is settled.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Terminating { outcome, .. }
            | Phase::Killing { outcome }
            | Phase::Exited { outcome }
            | Phase::Over { outcome } => Some(outcome),
            Phase::Idle
            | Phase::Busy { .. }
            | Phase::Muted { .. }
            | Phase::LastInput { .. }
            | Phase::Finishing { .. }
            | Phase::Leaving { .. } => None,
        }
    }

    /// Since when the oldest unanswered item is with the program.
    pub fn busy_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Busy { since } => Some(since),
            Phase::Muted { busy_since, .. } => busy_since,
            _ => None,
        }
    }

    /// Whether the program may get items.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. })
    }

    /// Whether nothing has decided yet how the worker goes on: an order may.
    pub fn is_undecided(&self) -> bool {
        match self.outcome() {
            Some(outcome) => matches!(outcome, Outcome::Unasked { .. }),
            None => !matches!(self.phase, Phase::Leaving { .. }),
        }
    }

    /// Whether the program was sent a signal to end.
    pub fn is_signalled(&self) -> bool {
        matches!(self.phase, Phase::Terminating { .. } | Phase::Killing { .. })
    }

    /// When the next [`Event::Tick`] changes something.
    pub fn deadline(&self, facts: Circumstances) -> Option<Instant> {
        let item_over = |since: Instant| facts.item_timeout.map(|limit| since + limit);
        match &self.phase {
            Phase::Busy { since } => item_over(*since),
            Phase::Muted { busy_since, until } => {
                busy_since.map(|since| item_over(since).map_or(*until, |over| over.min(*until)))
            }
            Phase::Finishing { early, quiet_since, is_reported } => {
                let report = (!is_reported).then_some(*quiet_since + LINGER_REPORT);
                let limit = self.finish_limit(*early, facts).map(|limit| *quiet_since + limit);
                [report, limit].into_iter().flatten().min()
            }
            Phase::Leaving { until, .. } => Some(*until),
            Phase::Terminating { kill_at, .. } => Some(*kill_at),
            Phase::Idle
            | Phase::LastInput { .. }
            | Phase::Killing { .. }
            | Phase::Exited { .. }
            | Phase::Over { .. } => None,
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
        let busy_since = match (&phase, self.manner) {
            (Phase::Idle, Manner::Reply { .. }) => None,
            (Phase::Busy { since }, Manner::Reply { .. }) => Some(*since),
            _ => return phase,
        };
        Phase::Muted { busy_since, until: now + EXIT_GRACE }
    }

    fn leave(&self, phase: Phase, ending: Ending, now: Instant) -> (Phase, Effects) {
        let patience = match &phase {
            // It had its time already.
            Phase::Finishing { early: true, quiet_since, .. } if *quiet_since + LINGER_QUIET <= now => {
                Duration::ZERO
            }
            Phase::Idle
            | Phase::Busy { .. }
            | Phase::Muted { .. }
            | Phase::LastInput { .. }
            | Phase::Finishing { .. } => self.stop_timeout,
            Phase::Exited { outcome: Outcome::Unasked { .. } } => {
                return (Phase::Exited { outcome: Outcome::Stop(ending) }, &[TakeBack]);
            }
            Phase::Leaving { .. }
            | Phase::Terminating { .. }
            | Phase::Killing { .. }
            | Phase::Exited { .. }
            | Phase::Over { .. } => return (phase, &[]),
        };
        if self.manner == (Manner::Stream { is_source: true }) {
            return (self.terminating(Outcome::Stop(ending), now), &[Terminate]);
        }
        (Phase::Leaving { ending, until: now + patience }, &[TakeBack])
    }

    fn terminated(&self, phase: Phase, now: Instant) -> (Phase, Effects) {
        let ending = match phase {
            Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. } | Phase::LastInput { .. } => {
                Ending::Ordered
            }
            Phase::Finishing { .. } if matches!(self.manner, Manner::Reply { .. }) => Ending::InputEnded,
            Phase::Finishing { .. } => Ending::Ordered,
            Phase::Leaving { ending, .. } => ending,
            Phase::Terminating { kill_at, outcome } => {
                let outcome = self.outcome_if_terminated(outcome);
                return (Phase::Terminating { kill_at, outcome }, &[]);
            }
            Phase::Killing { outcome } => {
                return (Phase::Killing { outcome: self.outcome_if_terminated(outcome) }, &[]);
            }
            Phase::Exited { outcome } => {
                return (Phase::Exited { outcome: self.outcome_if_terminated(outcome) }, &[]);
            }
            Phase::Over { .. } => return (phase, &[]),
        };
        let effects: Effects = match self.manner {
            Manner::Reply { .. } => &[CloseInput, Terminate],
            Manner::Each | Manner::Stream { .. } => &[Terminate],
        };
        (self.terminating(Outcome::Stop(ending), now), effects)
    }

    /// An attempt that a SIGTERM to the worker may have ended does not count.
    fn outcome_if_terminated(&self, outcome: Outcome) -> Outcome {
        match (outcome, self.manner) {
            (Outcome::Unasked { .. }, _) | (Outcome::Failed(_), Manner::Each) => {
                Outcome::Stop(Ending::Ordered)
            }
            (outcome, _) => outcome,
        }
    }

    fn failed(&self, phase: Phase, error: ProgramError) -> (Phase, Effects) {
        let outcome = Outcome::Failed(error);
        match phase {
            Phase::Idle
            | Phase::Busy { .. }
            | Phase::Muted { .. }
            | Phase::LastInput { .. }
            | Phase::Finishing { .. }
            | Phase::Leaving { .. } => (Phase::Killing { outcome }, self.close_with(&[Kill])),
            Phase::Exited { outcome: Outcome::Unasked { .. } } => {
                (Phase::Exited { outcome }, self.close_with(&[]))
            }
            decided @ (Phase::Terminating { .. }
            | Phase::Killing { .. }
            | Phase::Exited { .. }
            | Phase::Over { .. }) => (decided, &[]),
        }
    }

    /// A signal, or none, with what belongs to it: nothing more is said to a program that has to answer.
    fn close_with(&self, signal: Effects) -> Effects {
        match (self.manner, signal) {
            (Manner::Reply { .. }, [Kill]) => &[CloseInput, CloseOutput, Kill],
            (Manner::Reply { .. }, [Terminate]) => &[CloseInput, CloseOutput, Terminate],
            (Manner::Reply { .. }, _) => &[CloseInput, CloseOutput],
            (Manner::Each | Manner::Stream { .. }, signal) => signal,
        }
    }

    fn abandoned(&self, phase: Phase, now: Instant) -> (Phase, Effects) {
        let outcome = Outcome::Abandoned;
        match phase {
            Phase::Killing { .. } => (Phase::Killing { outcome }, &[CloseInput, CloseOutput]),
            Phase::Exited { .. } => (Phase::Exited { outcome }, &[CloseInput, CloseOutput]),
            Phase::Over { .. } => (phase, &[]),
            Phase::Terminating { kill_at, .. } => {
                (Phase::Terminating { kill_at, outcome }, &[CloseInput, CloseOutput])
            }
            Phase::Idle
            | Phase::Busy { .. }
            | Phase::Muted { .. }
            | Phase::LastInput { .. }
            | Phase::Finishing { .. }
            | Phase::Leaving { .. } => {
                (self.terminating(outcome, now), &[CloseInput, CloseOutput, Terminate])
            }
        }
    }

    fn tick(&self, phase: Phase, facts: Circumstances, now: Instant) -> (Phase, Effects) {
        match phase {
            Phase::Muted { busy_since: Some(_), until } if until <= now => {
                self.failed(phase, ProgramError::ClosedOutput)
            }
            Phase::Busy { since } | Phase::Muted { busy_since: Some(since), .. } => {
                match facts.item_timeout {
                    Some(limit) if since + limit <= now => {
                        let outcome = Outcome::Failed(ProgramError::TimedOut(limit));
                        (self.terminating(outcome, now), self.close_with(&[Terminate]))
                    }
                    _ => (phase, &[]),
                }
            }
            Phase::Finishing { early, quiet_since, is_reported } => match self.finish_limit(early, facts) {
                Some(limit) if quiet_since + limit <= now => {
                    let overdue =
                        matches!(self.manner, Manner::Reply { .. }) && quiet_since + self.stop_timeout <= now;
                    let outcome = Outcome::Stop(Ending::InputEnded);
                    (
                        self.terminating(outcome, now),
                        if overdue { &[ReportOverdue, Terminate] } else { &[Terminate] },
                    )
                }
                _ if !is_reported && quiet_since + LINGER_REPORT <= now => {
                    (Phase::Finishing { early, quiet_since, is_reported: true }, &[ReportLingering])
                }
                _ => (phase, &[]),
            },
            Phase::Leaving { ending, until } if until <= now => {
                (self.terminating(Outcome::Stop(ending), now), &[Terminate])
            }
            Phase::Terminating { kill_at, outcome } if kill_at <= now => {
                (Phase::Killing { outcome }, &[Kill])
            }
            Phase::Idle
            | Phase::Muted { busy_since: None, .. }
            | Phase::LastInput { .. }
            | Phase::Leaving { .. }
            | Phase::Terminating { .. }
            | Phase::Killing { .. }
            | Phase::Exited { .. }
            | Phase::Over { .. } => (phase, &[]),
        }
    }

    fn terminating(&self, outcome: Outcome, now: Instant) -> Phase {
        Phase::Terminating { kill_at: now + self.stop_timeout, outcome }
    }
}

fn begun(phase: Phase, now: Instant) -> Phase {
    match phase {
        Phase::Idle => Phase::Busy { since: now },
        Phase::Muted { busy_since: None, until } => Phase::Muted { busy_since: Some(now), until },
        Phase::Busy { .. }
        | Phase::Muted { .. }
        | Phase::LastInput { .. }
        | Phase::Finishing { .. }
        | Phase::Leaving { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }
        | Phase::Exited { .. }
        | Phase::Over { .. } => phase,
    }
}

fn done(phase: Phase) -> (Phase, Effects) {
    match phase {
        Phase::Busy { .. } => (Phase::Idle, &[Acknowledge]),
        Phase::Muted { until, .. } => (Phase::Muted { busy_since: None, until }, &[Acknowledge]),
        Phase::Terminating { outcome: Outcome::Failed(_) | Outcome::Abandoned, .. }
        | Phase::Killing { outcome: Outcome::Failed(_) | Outcome::Abandoned }
        | Phase::Exited { outcome: Outcome::Failed(_) | Outcome::Abandoned }
        | Phase::Over { .. } => (phase, &[]),
        Phase::Idle
        | Phase::LastInput { .. }
        | Phase::Finishing { .. }
        | Phase::Leaving { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }
        | Phase::Exited { .. } => (phase, &[Acknowledge]),
    }
}

fn input_ended(phase: Phase, early: bool) -> Phase {
    match phase {
        Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. } => Phase::LastInput { early },
        Phase::LastInput { .. }
        | Phase::Finishing { .. }
        | Phase::Leaving { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }
        | Phase::Exited { .. }
        | Phase::Over { .. } => phase,
    }
}

fn input_written(phase: Phase, now: Instant) -> (Phase, Effects) {
    match phase {
        Phase::LastInput { early } => {
            (Phase::Finishing { early, quiet_since: now, is_reported: false }, &[CloseInput])
        }
        Phase::Leaving { .. } | Phase::Terminating { .. } | Phase::Killing { .. } => (phase, &[CloseInput]),
        Phase::Idle
        | Phase::Busy { .. }
        | Phase::Muted { .. }
        | Phase::Finishing { .. }
        | Phase::Exited { .. }
        | Phase::Over { .. } => (phase, &[]),
    }
}

fn exited(phase: Phase) -> (Phase, Effects) {
    let outcome = match phase {
        Phase::Idle | Phase::Busy { .. } | Phase::Muted { .. } => Outcome::Unasked { finished: false },
        Phase::LastInput { .. } | Phase::Finishing { .. } => Outcome::Unasked { finished: true },
        Phase::Leaving { ending, .. } => Outcome::Stop(ending),
        Phase::Terminating { outcome, .. } | Phase::Killing { outcome } => outcome,
        Phase::Exited { .. } | Phase::Over { .. } => return (phase, &[]),
    };
    (Phase::Exited { outcome }, &[CloseInput])
}

fn drained(phase: Phase) -> (Phase, Effects) {
    match phase {
        Phase::Exited { outcome } => (Phase::Over { outcome }, &[Settle]),
        Phase::Idle
        | Phase::Busy { .. }
        | Phase::Muted { .. }
        | Phase::LastInput { .. }
        | Phase::Finishing { .. }
        | Phase::Leaving { .. }
        | Phase::Terminating { .. }
        | Phase::Killing { .. }
        | Phase::Over { .. } => (phase, &[]),
    }
}

#[cfg(test)]
mod tests;
