//! An upgrade: the program on the disk is tried (preflight), and then replaces this one in the same process.

use super::State;
use crate::control::protocol::{Reason, Refused};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::event::NotReplaced;
use crate::supervisor::machine::ids::RequestId;
use crate::supervisor::machine::phase::{Upgrade, UpgradePhase};
use log::Level;
use std::time::{Duration, Instant};

/// An upgrade that could not be done within this is over; it holds nothing up meanwhile.
const UPGRADE_LIMIT: Duration = Duration::from_secs(30);

/// After a request that came in between.
const RETRY_AFTER: Duration = Duration::from_millis(2);

fn refuse(request: Option<RequestId>, verb: &str, why: String, out: &mut Effects) {
    let error = format!("upgrade {verb}: {why}");
    out.log(Level::Error, error.clone());
    if let Some(id) = request {
        out.push(Effect::Answer(id, Err(Refused { reason: Reason::NotUpgraded, error })));
    }
}

impl State {
    /// The program on the disk is to replace this one: SIGUSR2, or a client that waits for an answer. If it does, none
    /// comes: the connection ends with this program.
    pub(super) fn upgrade_requested(&mut self, request: Option<RequestId>, out: &mut Effects) {
        let why = match (&self.upgrade, self.phase.stop(), &self.wanted) {
            (Some(_), ..) => "an upgrade is under way already",
            (_, Some(_), _) => "the pipeline stops",
            (.., None) => "the run has not begun yet",
            (None, None, Some(_)) => {
                self.upgrade = Some(Upgrade { request, since: out.now, phase: UpgradePhase::Requested });
                return;
            }
        };
        refuse(request, "refused", why.to_owned(), out);
    }

    /// The preflight of the program on the disk has ended.
    pub(super) fn preflight_done(&mut self, outcome: Result<(), String>, out: &mut Effects) {
        match outcome {
            Err(why) => self.end_upgrade(&why, out),
            Ok(()) => self.upgrade.iter_mut().for_each(|upgrade| upgrade.phase = UpgradePhase::Ready),
        }
    }

    /// This program is still there.
    pub(super) fn not_replaced(&mut self, why: NotReplaced, out: &mut Effects) {
        match (why, &mut self.upgrade) {
            (NotReplaced::Failed(why), _) => self.end_upgrade(&why, out),
            (NotReplaced::Interrupted, Some(upgrade)) => {
                upgrade.phase = UpgradePhase::Interrupted { again: out.now + RETRY_AFTER };
            }
            (NotReplaced::Interrupted, None) => {}
        }
    }

    /// What came first has been seen to.
    pub(super) fn try_upgrade_again(&mut self) {
        if let Some(upgrade) = &mut self.upgrade
            && matches!(upgrade.phase, UpgradePhase::Interrupted { .. })
        {
            upgrade.phase = UpgradePhase::Ready;
        }
    }

    /// Replaces the program as soon as nothing is in the way, within the limit.
    pub(super) fn advance_upgrade(&mut self, out: &mut Effects) {
        let Some(Upgrade { since, phase, .. }) = &self.upgrade else { return };
        let is_late = out.now >= *since + UPGRADE_LIMIT;
        match (self.save(out), *phase) {
            (Ok(saved), UpgradePhase::Requested) if !is_late => {
                self.upgrade.iter_mut().for_each(|upgrade| upgrade.phase = UpgradePhase::Preflight);
                out.push(Effect::Preflight(Box::new(saved)));
            }
            (_, UpgradePhase::Preflight | UpgradePhase::Interrupted { .. }) if !is_late => {}
            (Ok(_), UpgradePhase::Ready) if self.has_link() && !is_late => {}
            (Ok(saved), UpgradePhase::Ready) => out.push(Effect::ReplaceProgram(Box::new(saved))),
            (Err(why), _) if is_late || self.phase.stop().is_some() => self.end_upgrade(why, out),
            (Err(_), _) => {}
            (Ok(_), _) => self.end_upgrade("signals and requests came all the time: ask again", out),
        }
    }

    fn end_upgrade(&mut self, why: &str, out: &mut Effects) {
        if let Some(upgrade) = self.upgrade.take() {
            refuse(upgrade.request, "failed", format!("{why}; this program continues"), out);
        }
    }

    pub(super) fn upgrade_deadline(&self) -> Option<Instant> {
        let Upgrade { since, phase, .. } = self.upgrade.as_ref()?;
        let late = *since + UPGRADE_LIMIT;
        Some(if let UpgradePhase::Interrupted { again } = phase { late.min(*again) } else { late })
    }
}
