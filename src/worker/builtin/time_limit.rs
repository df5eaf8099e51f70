//! `item_timeout`: the longest that one item may take.

use crate::queue::{Arena, Ending, SlotId};
use crate::sys::worker_timer;
use std::time::Duration;

pub(crate) struct TimeLimit {
    arena: Arena,
    slot: SlotId,
    limit: Option<Duration>,
    is_ours: bool,
}

impl TimeLimit {
    pub fn new(arena: Arena, slot: SlotId) -> TimeLimit {
        TimeLimit { arena, slot, limit: None, is_ours: true }
    }

    /// For a worker that keeps the limit by other means.
    pub fn leave_to_others(&mut self) {
        self.is_ours = false;
    }

    pub fn set(&mut self, limit: Option<Duration>) {
        if self.limit == limit || !self.is_ours {
            return;
        }
        self.limit = limit;
        let (arena, slot) = (self.arena.clone(), self.slot);
        if let Err(error) =
            worker_timer::prepare(Box::new(move || arena.note_ending(slot, &Ending::TimedOut)))
        {
            log::error!("item_timeout can't be kept: {error}");
        }
    }

    #[inline]
    pub fn begin(&self) {
        if let Some(limit) = self.limit {
            worker_timer::begin(limit);
        }
    }

    #[inline]
    pub fn rest(&self) {
        if self.limit.is_some() {
            worker_timer::rest();
        }
    }
}
