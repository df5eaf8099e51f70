//! The link between one machine's arena and the broker, as a pure machine: an [`Event`] happens, and what is to be done about it
//! comes back as [`Effect`]s. No I/O, no clock. The process around it performs effects in order, and may die between any two.
//!
//! ```text
//! Away ──> Joining ──> Up ──> Leaving ──> Over
//!  └──────<───┴────<───┘──<─────┘     the connection breaks: one back-off, and all that was under way is asked for again
//! ```
//!
//! What a new link starts from lies in the arena: the items that it holds, and the commits that no verdict has ended.
//!
//! | killed after | what is left | the next link |
//! |---|---|---|
//! | a take was sent | perhaps leases that the arena doesn't have | `Held` names them: they are given back |
//! | a take was answered, before `Store` | the same | the same |
//! | `Store` | leases, in the broker and in the arena | holds them |
//! | a commit was sent | it lies in the arena, and perhaps happened | sends it again: the broker says what it said |
//! | a verdict came, before `End` | the same | the same |
//! | `End` | nothing of it | |
//! | `Withdraw`, before the give-back was done | leases that the arena doesn't have | gives them back after `Held` |
//!
//! The broker alone decides whether a commit happens. So an answer that is late or comes twice costs work at most: an item that
//! two machines have is ended by the one that is first.

mod event;
mod inlet;
mod line;
#[cfg(test)]
pub(crate) mod tests;

pub use event::{Effect, Ends, Event, LineId, Note};
use inlet::Inlet;
use line::Line;
use std::time::{Duration, Instant};

use super::{Sequence, SharedQueue, Woken};

/// The pauses before another try to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// After so many tries that failed, the next one comes then.
    Away {
        tries: u32,
        until: Instant,
    },
    Joining {
        tries: u32,
    },
    Up,
    /// All is given back, and the machine says so.
    Leaving,
    Over,
}

/// What lies in the arena when a link starts.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// The shared queues that this machine reads, each with the items that it holds.
    pub held: Vec<(SharedQueue, Vec<Sequence>)>,
    /// For each line, its commits without a verdict in order: the number, and the leases that it ends.
    pub commits: Vec<Vec<(u64, Ends)>>,
}

pub struct Link {
    phase: Phase,
    is_finishing: bool,
    inlets: Vec<Inlet>,
    lines: Vec<Line>,
}

impl Link {
    /// Its first step comes with the first [`Event::Tick`].
    pub fn new(remains: &Remains, ack_wait: Duration, now: Instant) -> Link {
        let committed: Vec<_> = remains.commits.iter().flatten().flat_map(|(_, ends)| ends).collect();
        let inlet = |(queue, held): &(SharedQueue, Vec<Sequence>)| {
            let is_committed = |sequence: Sequence| committed.contains(&&(*queue, sequence));
            Inlet::new(*queue, ack_wait, held.iter().map(|&sequence| (sequence, is_committed(sequence))))
        };
        Link {
            phase: Phase::Away { tries: 0, until: now },
            is_finishing: false,
            inlets: remains.held.iter().map(inlet).collect(),
            lines: remains.commits.iter().map(|commits| Line::new(commits.clone())).collect(),
        }
    }

