//! The checks of one process, one after the other: when the next try begins, how long it may take, and what its result
//! means. Pure.

use crate::config::pipeline::{Check, Probe};
use crate::hash::fnv1a;
use crate::supervisor::machine::condition::{Finding, Purpose};
use std::time::{Duration, Instant};

/// From the first try of `ready` to the second; then it doubles up to `every`.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest that one try of `ready` waits for an answer: one that got none is not the last. A program has all the time.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The last try begins when the time is up, and may take this long.
const LAST_TRY: Duration = Duration::from_secs(1);

/// How a try has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Well,
    Failed(String),
    /// It says nothing: the helper stood still meanwhile.
    Void,
    /// It could not be made; why.
    NotMade(String),
}

/// Where the checks of one process are.
#[derive(Debug)]
pub(super) struct Course {
    every: Duration,
    /// Before the first check of health, beyond `every`: services that start together are not all checked at one moment.
    stagger: Duration,
    timeout: Duration,
    /// The longest that an answer is waited for; `None`: any time within the limit of all.
    answer_limit: Option<Duration>,
    next: Instant,
    /// What was reported last.
    said: Option<Finding>,
    goal: Goal,
}

#[derive(Debug)]
enum Goal {
    Ready {
        until: Instant,
        /// To the next try but one.
        pause: Duration,
    },
    Health {
        /// In a row.
        failures: u32,
    },
    /// It is reached, or missed.
    Over,
}

impl Course {
    /// `name`: of the process; it decides when the first check of health comes.
    pub(super) fn new(purpose: Purpose, check: &Check, name: &str, now: Instant) -> Course {
        let Check { probe, every, timeout } = check;
        let (every, timeout) = (*every, *timeout);
        let stagger = part_of(every, name);
        let (next, goal) = match purpose {
            Purpose::Ready => (now, Goal::Ready { until: now + timeout, pause: FIRST_PAUSE.min(every) }),
            Purpose::Health => (now + every + stagger, Goal::Health { failures: 0 }),
        };
        let answer_limit = match probe {
            Probe::Command(_) | Probe::Line(_) | Probe::Notify => None,
            Probe::Tcp(_) | Probe::Http(_) => Some(ANSWER_LIMIT),
        };
        Course { every, stagger, timeout, answer_limit, next, said: None, goal }
    }

    /// When the next try begins; `None`: there is none.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.goal {
            Goal::Over => None,
            Goal::Ready { .. } | Goal::Health { .. } => Some(self.next),
        }
    }

    /// How long a try may take that begins now.
    pub(super) fn limit(&self, now: Instant) -> Duration {
        match self.goal {
            Goal::Ready { until, .. } => {
                let left = until.saturating_duration_since(now).max(LAST_TRY);
                self.answer_limit.map_or(left, |limit| limit.min(left))
            }
            Goal::Health { .. } | Goal::Over => self.timeout,
        }
    }

    /// A try has ended; what is new.
    pub(super) fn ended(&mut self, outcome: Outcome, now: Instant) -> Option<Finding> {
        let finding = match outcome {
            Outcome::Well => self.passed(now),
            Outcome::Failed(why) => self.failed(why, now),
            Outcome::Void => {
                self.begin_anew(now);
                None
            }
            Outcome::NotMade(why) => {
                self.begin_anew(now);
                Some(Finding::NotMade(why))
            }
        }?;
        // Each failed check counts; of anything else only what is new is told.
        let is_news = matches!(finding, Finding::Failing { .. }) || self.said.as_ref() != Some(&finding);
        self.said = Some(finding.clone());
        is_news.then_some(finding)
    }

    fn passed(&mut self, now: Instant) -> Option<Finding> {
        match &mut self.goal {
            Goal::Ready { .. } => {
                self.goal = Goal::Over;
                Some(Finding::Ready)
            }
            Goal::Health { failures } => {
                *failures = 0;
                self.next = now + self.every;
                Some(Finding::Healthy)
            }
            Goal::Over => None,
        }
    }

    fn failed(&mut self, why: String, now: Instant) -> Option<Finding> {
        match &mut self.goal {
            Goal::Ready { until, .. } if *until <= now => {
                self.goal = Goal::Over;
                Some(Finding::TimedOut(why))
            }
            Goal::Ready { until, pause } => {
                self.next = (now + *pause).min(*until);
                *pause = (*pause * 2).min(self.every);
                Some(Finding::NotReady(why))
            }
            Goal::Health { failures } => {
                *failures = failures.saturating_add(1);
                self.next = now + self.every;
                Some(Finding::Failing { failures: *failures, why })
            }
            Goal::Over => None,
        }
    }

    /// What there was of the time can't be told: all of it is there again.
    fn begin_anew(&mut self, now: Instant) {
        self.next = now + self.every;
        match &mut self.goal {
            Goal::Ready { until, .. } => *until = now + self.timeout,
            Goal::Health { .. } => self.next += self.stagger,
            Goal::Over => {}
        }
    }
}

