//! Checks of services: what they have told, and the helper that makes them.

use super::State;
use crate::supervisor::machine::condition::Finding;
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::helper::Helper;
use crate::supervisor::machine::ids::{Pid, WorkerId};
use crate::supervisor::machine::stage_state::{Fate, StageState};

impl State {
    pub(super) fn found(&mut self, worker: WorkerId, pid: Pid, finding: Finding, out: &mut Effects) {
        if let Some((s, i)) = self.alive(worker, pid) {
            self.stages[s].found(i, finding, out);
        }
    }

    /// Nothing is checked while the run stops: whatever ends then was told to.
    pub(super) fn tend_checks(&mut self, out: &mut Effects) {
        let stops = self.phase.stop().is_some();
        let is_needed = |stage: &StageState| stage.fate == Fate::Wanted && stage.needs_checker();
        let is_needed = !stops && self.stages.iter().any(is_needed);
        self.tend_checker(is_needed, out);
        self.stages.iter_mut().for_each(|stage| stage.tend_checks(stops, out));
    }

    /// Nothing is known of a service because its helper is gone; the next one begins anew.
    fn tend_checker(&mut self, is_needed: bool, out: &mut Effects) {
        match &self.checker {
            Helper::NotStarted if is_needed => {
                self.checker.start(out.now);
                out.push(Effect::StartChecker);
            }
            Helper::Due { at, .. } if is_needed && *at <= out.now => {
                self.checker.start(out.now);
                out.push(Effect::StartChecker);
            }
            Helper::Started { .. } | Helper::Due { .. } if !is_needed => {
                self.checker = Helper::NotStarted;
                out.push(Effect::EndChecker);
            }
            Helper::NotStarted | Helper::Started { .. } | Helper::Due { .. } => {}
        }
    }
}
