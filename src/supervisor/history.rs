//! The last transitions of all workers, each with its reason.

use super::reason::{End, StartReason, StopReason};
use std::collections::VecDeque;
use std::time::Instant;

/// So many are kept: enough to see what led to a failure, small enough to forget about.
const KEPT: usize = 512;

/// One thing that happened to one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// To whom: `parse[2]`.
    pub worker: String,
    /// What.
    pub change: Change,
}

/// What can happen to a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was started.
    Started(StartReason),
    /// It was told to end after its item.
    Asked(StopReason),
    /// It was terminated.
    Terminated(StopReason),
    /// It was killed.
    Killed(StopReason),
    /// It is gone.
    Ended(End),
}

/// The last transitions, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<Transition>);

impl History {
    /// Adds one, and forgets the oldest.
    pub fn note(&mut self, at: Instant, worker: String, change: Change) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Transition { at, worker, change });
    }

    /// All that are kept, oldest first.
    #[cfg(test)]
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.0.iter()
    }

    /// How the workers of a stage ended of late, the newest `n` of them, oldest first.
    pub fn last_ends(&self, stage: &str, n: usize) -> Vec<(&Transition, &End)> {
        let of_stage = |worker: &str| worker.strip_prefix(stage).is_some_and(|rest| rest.starts_with('['));
        let ends = self.0.iter().rev().filter_map(|transition| match &transition.change {
            Change::Ended(end) if of_stage(&transition.worker) => Some((transition, end)),
            _ => None,
        });
        let mut newest: Vec<_> = ends.take(n).collect();
        newest.reverse();
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_and_tells_the_newest_ends_of_a_stage() {
        let mut history = History::default();
        for i in 0..KEPT + 10 {
            let end = End::Said(crate::queue::Ending::Failed(i.to_string()));
            history.note(Instant::now(), format!("a[{i}]"), Change::Started(StartReason::New));
            history.note(Instant::now(), format!("a[{i}]"), Change::Ended(end));
        }
        assert_eq!(history.0.len(), KEPT);
        let workers: Vec<_> = history.last_ends("a", 2).into_iter().map(|(t, _)| t.worker.clone()).collect();
        assert_eq!(workers, [format!("a[{}]", KEPT + 8), format!("a[{}]", KEPT + 9)]);
        assert!(history.last_ends("b", 2).is_empty());
    }
}
