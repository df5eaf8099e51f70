//! What this machine shows of itself to those who look at the whole run, through the broker.
//!
//! The supervisor waits for no network: it writes a snapshot into a file in memory when the link asks for one, and the link brings
//! what others may see of it to the broker.
//!
//! | killed … | what is left | why that is fine |
//! |---|---|---|
//! | the link, after it has asked | a snapshot in the file | the next link has a file of its own, and asks |
//! | the supervisor, while it writes | half a snapshot | the link goes with it, and reads none without the order |
//! | the machine | its last snapshot in the broker | its age says that it is silent |

use super::request::LinkPlan;
use crate::status::{MachineStatus, Samples, Snapshot};
use crate::sys::cpus;
use std::fs;
use std::time::{Duration, Instant};

/// Between two snapshots; less by what a timer may be early.
const PAUSE: Duration = Duration::from_millis(4900);
/// While somebody looks.
const SHORT_PAUSE: Duration = Duration::from_millis(900);

pub(super) struct Showing {
    host: String,
    /// The names of the shared queues.
    shared: Vec<String>,
    samples: Samples,
    asked: Option<Instant>,
}

impl Showing {
    pub(super) fn new(plan: &LinkPlan) -> Showing {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let shared = plan.broker.queues.iter().map(|queue| queue.name.clone()).collect();
        Showing { host, shared, samples: Samples::new(cpus::ticks()), asked: None }
    }

    /// Whether the supervisor is to be asked now: an answer that never came is not waited for.
    pub(super) fn is_due(&mut self, is_watched: bool, now: Instant) -> bool {
        let pause = if is_watched { SHORT_PAUSE } else { PAUSE };
        let is_due = self.asked.is_none_or(|at| now.saturating_duration_since(at) >= pause);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// What the others may see.
    pub(super) fn describe(&mut self, mut snapshot: Snapshot) -> Option<Vec<u8>> {
        self.samples.rate(&mut snapshot, cpus::ticks);
        let recent = self.samples.recent(&snapshot);
        MachineStatus::of(&snapshot, self.host.clone(), &self.shared, recent).encode().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_at_once_then_every_five_seconds_or_every_second_while_somebody_looks() {
        let mut showing =
            Showing { host: String::new(), shared: Vec::new(), samples: Samples::new(None), asked: None };
        let start = Instant::now();
        let mut due = |is_watched, seconds| showing.is_due(is_watched, start + Duration::from_secs(seconds));
        let seen =
            [(false, 0), (false, 1), (true, 1), (true, 2), (false, 3), (false, 6), (false, 7), (false, 12)];
        let seen = seen.map(|(is_watched, at)| due(is_watched, at));
        assert_eq!(seen, [true, false, true, true, false, false, true, true]);
    }
}
