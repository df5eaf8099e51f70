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
//! | a claim was sent or answered, before `PutToken` | the stage stands still, with its token as it was | claims again |
//! | `PutToken`, before the supervisor has heard | the token says what the broker says | the same |
//! | `Withdraw`, before the give-back was done | leases that the arena doesn't have | gives them back after `Held` |
//!
//! The broker alone decides whether a commit happens. So an answer that is late or comes twice costs work at most: an item that
//! two machines have is ended by the one that is first.

mod event;
mod inlet;
mod line;
mod place;
mod shortage;
#[cfg(test)]
pub(crate) mod tests;

use crate::model::Machines;
pub use event::{Effect, Ends, Event, LineId, Note, Room};
use inlet::Inlet;
use line::Line;
use place::Place;
use std::time::{Duration, Instant};

use super::{Sequence, SharedQueue, Woken};

/// The pauses before another try to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that breaks sooner is like a try that failed: what broke it may do so each time.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// How long a machine that has nothing for the broker tries to say that it leaves: the broker sees it anyway, later.
const FAREWELL: Duration = Duration::from_secs(1);

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
    /// When the connection was made, and how many connections in a row had failed, or broken soon, before it.
    Up {
        since: Instant,
        tries: u32,
    },
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

/// A line's stage.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// The shared queues that it reads.
    pub reads: Vec<SharedQueue>,
    /// Whose position the broker has; `None`: the stage has none there, and works on every machine.
    pub position_of: Option<Machines>,
    /// A link before this one has let it work on this machine.
    pub is_here: bool,
    /// It has no input: from a position it emits again what it has emitted.
    pub is_source: bool,
}

pub struct Link {
    phase: Phase,
    is_finishing: bool,
    /// What a source has emitted and the broker has no room for holds it up no more.
    is_stopping: bool,
    /// Then it leaves without a word, if it still has nothing for a broker that is away.
    leaves_alone_at: Option<Instant>,
    inlets: Vec<Inlet>,
    lines: Vec<Line>,
    /// Of each line, by its place.
    stages: Vec<Stage>,
}

struct Stage {
    reads: Vec<SharedQueue>,
    place: Option<Place>,
    is_off: bool,
    is_source: bool,
}

impl Stage {
    fn may_work(&self) -> bool {
        !self.is_off && self.place.as_ref().is_none_or(Place::is_here)
    }

    /// Whether its commits are made again from the broker's position, wherever the stage goes on.
    fn emits_again(&self) -> bool {
        self.is_source && self.place.is_some()
    }
}

impl Link {
    /// Its first step comes with the first [`Event::Tick`].
    pub fn new(remains: &Remains, roles: &[Role], ack_wait: Duration, now: Instant) -> Link {
        let committed: Vec<_> = remains.commits.iter().flatten().flat_map(|(_, ends)| ends).collect();
        let inlet = |(queue, held): &(SharedQueue, Vec<Sequence>)| {
            let is_committed = |sequence: Sequence| committed.contains(&&(*queue, sequence));
            Inlet::new(*queue, ack_wait, held.iter().map(|&sequence| (sequence, is_committed(sequence))))
        };
        let stage = |(n, role): (usize, &Role)| {
            let place = |machines: Machines| Place::new(LineId(n), machines, role.is_here, ack_wait);
            let (reads, place) = (role.reads.clone(), role.position_of.map(place));
            Stage { reads, place, is_off: false, is_source: role.is_source }
        };
        Link {
            phase: Phase::Away { tries: 0, until: now },
            is_finishing: false,
            is_stopping: false,
            leaves_alone_at: None,
            inlets: remains.held.iter().map(inlet).collect(),
            lines: remains.commits.iter().map(|commits| Line::new(commits.clone())).collect(),
            stages: roles.iter().enumerate().map(stage).collect(),
        }
    }

