//! `rate` in a worker: how many items may begin now, and the wait for the first of them.

use super::context::{LiveSettings, WorkerContext};
use super::stop::Stop;
use crate::queue::{StageId, Waiting};
use std::time::{Duration, Instant};

/// A worker leases what the stage's `rate` lets begin within this.
const RATE_LOOKAHEAD: Duration = Duration::from_millis(1);

impl LiveSettings {
    /// How many items to lease at once: not more than may begin in a moment.
    pub(super) fn most_by_rate(&self) -> usize {
        self.tuning.rate.map_or(usize::MAX, |rate| {
            let items = RATE_LOOKAHEAD.as_nanos() / rate.interval().as_nanos().max(1);
            usize::try_from(items).unwrap_or(usize::MAX).max(1)
        })
    }
}

impl WorkerContext {
    /// How many of `want` items may begin now, by the stage's `rate`; or when to ask again. What of it does not begin goes
    /// [back](WorkerContext::give_admitted_back).
    pub(super) fn try_admit(&self, want: usize) -> Result<usize, Instant> {
        match (self.live.tuning.rate, self.spec.stage_id) {
            (Some(rate), Some(id)) if want > 0 => self.arena.admit(StageId(id), rate, want),
            _ => Ok(want),
        }
    }

    pub(super) fn give_admitted_back(&self, items: usize) {
        if let (Some(rate), Some(id)) = (self.live.tuning.rate, self.spec.stage_id) {
            self.arena.give_admitted_back(StageId(id), rate, items);
        }
    }

    /// How many of `want` items may begin, at least one: waits for it, also when the pipeline drains.
    pub(super) fn admit(&mut self, want: usize) -> Result<usize, Stop> {
        loop {
            match self.try_admit(want) {
                Ok(items) => return Ok(items),
                Err(at) => drop(self.queues.pause(at, Waiting::Paused)?),
            }
            self.poll_orders()?;
        }
    }
}
