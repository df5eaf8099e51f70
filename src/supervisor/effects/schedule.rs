//! When a stage with a schedule runs next, by the wall clock.

use super::performer::Performer;
use crate::config::Schedule;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::StageKey;
use crate::supervisor::runtime::clock;
use log::{Level, log};
use std::time::{Instant, SystemTime};

impl Performer<'_> {
    pub(super) fn next_run(&mut self, stage: StageKey, schedule: &Schedule) {
        if !std::mem::replace(&mut self.watches_clock, true)
            && let Err(error) = clock::watch(self.inbox.sender())
        {
            log!(target: "mprun", Level::Warn, "a jump of the clock will not be noticed ({error}): schedules follow it late");
        }
        let now = SystemTime::now();
        // The pattern was looked at when the file was read: it has a next moment.
        if let Some(wait) = schedule.next(now).and_then(|next| next.duration_since(now).ok()) {
            self.events.push_back(Event::NextRun(stage, Instant::now() + wait));
        }
    }
}
