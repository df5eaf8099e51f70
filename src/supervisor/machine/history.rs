//! The last transitions of every worker, each with its reason.

use super::reason::{End, StartReason, StopReason};
use super::totals::ProcessWork;
use crate::status::Glimpse;
use log::Level;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

/// Per worker: enough to see what led to a failure, small enough to forget about. Each has its own:
/// one that crashes all the time must not push out what happened to the others.
const TRANSITIONS_PER_WORKER: usize = 10;
/// Workers with a history; those that are gone longest are forgotten first.
const MAX_WORKERS: usize = 8192;

/// Transitions of one worker whose last lines of standard error are kept.
const TRANSITIONS_WITH_STDERR: usize = 3;
/// Characters of such a line.
const STDERR_LINE_CHARS: usize = 400;

/// One thing that happened to one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transition<Time = Instant> {
    /// When; in the upgrade state how long ago: a moment of one program's clock means nothing to the next.
    #[serde(rename = "age")]
    pub at: Time,
    /// To whom: `parse[2]`.
    pub worker: String,
    pub change: TransitionKind,
    /// How long its process had lived.
    pub lived: Option<Duration>,
    /// The item that it had begun.
    pub item: Option<Box<Glimpse>>,
    /// The last lines of it or its program on standard error.
    #[serde(rename = "words", default)]
    pub last_stderr: Vec<String>,
}

/// As one program leaves it to the next.
pub(crate) type SavedTransition = Transition<Duration>;

impl<T> Transition<T> {
    fn at<U>(self, at: U) -> Transition<U> {
        let Transition { worker, change, lived, item, last_stderr, .. } = self;
        Transition { at, worker, change, lived, item, last_stderr }
    }
}

/// What can happen to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum TransitionKind {
    /// It was started.
    Started(StartReason),
    /// It was requested to end after its item.
    Asked(StopReason),
    /// It was terminated.
    Terminated(StopReason),
    /// It was killed.
    Killed(StopReason),
    Ended(End),
}

impl TransitionKind {
    /// What is planned is detail; what interrupts a worker is not.
    pub(crate) fn level(&self) -> Level {
        match self {
            TransitionKind::Started(_) | TransitionKind::Asked(_) | TransitionKind::Ended(_) => Level::Debug,
            TransitionKind::Terminated(_) => Level::Info,
            TransitionKind::Killed(_) => Level::Warn,
        }
    }
}

impl fmt::Display for TransitionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransitionKind::Started(why) => write!(f, "starts: {why}"),
            TransitionKind::Asked(why) => write!(f, "is to end after its item: {why}"),
            TransitionKind::Terminated(why) => write!(f, "is terminated: {why}"),
            TransitionKind::Killed(why) => write!(f, "is killed: {why}"),
            TransitionKind::Ended(end) => end.fmt(f),
        }
    }
}

/// The last transitions of each worker, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(BTreeMap<String, VecDeque<Transition>>);

impl History {
    /// Adds one, and forgets the oldest.
    pub(crate) fn note(&mut self, at: Instant, worker: String, change: TransitionKind) {
        self.add(Transition { at, worker, change, lived: None, item: None, last_stderr: Vec::new() });
    }

    fn add(&mut self, transition: Transition) {
        if self.0.len() >= MAX_WORKERS && !self.0.contains_key(&transition.worker) {
            self.forget_one();
        }
        // Most services are started once, and nothing else happens to them.
        let of_worker = self.0.entry(transition.worker.clone()).or_insert_with(|| VecDeque::with_capacity(1));
        if of_worker.len() == TRANSITIONS_PER_WORKER {
            of_worker.pop_front();
        }
        of_worker.push_back(transition);
    }

