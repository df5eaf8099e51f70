//! Waiting for the world outside to take what a stage writes: a disk with room, a pipe with a reader, a folder that is
//! there again.

use crate::queue::WorkerHandle;
use crate::stage::Failure;
use std::time::Duration;

/// The first wait; each is twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest: nothing outside says that it can be written again, so it is tried.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// One wait, of several tries.
#[derive(Debug, Default)]
pub(super) struct Retry {
    tries: u32,
    /// Why it could not be done, as it was said last.
    said: String,
}

impl Retry {
    /// Says why, if that is news. Returns how long to wait before the next try.
    pub(super) fn again(&mut self, why: &Failure, queues: &WorkerHandle) -> Duration {
        let why = why.to_string();
        if self.said != why {
            log::warn!("{why}; waits, and tries it again");
            queues.set_obstacle(&why);
            self.said = why;
        }
        let length = FIRST_WAIT.saturating_mul(1 << self.tries.min(16)).min(LONGEST_WAIT);
        self.tries += 1;
        length
    }

    /// It was done, or will not be tried again.
    pub(super) fn end(&self, is_done: bool, queues: &WorkerHandle) {
        if self.tries > 0 {
            queues.set_obstacle("");
        }
        if is_done && self.tries > 0 {
            log::info!("it can be written again");
        }
    }
}