    /// When the next [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let leaves_alone_at = self.leaves_alone_at.filter(|_| self.has_nothing());
        match self.phase {
            Phase::Away { until, .. } => Some(leaves_alone_at.map_or(until, |at| at.min(until))),
            Phase::Joining { .. } => leaves_alone_at,
            Phase::Up { .. } => {
                let inlets = self.inlets.iter().filter_map(Inlet::deadline);
                let places = self.stages.iter().filter_map(|stage| stage.place.as_ref()?.deadline());
                inlets.chain(self.lines.iter().filter_map(Line::deadline)).chain(places).min()
            }
            Phase::Leaving | Phase::Over => None,
        }
    }

    /// Whether news of the arena would lead to anything before the next answer of the broker does.
    pub fn waits_for_arena(&self) -> bool {
        !matches!(self.phase, Phase::Up { .. })
            || self.lines.iter().any(Line::waits_for_commits)
            || self.inlets.iter().any(Inlet::waits_for_room)
    }

    /// What follows from an event, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.phase == Phase::Over {
            return out;
        }
        self.note(event, now, &mut out);
        if out.iter().any(|effect| matches!(effect, Effect::Say(Note::Elsewhere { .. }))) {
            // What was taken for the end of its stage is none. If the machine is to leave all the same it is ordered to once more.
            (self.is_finishing, self.is_stopping, self.leaves_alone_at) = (false, false, None);
        }
        self.go_on(now, &mut out);
        out
    }

    /// The event changes what is known; what that leads to is for `go_on`.
    fn note(&mut self, event: Event, now: Instant, out: &mut Vec<Effect>) {
        match event {
            Event::Joined => self.joined(now, out),
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
            Event::Woken(Woken::Items(queue)) => {
                self.inlet(queue, Inlet::woken);
                self.places().for_each(Place::woken);
            }
            Event::Woken(Woken::Room(queue)) => self.lines.iter_mut().for_each(|line| line.woken(queue)),
            Event::Woken(Woken::Away) => {}
            Event::Stopped { line } => self.place(line, Place::stopped),
            Event::Claimed { line, is_ours } => self.place(line, |place| place.claimed(is_ours, now, out)),
            Event::Switched { line, is_off } => self.switched(line, is_off),
            Event::LineEnded { line } => self.place(line, |place| place.ended(out)),
            // The stage resumes at the broker's position.
            Event::EndForgotten { line } => self.place(line, |place| place.refused(out)),
            Event::Finish | Event::Stop => {
                self.is_stopping |= event == Event::Stop;
                self.is_finishing = true;
                self.leaves_alone_at.get_or_insert(now + FAREWELL);
            }
            Event::Left if self.phase == Phase::Leaving => {
                self.phase = Phase::Over;
                out.push(Effect::Exit(None));
            }
            Event::Left | Event::Tick => {}
        }
    }

    fn joined(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Phase::Joining { tries } = self.phase else { return };
        self.phase = Phase::Up { since: now, tries };
        out.push(Effect::Say(Note::Up));
    }

    fn broken(&mut self, jitter: f64, now: Instant, out: &mut Vec<Effect>) {
        let tries = match self.phase {
            Phase::Joining { tries } => tries + 1,
            Phase::Up { since, tries } if now < since + STEADY_AFTER => tries + 1,
            Phase::Up { .. } | Phase::Leaving => 0,
            // One connection may be said to be broken by each request that it had.
            Phase::Away { .. } | Phase::Over => return,
        };
        let pause =
            FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_PAUSE).mul_f64(jitter);
        if matches!(self.phase, Phase::Up { .. } | Phase::Leaving) {
            out.push(Effect::Say(Note::Away));
        }
        self.phase = Phase::Away { tries, until: now + pause };
        self.inlets.iter_mut().for_each(Inlet::broken);
        self.lines.iter_mut().for_each(Line::broken);
        self.places().for_each(Place::broken);
    }

    fn places(&mut self) -> impl Iterator<Item = &mut Place> {
        self.stages.iter_mut().filter_map(|stage| stage.place.as_mut())
    }

    fn place(&mut self, line: LineId, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.stages.get_mut(line.0).and_then(|stage| stage.place.as_mut()) {
            change(place);
        }
    }

    fn switched(&mut self, line: LineId, is_off: bool) {
        if let Some(stage) = self.stages.get_mut(line.0) {
            stage.is_off = is_off;
        }
        self.place(line, |place| place.switched(is_off));
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
        let before = out.len();
        let ended = line.judged(id, first, judged, now, out);
        for inlet in &mut self.inlets {
            let queue = inlet.queue;
            inlet.ended(ended.iter().filter(|end| end.0 == queue).map(|end| end.1));
        }
        let is_refused = |effect: &Effect| matches!(effect, Effect::Say(Note::Refused { .. }));
        if out[before..].iter().any(is_refused) {
            self.inlets.iter_mut().for_each(Inlet::doubt);
            self.place(id, |place| place.refused(out));
        }
    }

    /// Does what can be done now.
    fn go_on(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let is_finishing = self.is_finishing;
        for inlet in &mut self.inlets {
            let mut readers = self.stages.iter().filter(|stage| stage.reads.contains(&inlet.queue));
            inlet.set_open(!is_finishing && readers.any(Stage::may_work), out);
        }
        match self.phase {
            Phase::Away { .. } | Phase::Joining { .. }
                if self.has_nothing() && self.leaves_alone_at.is_some_and(|at| at <= now) =>
            {
                self.phase = Phase::Over;
                out.push(Effect::Exit(None));
            }
            Phase::Away { tries, until } if until <= now => {
                self.phase = Phase::Joining { tries };
                out.push(Effect::Join);
            }
            Phase::Up { .. } => {
                self.inlets.iter_mut().for_each(|inlet| inlet.go_on(now, out));
                self.lines.iter_mut().enumerate().for_each(|(n, line)| line.go_on(LineId(n), now, out));
                for (line, stage) in self.lines.iter().zip(&mut self.stages) {
                    let go_on = |place: &mut Place| place.go_on(line.is_empty(), !is_finishing, now, out);
                    stage.place.iter_mut().for_each(go_on);
                }
                self.leave_when_done(out);
            }
            Phase::Away { .. } | Phase::Joining { .. } | Phase::Leaving | Phase::Over => {}
        }
    }

    /// Whether it neither holds items of the broker nor has commits for it. What a source has emitted and the broker has no room for is
    /// nothing: the position there is before it.
    fn has_nothing(&self) -> bool {
        let is_left = |(line, stage): (&Line, &Stage)| {
            line.is_empty() || line.is_blocked() && self.is_stopping && stage.emits_again()
        };
        self.inlets.iter().all(Inlet::is_empty) && self.lines.iter().zip(&self.stages).all(is_left)
    }

    fn leave_when_done(&mut self, out: &mut Vec<Effect>) {
        if self.is_finishing && self.has_nothing() {
            self.phase = Phase::Leaving;
            out.push(Effect::Leave);
        }
    }
}
