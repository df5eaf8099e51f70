//! Times that never go back.
//!
//! A worker that is interrupted at the end of a wait seems to wait a little longer than it did, so the next look may
//! see a little less. For whoever computes rates that would be a counter that started anew.

use crate::status::{Snapshot, Times};
use std::collections::BTreeMap;

/// The largest times told so far.
#[derive(Debug, Default)]
pub struct Monotone(BTreeMap<String, Times>);

impl Monotone {
    /// Raises what is lower than what was told before.
    pub fn raise(&mut self, seen: &mut Snapshot) {
        self.0.retain(|name, _| seen.stages.iter().any(|stage| stage.name == *name));
        for stage in &mut seen.stages {
            let (now, told) = (&mut stage.times, self.0.entry(stage.name.clone()).or_default());
            *told = Times {
                working: now.working.max(told.working),
                starved: now.starved.max(told.starved),
                blocked: now.blocked.max(told.blocked),
                paused: now.paused.max(told.paused),
                for_turn: now.for_turn.max(told.for_turn),
            };
            *now = *told;
        }
    }
}