    /// When the next [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Away { until, .. } => Some(until),
            Phase::Up => {
                let inlets = self.inlets.iter().filter_map(Inlet::deadline);
                inlets.chain(self.lines.iter().filter_map(Line::deadline)).min()
            }
            Phase::Joining { .. } | Phase::Leaving | Phase::Over => None,
        }
    }

    /// What follows from an event, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.phase == Phase::Over {
            return out;
        }
        self.note(event, now, &mut out);
        self.go_on(now, &mut out);
        out
    }

    /// The event changes what is known; what that leads to is for `go_on`.
    fn note(&mut self, event: Event, now: Instant, out: &mut Vec<Effect>) {
        match event {
            Event::Joined => self.joined(out),
            Event::Broken { jitter } => self.broken(jitter, now, out),
            Event::Hopeless(why) => {
                self.phase = Phase::Over;
                out.push(Effect::Exit(Some(why)));
            }
            Event::Held { queue, sequences } => self.inlet(queue, |inlet| inlet.held(&sequences, out)),
            Event::Room { queue, places } => self.inlet(queue, |inlet| inlet.room(places)),
            Event::Taken { queue, asked, sequences } => {
                self.inlet(queue, |inlet| inlet.taken(asked, &sequences, now, out));
            }
            Event::Extended { queue, lost } => self.inlet(queue, |inlet| inlet.extended(&lost, out)),
            Event::Withdrawn { queue, leases } => self.inlet(queue, |inlet| inlet.withdrawn(leases, out)),
            Event::Queued { line, number, ends } => self.queued(line, number, ends),
            Event::Judged { line, first, judged } => self.judged(line, first, &judged, now, out),
            Event::Woken(Woken::Items(queue)) => self.inlet(queue, Inlet::woken),
            Event::Woken(Woken::Room(queue)) => self.lines.iter_mut().for_each(|line| line.woken(queue)),
            Event::Woken(Woken::Away) => {}
            Event::Finish => self.finish(out),
            Event::Left if self.phase == Phase::Leaving => {
                self.phase = Phase::Over;
                out.push(Effect::Exit(None));
            }
            Event::Left | Event::Tick => {}
        }
    }

    fn joined(&mut self, out: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Joining { .. }) {
            return;
        }
        self.phase = Phase::Up;
        out.push(Effect::Say(Note::Up));
        self.inlets.iter_mut().for_each(|inlet| inlet.ask(out));
    }

    fn broken(&mut self, jitter: f64, now: Instant, out: &mut Vec<Effect>) {
        let tries = match self.phase {
            Phase::Joining { tries } => tries + 1,
            Phase::Up | Phase::Leaving => 0,
            // One connection may be said to be broken by each request that it had.
            Phase::Away { .. } | Phase::Over => return,
        };
        let pause =
            FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_PAUSE).mul_f64(jitter);
        if tries == 0 {
            out.push(Effect::Say(Note::Away));
        }
        self.phase = Phase::Away { tries, until: now + pause };
        self.inlets.iter_mut().for_each(Inlet::broken);
        self.lines.iter_mut().for_each(Line::broken);
    }

    fn inlet(&mut self, queue: SharedQueue, change: impl FnOnce(&mut Inlet)) {
        if let Some(inlet) = self.inlets.iter_mut().find(|inlet| inlet.queue == queue) {
            change(inlet);
        }
    }

    fn queued(&mut self, line: LineId, number: u64, ends: Ends) {
        for &(queue, sequence) in &ends {
            self.inlet(queue, |inlet| inlet.committed(sequence));
        }
        if let Some(line) = self.lines.get_mut(line.0) {
            line.queued(number, ends);
        }
    }

    fn judged(
        &mut self,
        id: LineId,
        first: u64,
        judged: &super::Judged,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(line) = self.lines.get_mut(id.0) else { return };
        for (queue, sequence) in line.judged(id, first, judged, now, out) {
            self.inlet(queue, |inlet| inlet.ended(sequence));
        }
    }

    fn finish(&mut self, out: &mut Vec<Effect>) {
        self.is_finishing = true;
        self.inlets.iter_mut().for_each(|inlet| inlet.finish(out));
    }

    /// Does what can be done now.
    fn go_on(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Away { tries, until } if until <= now => {
                self.phase = Phase::Joining { tries };
                out.push(Effect::Join);
            }
            Phase::Up => {
                self.inlets.iter_mut().for_each(|inlet| inlet.go_on(now, out));
                self.lines.iter_mut().enumerate().for_each(|(n, line)| line.go_on(LineId(n), now, out));
                self.leave_when_done(out);
            }
            Phase::Away { .. } | Phase::Joining { .. } | Phase::Leaving | Phase::Over => {}
        }
    }

    fn leave_when_done(&mut self, out: &mut Vec<Effect>) {
        let is_done = self.inlets.iter().all(Inlet::is_empty) && self.lines.iter().all(Line::is_empty);
        if self.is_finishing && is_done {
            self.phase = Phase::Leaving;
            out.push(Effect::Leave);
        }
    }
}
