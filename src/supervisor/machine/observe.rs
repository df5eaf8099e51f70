//! What a snapshot of the machine needs beside it: counters in the queues' memory, the clock on the wall, the run.

use crate::queue::{QueueCounts, QueueId, SlotId, SlotReport, StageId, WindowState};
use std::time::{Instant, SystemTime};

/// What is counted outside of the state: by workers and queues, in the arena.
pub(crate) trait Counters {
    /// What the process in a slot did so far.
    fn slot(&mut self, slot: SlotId) -> SlotReport;
    /// The program that it runs.
    fn program(&mut self, slot: SlotId) -> Option<u32>;
    /// The ledger of a queue.
    fn queue(&mut self, queue: QueueId) -> QueueCounts;
    /// How a window stands.
    fn window(&mut self, window: QueueId) -> Option<WindowState>;
    /// Why the last item of a stage failed, if that is failing.
    fn last_words(&mut self, stage: StageId) -> Option<String>;
}

/// A moment on both clocks: the state knows only the one that never jumps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The steady clock.
    pub now: Instant,
    /// The clock on the wall.
    pub wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Moment {
        Moment { now: Instant::now(), wall: SystemTime::now() }
    }

    /// An earlier (or later) moment in RFC 3339.
    pub(crate) fn at(&self, then: Instant) -> String {
        let ago = self.now.saturating_duration_since(then);
        let ahead = then.saturating_duration_since(self.now);
        let wall = self.wall.checked_sub(ago).unwrap_or(self.wall) + ahead;
        humantime::format_rfc3339_millis(wall).to_string()
    }
}

/// What is the same for the whole run.
#[derive(Clone, Debug)]
pub(crate) struct RunIdentity {
    /// The pipeline file, absolute.
    pub file: String,
    /// This run's random id.
    pub run: String,
    /// When it was started.
    pub started: Instant,
    /// Where dead letters are kept.
    pub dead_letter_file: String,
    /// The id by which a broker knows this machine, where the file names one.
    pub machine: Option<String>,
}
