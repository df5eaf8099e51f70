//! A broker whose memory is full, as one line meets it: its commits are refused, or one goes through now and then.

use super::event::Room;
use std::time::{Duration, Instant};

/// A shortage that consumers end sooner is not worth a word.
const SAID_AFTER: Duration = Duration::from_secs(1);
/// It is over once no commit was refused for so long: one that goes through is no sign of it.
const OVER_AFTER: Duration = Duration::from_secs(5);
/// Nothing goes through any more.
const GONE_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Shortage {
    since: Instant,
    /// When a commit went through last, or `since`.
    taken: Instant,
    /// When it is over, if no commit is refused before.
    over: Option<Instant>,
    /// What was last said of it.
    pub(super) said: Room,
}

impl Shortage {
    pub(super) fn new(now: Instant) -> Shortage {
        Shortage { since: now, taken: now, over: None, said: Room::There }
    }

    /// An answer to commits: whether the first of them went through, and whether one found no memory.
    pub(super) fn judged(&mut self, is_taken: bool, is_refused: bool, now: Instant) {
        if is_taken {
            self.taken = now;
        }
        self.over = match is_refused {
            true => None,
            false => self.over.or(Some(now + OVER_AFTER)),
        };
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.over.is_some_and(|over| over <= now)
    }

    pub(super) fn room(&self, now: Instant) -> Room {
        if self.is_over(now) {
            Room::There
        } else if self.taken + GONE_AFTER <= now {
            Room::Gone
        } else if self.said != Room::There || self.since + SAID_AFTER <= now {
            Room::Short
        } else {
            Room::There
        }
    }

    /// When [`Shortage::room`] may change.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let next = match self.said {
            Room::There => Some(self.since + SAID_AFTER),
            Room::Short => Some(self.taken + GONE_AFTER),
            Room::Gone => None,
        };
        next.into_iter().chain(self.over).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said at each of these moments: (milliseconds, answer of the broker).
    fn said(steps: &[(u64, Option<(bool, bool)>)]) -> Vec<Room> {
        let start = Instant::now();
        let mut shortage = Shortage::new(start);
        let say = |&(at, answer): &(u64, Option<(bool, bool)>)| {
            let now = start + Duration::from_millis(at);
            if let Some((is_taken, is_refused)) = answer {
                shortage.judged(is_taken, is_refused, now);
            }
            shortage.said = shortage.room(now);
            shortage.said
        };
        steps.iter().map(say).collect()
    }

    #[test]
    fn one_that_lasts_is_said_and_is_over_once_nothing_was_refused_for_a_while() {
        let (taken, refused) = (Some((true, false)), Some((false, true)));
        let seen = said(&[
            (0, refused),
            (500, refused),
            (1000, None),
            (2000, taken),
            (4000, refused),
            (8900, taken),
        ]);
        assert_eq!(seen, [Room::There, Room::There, Room::Short, Room::Short, Room::Short, Room::Short]);
        assert_eq!(
            said(&[(0, refused), (1500, refused), (2000, taken), (6999, None), (7000, None)])[3..],
            [Room::Short, Room::There]
        );
        assert_eq!(said(&[(0, refused), (200, taken), (900, taken)])[2], Room::There);
    }

    #[test]
    fn nothing_for_a_minute_is_another_thing_than_little() {
        let (some, refused) = (Some((true, true)), Some((false, true)));
        let seen =
            said(&[(0, refused), (59_000, some), (118_000, refused), (119_000, refused), (120_000, some)]);
        assert_eq!(seen, [Room::There, Room::Short, Room::Short, Room::Gone, Room::Short]);
    }
}