    /// Adds details to the last one of a worker.
    pub(crate) fn explain(&mut self, worker: &str, lived: Option<Duration>, work: &ProcessWork) {
        let Some(of_worker) = self.0.get_mut(worker) else { return };
        if let Some(last) = of_worker.back_mut() {
            (last.lived, last.item) = (lived, work.item.clone());
            last.last_stderr = work.last_stderr.iter().map(|line| shortened(line)).collect();
        }
        let with_words = of_worker.iter_mut().rev().filter(|transition| !transition.last_stderr.is_empty());
        with_words.skip(TRANSITIONS_WITH_STDERR).for_each(|transition| transition.last_stderr.clear());
    }

    /// What happened to a worker, oldest first.
    pub(crate) fn of(&self, worker: &str) -> impl Iterator<Item = &Transition> {
        self.0.get(worker).into_iter().flatten()
    }

    /// All that are kept.
    #[cfg(test)]
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.0.values().flatten()
    }

    /// How the workers of a stage ended of late, the newest `n` of them, oldest first.
    pub(crate) fn last_ends(&self, stage: &str, n: usize) -> Vec<(&Transition, &End)> {
        let first = format!("{stage}[");
        let of_stage = self.0.range(first.clone()..).take_while(|(name, _)| name.starts_with(&first));
        let ends = of_stage.flat_map(|(_, transitions)| transitions).filter_map(|transition| {
            let TransitionKind::Ended(end) = &transition.change else { return None };
            Some((transition, end))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by_key(|(transition, _)| transition.at);
        ends.split_off(ends.len().saturating_sub(n))
    }

    /// All of it, for the next program of this process.
    pub(crate) fn save(&self, now: Instant) -> Vec<SavedTransition> {
        let saved = |past: Transition| {
            let age = now.saturating_duration_since(past.at);
            past.at(age)
        };
        self.0.values().flatten().cloned().map(saved).collect()
    }

    /// Resumes from what the previous program has saved.
    pub(crate) fn resume(&mut self, saved: Vec<SavedTransition>, now: Instant) {
        for past in saved {
            let at = now.checked_sub(past.at).unwrap_or(now);
            self.add(past.at(at));
        }
    }

    fn forget_one(&mut self) {
        let newest = |transitions: &VecDeque<Transition>| transitions.back().map(|last| last.at);
        let longest = self.0.iter().min_by_key(|(_, transitions)| newest(transitions));
        if let Some(name) = longest.map(|(name, _)| name.clone()) {
            self.0.remove(&name);
        }
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(STDERR_LINE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_its_own_history_and_it_is_bounded() {
        let mut history = History::default();
        let start = Instant::now();
        history.note(start, "a[1]".into(), TransitionKind::Started(StartReason::New));
        for i in 0..100 {
            let end = End::Said(crate::queue::Ending::Failed(i.to_string()));
            history.note(start, "a[0]".into(), TransitionKind::Started(StartReason::Failed));
            history.note(start + Duration::from_secs(i), "a[0]".into(), TransitionKind::Ended(end));
        }
        assert_eq!((history.of("a[0]").count(), history.of("a[1]").count()), (TRANSITIONS_PER_WORKER, 1));
        let ends: Vec<_> = history.last_ends("a", 2).into_iter().map(|(_, end)| end.to_string()).collect();
        assert_eq!(ends, ["failed: 98", "failed: 99"]);
        assert!(history.last_ends("b", 2).is_empty());
    }

    #[test]
    fn the_newest_last_words_are_kept_and_none_of_them_is_long() {
        let mut history = History::default();
        for i in 0..5 {
            let end = End::Said(crate::queue::Ending::Failed(i.to_string()));
            history.note(Instant::now(), "a[0]".into(), TransitionKind::Ended(end));
            let last_stderr = vec!["ä".repeat(1000), i.to_string()];
            history.explain("a[0]", None, &ProcessWork { last_stderr, ..ProcessWork::default() });
        }
        let kept: Vec<&str> = history
            .of("a[0]")
            .filter_map(|transition| transition.last_stderr.get(1))
            .map(String::as_str)
            .collect();
        assert_eq!(kept, ["2", "3", "4"]);
        let last = history.of("a[0]").last().unwrap();
        assert_eq!(last.last_stderr[0], "ä".repeat(STDERR_LINE_CHARS) + "…");
    }
}
