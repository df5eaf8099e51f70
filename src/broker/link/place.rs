//! Where a stage works whose position lies in the broker: on this machine, or elsewhere.
//!
//! Before it works here its token has the position that the broker has. Once no worker of the stage is left, and its commits have
//! their verdicts, the link asks for the position and puts it into the token. The same again after a commit was refused: whatever
//! the reason, the broker knows better where the stage is.
//!
//! ```text
//! Leaving ──no worker──> Idle ──line empty──> Asked ──position──> Here
//!    ^                    ^                     │ another machine's │
//!    │                    └───────<─────────────┘                   │
//!    └──────────<──── refused, switched off, another machine's ─────┘
//! ```

use super::event::{Effect, LineId, Note};
use crate::model::Machines;
use std::time::{Duration, Instant};

/// A claim begins anew after this part of its time, so that two requests may get lost.
const RENEWED_IN: u32 = 3;
/// Nothing tells of a claim that expires: it is looked for this often in the time that one lasts.
const LOOKED_FOR_IN: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Workers of the stage may be there still.
    Leaving,
    /// None is. The position is asked for then; `None`: at once.
    Idle {
        until: Option<Instant>,
    },
    Asked,
    /// `renewal`: of the claim; `None`: at once.
    Here {
        renewal: Option<Instant>,
        is_asked: bool,
    },
    /// The stage has said its end.
    Over,
}

pub(super) struct Place {
    line: LineId,
    machines: Machines,
    ack_wait: Duration,
    state: State,
    /// The supervisor wants no work of the stage on this machine.
    is_off: bool,
    has_claim: bool,
}

impl Place {
    pub(super) fn new(line: LineId, machines: Machines, is_here: bool, ack_wait: Duration) -> Place {
        let state = match is_here {
            true => State::Here { renewal: None, is_asked: false },
            false => State::Leaving,
        };
        Place { line, machines, ack_wait, state, is_off: false, has_claim: is_here }
    }

    /// Whether the stage may work on this machine.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.state, State::Here { .. })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Idle { until } if !self.is_off => until,
            State::Here { renewal, is_asked: false } => renewal.filter(|_| self.machines == Machines::One),
            _ => None,
        }
    }

    pub(super) fn broken(&mut self) {
        self.state = match self.state {
            State::Asked | State::Idle { .. } => State::Idle { until: None },
            State::Here { .. } => State::Here { renewal: None, is_asked: false },
            other => other,
        };
    }

    /// No worker of it is left.
    pub(super) fn stopped(&mut self) {
        if self.state == State::Leaving {
            self.state = State::Idle { until: None };
        }
    }

    /// A claim may have become free.
    pub(super) fn woken(&mut self) {
        if let State::Idle { until } = &mut self.state {
            *until = None;
        }
    }

    pub(super) fn switched(&mut self, is_off: bool) {
        self.is_off = is_off;
        if is_off && self.is_here() {
            self.state = State::Leaving;
        }
    }

    /// The answer to a claim. `is_ours`: the position is there to be put into the token.
    pub(super) fn claimed(&mut self, is_ours: bool, now: Instant, out: &mut Vec<Effect>) {
        match (self.state, is_ours) {
            (State::Asked, true) => {
                out.push(Effect::PutToken { line: self.line });
                out.push(Effect::Say(Note::Here { line: self.line }));
                self.is_ours(now);
            }
            (State::Asked, false) => {
                self.has_claim = false;
                self.state = State::Idle { until: Some(now + self.ack_wait / LOOKED_FOR_IN) };
            }
            (State::Here { is_asked: true, .. }, true) => self.is_ours(now),
            (State::Here { is_asked: true, .. }, false) => self.pull(out),
            _ => {}
        }
    }

    fn is_ours(&mut self, now: Instant) {
        self.has_claim = self.machines == Machines::One;
        self.state = State::Here { renewal: Some(now + self.ack_wait / RENEWED_IN), is_asked: false };
    }

    /// A commit of the stage did not happen.
    pub(super) fn refused(&mut self, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Here { .. } | State::Over) {
            self.pull(out);
        }
    }

    /// The stage has said its end, and the broker knows. Where it is elsewhere meanwhile the supervisor waits for its next turn here.
    pub(super) fn ended(&mut self, out: &mut Vec<Effect>) {
        if self.is_here() {
            self.resign(out);
            self.state = State::Over;
        }
    }

    fn pull(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Leaving;
        out.push(Effect::Say(Note::Elsewhere { line: self.line }));
    }

    fn resign(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.has_claim) {
            out.push(Effect::Resign { line: self.line });
        }
    }

    /// `is_clear`: the line has no commit without a verdict. `may_begin`: the machine is not to leave.
    pub(super) fn go_on(&mut self, is_clear: bool, may_begin: bool, now: Instant, out: &mut Vec<Effect>) {
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        match &mut self.state {
            State::Idle { .. } if self.is_off && is_clear => self.resign(out),
            State::Idle { until } if may_begin && !self.is_off && is_clear && is_due(*until) => {
                self.state = State::Asked;
                out.push(Effect::Claim { line: self.line });
            }
            State::Here { renewal, is_asked: is_asked @ false }
                if self.machines == Machines::One && is_due(*renewal) =>
            {
                *is_asked = true;
                out.push(Effect::Claim { line: self.line });
            }
            _ => {}
        }
    }
}
