//! Times that never decrease.
//!
//! A worker that is interrupted at the end of a wait seems to wait a little longer than it did, so the next snapshot may
//! show a little less. For the computation of a rate that would be a counter that was reset.

use crate::status::{Snapshot, Times};
use std::collections::BTreeMap;

/// The largest times reported so far.
#[derive(Debug, Default)]
pub(crate) struct Monotone(BTreeMap<String, Times>);

impl Monotone {
    /// Raises times that are lower than those reported before.
    pub(crate) fn raise(&mut self, seen: &mut Snapshot) {
        self.0.retain(|name, _| seen.stages.iter().any(|stage| stage.name == *name));
        for stage in &mut seen.stages {
            let (now, reported) = (&mut stage.times, self.0.entry(stage.name.clone()).or_default());
            *reported = Times {
                working: now.working.max(reported.working),
                starved: now.starved.max(reported.starved),
                blocked: now.blocked.max(reported.blocked),
                paused: now.paused.max(reported.paused),
                for_turn: now.for_turn.max(reported.for_turn),
            };
            *now = *reported;
        }
    }
}
