//! `item_timeout`: the longest that one item may take.

use crate::queue::{Arena, Ending, SlotId};
use crate::sys::worker_timer;
use std::time::Duration;

pub(crate) struct TimeLimit {
    arena: Arena,
    slot: SlotId,
    limit: Option<Duration>,
}

impl TimeLimit {
    pub(crate) fn new(arena: Arena, slot: SlotId) -> TimeLimit {
        TimeLimit { arena, slot, limit: None }
    }

    #[inline]
    pub(crate) fn begin(&mut self, limit: Option<Duration>) {
        if self.limit != limit {
            self.limit = limit;
            self.prepare();
        }
        if let Some(limit) = limit {
            worker_timer::begin(limit);
        }
    }

    fn prepare(&self) {
        let (arena, slot) = (self.arena.clone(), self.slot);
        let last_act = Box::new(move || arena.note_ending(slot, &Ending::TimedOut));
        if let Err(error) = worker_timer::prepare(last_act) {
            log::error!("item_timeout can't be kept: {error}");
        }
    }

    #[inline]
    pub(crate) fn rest(&self) {
        if self.limit.is_some() {
            worker_timer::end();
        }
    }
}
