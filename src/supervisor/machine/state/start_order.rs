//! `after`: which stages wait for others at their first start, and which services wait for others at the end.
//!
//! A stage is waited for until each of its workers has been ready once. So a restart is nothing that others wait for, and
//! neither is what won't be started: a stage that gave up, that was stopped by hand, that waits for its time.
//!
//! At the end only services wait: a stage with items ends in the order of the queues, and waits for no reader of its own.
//! So no wait goes in a circle, whatever `after` and the queues say together.

use super::State;
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::stage_state::{Fate, StageState};
use std::collections::BTreeSet;

impl State {
    /// The stages, by place, that are not to be started yet.
    pub(super) fn held_back(&self) -> BTreeSet<usize> {
        let waits = |stage: &StageState| !stage.spec.after.is_empty() && stage.is_unbegun();
        if !self.stages.iter().any(waits) {
            return BTreeSet::new();
        }
        let awaited: BTreeSet<&str> = self
            .stages
            .iter()
            .filter(|stage| stage.is_awaited())
            .map(|stage| stage.spec.name.as_str())
            .collect();
        let is_held = |stage: &StageState| {
            waits(stage) && stage.spec.after.iter().any(|name| awaited.contains(name.as_str()))
        };
        (0..).zip(&self.stages).filter(|(_, stage)| is_held(stage)).map(|(s, _)| s).collect()
    }

    /// Workers of stages that a file has no longer, and that have no items to work off.
    pub(super) fn remove_in_order(&mut self, out: &mut Effects) {
        let until = out.now + self.drain_timeout();
        self.in_order_of_ends(|this, needed| {
            let stages = this.stages.iter_mut().enumerate();
            for (_, stage) in stages
                .filter(|(s, stage)| stage.fate == Fate::Removed { drains: false } && !needed.contains(s))
            {
                stage.remove_all_workers(until, out);
            }
        });
    }

    /// Ends what may end, but for the given services. One without a process is over at once, which may free the next: so
    /// again, until there are no fewer.
    pub(super) fn in_order_of_ends(&mut self, mut end: impl FnMut(&mut State, &BTreeSet<usize>)) {
        loop {
            let needed = self.still_needed();
            end(self, &needed);
            if needed.is_empty() || self.still_needed() == needed {
                return;
            }
        }
    }

    /// The services, by place, that end later: a stage that comes after them has not ended.
    fn still_needed(&self) -> BTreeSet<usize> {
        let ends = |stage: &&StageState| self.phase.stop().is_some() || stage.fate != Fate::Wanted;
        let lasting = self.stages.iter().filter(ends).filter(|stage| !stage.is_over());
        let named: BTreeSet<&String> = lasting.flat_map(|stage| &stage.spec.after).collect();
        if named.is_empty() {
            return BTreeSet::new();
        }
        let is_needed = |stage: &StageState| {
            stage.version.is_service() && !stage.is_over() && named.contains(&stage.spec.name)
        };
        (0..).zip(&self.stages).filter(|(_, stage)| is_needed(stage)).map(|(s, _)| s).collect()
    }

    /// What a stage that is held back waits for, by name.
    pub(super) fn waits_for(&self, stage: &StageState) -> Vec<String> {
        if !stage.is_unbegun() {
            return Vec::new();
        }
        let is_awaited =
            |name: &&String| self.stages.iter().any(|other| other.spec.name == **name && other.is_awaited());
        stage.spec.after.iter().filter(is_awaited).cloned().collect()
    }
}