/// The same part of a time for the same name, from nothing to all but a thousandth.
fn part_of(time: Duration, name: &str) -> Duration {
    const PARTS: u32 = 1000;
    let part = u32::try_from(fnv1a(name.as_bytes()) % u64::from(PARTS)).unwrap_or(0);
    time / PARTS * part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its part of an interval is none.
    const FIRST: &str = "s39[0]";

    const SECOND: Duration = Duration::from_secs(1);

    fn check(probe: Probe) -> Check {
        Check { probe, every: SECOND, timeout: SECOND * 10 }
    }

    fn tcp() -> Probe {
        Probe::Tcp("db:1".to_owned())
    }

    fn failed(why: &str) -> Outcome {
        Outcome::Failed(why.to_owned())
    }

    /// Fails at once, again and again: the moments of its tries, and what it has found.
    fn failing(mut course: Course, start: Instant, most: usize) -> (Vec<Duration>, Vec<Finding>) {
        let (mut times, mut findings) = (Vec::new(), Vec::new());
        while let Some(next) = course.next().filter(|_| times.len() < most) {
            times.push(next - start);
            findings.extend(course.ended(failed("no"), next));
        }
        (times, findings)
    }

    #[test]
    fn the_first_tries_come_soon_and_the_last_when_the_time_is_up() {
        let start = Instant::now();
        let (times, findings) = failing(Course::new(Purpose::Ready, &check(tcp()), FIRST, start), start, 100);
        let millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
        assert_eq!(&millis[..7], [0, 50, 150, 350, 750, 1550, 2550]);
        assert_eq!((millis.len(), millis.last()), (15, Some(&10_000)));
        assert_eq!(findings, [Finding::NotReady("no".to_owned()), Finding::TimedOut("no".to_owned())]);
    }

    #[test]
    fn one_good_try_is_enough_and_the_last_one() {
        let now = Instant::now();
        let mut course = Course::new(Purpose::Ready, &check(tcp()), FIRST, now);
        assert_eq!(course.ended(failed("a"), now), Some(Finding::NotReady("a".to_owned())));
        assert_eq!(course.ended(failed("a"), now), None, "it is known");
        assert_eq!(course.ended(failed("b"), now), Some(Finding::NotReady("b".to_owned())));
        assert_eq!(course.ended(Outcome::Well, now), Some(Finding::Ready));
        assert_eq!((course.next(), course.ended(failed("c"), now)), (None, None));
    }

    #[test]
    fn a_program_has_all_the_time_and_an_answer_five_seconds() {
        let now = Instant::now();
        let limit = |probe: Probe, at| Course::new(Purpose::Ready, &check(probe), FIRST, now).limit(now + at);
        let program = || Probe::Command(Default::default());
        assert_eq!((limit(tcp(), SECOND), limit(program(), SECOND)), (SECOND * 5, SECOND * 9));
        assert_eq!((limit(tcp(), SECOND * 10), limit(program(), SECOND * 10)), (LAST_TRY, LAST_TRY));
        assert_eq!(Course::new(Purpose::Health, &check(tcp()), FIRST, now).limit(now), SECOND * 10);
    }

    #[test]
    fn health_begins_after_every_and_counts_failures_in_a_row() {
        let start = Instant::now();
        let mut course = Course::new(Purpose::Health, &check(tcp()), FIRST, start);
        assert_eq!(course.next(), Some(start + SECOND));
        let failing = |failures, why: &str| Some(Finding::Failing { failures, why: why.to_owned() });
        let now = start + SECOND * 3;
        assert_eq!(course.ended(Outcome::Well, now), Some(Finding::Healthy));
        assert_eq!(course.next(), Some(now + SECOND));
        assert_eq!(course.ended(Outcome::Well, now), None);
        assert_eq!(course.ended(failed("a"), now), failing(1, "a"));
        assert_eq!(course.ended(failed("a"), now), failing(2, "a"));
        assert_eq!(course.ended(Outcome::Well, now), Some(Finding::Healthy));
        assert_eq!(course.ended(failed("a"), now), failing(1, "a"));
    }

    #[test]
    fn services_that_start_together_are_first_checked_apart() {
        let start = Instant::now();
        let minute = Check { every: SECOND * 60, ..check(tcp()) };
        let first = |n: u32| {
            Course::new(Purpose::Health, &minute, &format!("web-{n}[0]"), start).next().unwrap() - start
        };
        let mut tenths = [0; 10];
        for n in 0..100 {
            assert_eq!(first(n), first(n), "the same each time");
            assert!((60..120).contains(&first(n).as_secs()));
            tenths[usize::try_from(first(n).as_secs() - 60).unwrap() / 6] += 1;
        }
        assert!(tenths.iter().all(|checks| (1..=20).contains(checks)), "{tenths:?}");
        assert_eq!(
            Course::new(Purpose::Ready, &minute, "web-1[0]", start).next(),
            Some(start),
            "starts are not held up"
        );
    }

    #[test]
    fn what_was_not_seen_or_not_made_counts_for_nothing() {
        let start = Instant::now();
        let mut course = Course::new(Purpose::Ready, &check(tcp()), FIRST, start);
        let later = start + SECOND * 100;
        assert_eq!(course.ended(Outcome::Void, later), None);
        assert_eq!(course.next(), Some(later + SECOND));
        assert_eq!(course.ended(failed("a"), later + SECOND), Some(Finding::NotReady("a".to_owned())));
        let mut course = Course::new(Purpose::Health, &check(tcp()), FIRST, start);
        course.ended(failed("a"), start);
        assert_eq!(course.ended(Outcome::Void, later), None);
        let no = || Outcome::NotMade("no descriptor".to_owned());
        assert_eq!(course.ended(no(), later), Some(Finding::NotMade("no descriptor".to_owned())));
        assert_eq!(course.ended(no(), later), None, "it is said once");
        assert_eq!(course.next(), Some(later + SECOND));
        let second = Finding::Failing { failures: 2, why: "b".to_owned() };
        assert_eq!(course.ended(failed("b"), later), Some(second));
    }
}
