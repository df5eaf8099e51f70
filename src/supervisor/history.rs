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
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_and_keeps_the_newest() {
        let mut history = History::default();
        for i in 0..KEPT + 10 {
            history.note(Instant::now(), format!("a[{i}]"), Change::Started(StartReason::New));
        }
        assert_eq!(history.transitions().count(), KEPT);
        assert_eq!(
            history.transitions().last().map(|last| last.worker.clone()),
            Some(format!("a[{}]", KEPT + 9))
        );
    }
}
