//! The commits of one stage on this machine, in order: one request is under way, from the oldest without a verdict on.

use super::event::{Effect, Ends, LineId, Note};
use super::shortage::Shortage;
use crate::broker::{Full, Judged, SharedQueue, Verdict};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Commits of one request: enough to hide the way to the broker, few enough that its script holds up no other for long.
const MOST: usize = 128;
/// A message says when there is room in a queue; of the server's memory there is none.
const LOOK_FOR_MEMORY: Duration = Duration::from_millis(250);
const LOOK_FOR_ROOM: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready,
    /// A request of the oldest commits.
    UnderWay,
    /// The oldest found no room.
    Blocked {
        by: Full,
        until: Instant,
    },
}

pub(super) struct Line {
    waiting: VecDeque<(u64, Ends)>,
    state: State,
    /// Commits of the next request: a request is memory of the server's, too, and what is sent beyond the room that there is was sent
    /// in vain.
    most: usize,
    /// The broker's memory is full, or was a moment ago.
    shortage: Option<Shortage>,
}

impl Line {
    pub(super) fn new(commits: Vec<(u64, Ends)>) -> Line {
        Line { waiting: commits.into(), state: State::Ready, most: MOST, shortage: None }
    }

    /// Whether every commit has its verdict.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the broker has no room for its oldest commit.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.state, State::Blocked { .. })
    }

    /// Whether it would send a commit that comes now.
    pub(super) fn waits_for_commits(&self) -> bool {
        self.state == State::Ready
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let again = match self.state {
            State::Blocked { until, .. } => Some(until),
            State::Ready | State::UnderWay => None,
        };
        again.into_iter().chain(self.shortage.as_ref().and_then(Shortage::deadline)).min()
    }

    /// What the next connection meets is seen there.
    pub(super) fn broken(&mut self) {
        (self.state, self.shortage) = (State::Ready, None);
    }

    pub(super) fn woken(&mut self, queue: SharedQueue) {
        if matches!(self.state, State::Blocked { by, .. } if by == Full::Queue(queue)) {
            self.state = State::Ready;
        }
    }

    pub(super) fn queued(&mut self, number: u64, ends: Ends) {
        if self.waiting.back().is_none_or(|(last, _)| *last < number) {
            self.waiting.push_back((number, ends));
        }
    }

    /// Returns the leases that have ended with the commits. An answer that does not start at the oldest commit is one that was
    /// had before.
    pub(super) fn judged(
        &mut self,
        id: LineId,
        first: u64,
        judged: &Judged,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Ends {
        if self.state != State::UnderWay || self.waiting.front().is_none_or(|(number, _)| *number != first) {
            return Vec::new();
        }
        self.state = match judged.full {
            None => State::Ready,
            Some(Full::Memory) => State::Blocked { by: Full::Memory, until: now + LOOK_FOR_MEMORY },
            Some(by) => State::Blocked { by, until: now + LOOK_FOR_ROOM },
        };
        self.most = match judged.full {
            Some(Full::Memory) => 1,
            Some(Full::Queue(_)) => judged.verdicts.len().max(1),
            None => (self.most * 2).min(MOST),
        };
        self.note_shortage(judged, now);
        self.say(id, first, judged, out);
        let count = judged.verdicts.len().min(self.waiting.len());
        if count > 0 {
            out.push(Effect::End { line: id, first, verdicts: judged.verdicts[..count].to_vec() });
        }
        self.waiting.drain(..count).flat_map(|(_, ends)| ends).collect()
    }

    fn note_shortage(&mut self, judged: &Judged, now: Instant) {
        let is_refused = judged.full == Some(Full::Memory);
        if is_refused {
            self.shortage.get_or_insert_with(|| Shortage::new(now));
        }
        if let Some(shortage) = &mut self.shortage {
            shortage.judged(!judged.verdicts.is_empty(), is_refused, now);
        }
    }

    fn say_shortage(&mut self, id: LineId, now: Instant, out: &mut Vec<Effect>) {
        let Some(shortage) = &mut self.shortage else { return };
        let room = shortage.room(now);
        if std::mem::replace(&mut shortage.said, room) != room {
            out.push(Effect::Say(Note::Room { line: id, room }));
        }
        self.shortage.take_if(|shortage| shortage.is_over(now));
    }

    fn say(&self, id: LineId, first: u64, judged: &Judged, out: &mut Vec<Effect>) {
        let forgotten = (first - 1).saturating_sub(judged.before);
        if forgotten > 0 && !judged.verdicts.is_empty() {
            out.push(Effect::Say(Note::Forgotten { line: id, commits: forgotten }));
        }
        if judged.verdicts.contains(&Verdict::Refused) {
            out.push(Effect::Say(Note::Refused { line: id }));
        }
    }

    pub(super) fn go_on(&mut self, id: LineId, now: Instant, out: &mut Vec<Effect>) {
        self.say_shortage(id, now, out);
        if matches!(self.state, State::Blocked { until, .. } if until <= now) {
            self.state = State::Ready;
        }
        let Some((first, _)) = self.waiting.front().filter(|_| self.state == State::Ready) else { return };
        let first = *first;
        let last = self.waiting.iter().take(self.most).next_back().map_or(first, |(number, _)| *number);
        self.state = State::UnderWay;
        out.push(Effect::Commit { line: id, first, last });
    }
}
