//! What the service manager is told of the run, and when.

use super::State;
use crate::numbers::counted as count;
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::notifier::NotifyState;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, StageState};

impl State {
    pub(super) fn pass_notifier_time(&mut self, out: &mut Effects) {
        if self.notifier.pass_time(out) {
            self.send_status(out);
        }
    }

    /// Sends what has changed since the last message.
    pub(super) fn announce(&mut self, out: &mut Effects) {
        let up = self.wanted.is_some() && self.phase.reload().is_none() && !self.file.loading;
        match self.notifier.state() {
            NotifyState::Absent | NotifyState::Stopping => {}
            _ if self.phase.stop().is_some() => self.announce_stop(out),
            NotifyState::Starting | NotifyState::Reloading if up => {
                self.notifier.ready(out);
                self.send_status(out);
            }
            NotifyState::Starting if !self.notifier.has_status() => self.send_status(out),
            NotifyState::Starting | NotifyState::Reloading | NotifyState::Ready => {}
        }
    }

    pub(super) fn announce_stop(&mut self, out: &mut Effects) {
        if self.notifier.stopping(out) {
            self.send_status(out);
        }
    }

    pub(super) fn note_reload_failure(&mut self, why: Option<String>, out: &mut Effects) {
        if self.notifier.reload_failed(why) {
            self.send_status(out);
        }
    }

    fn send_status(&mut self, out: &mut Effects) {
        let phase = self.phase_text();
        self.notifier.send_status(&phase, out);
    }

    /// How many stages, services and processes are wanted.
    pub(super) fn size(&self) -> String {
        let running = || self.stages.iter().filter(|stage| stage.fate == Fate::Wanted);
        let services = running().filter(|stage| stage.version.is_service()).count();
        let stages = running().count() - services;
        let worker = if services > 0 { "process" } else { "worker" };
        let workers: usize = running().map(|stage| stage.staying().count()).sum();
        let parts = [(stages, "stage", services == 0), (services, "service", false)];
        let parts = parts.into_iter().filter(|(number, _, is_shown)| *number > 0 || *is_shown);
        let parts: Vec<String> = parts.map(|(number, what, _)| count(number as u64, what)).collect();
        let size = format!("{}, {}", parts.join(", "), count(workers as u64, worker));
        let waiting = running().filter(|stage| self.waits_for_broker(stage)).count();
        match waiting {
            0 => size,
            1 => format!("{size}, 1 stage waits for the broker"),
            _ => format!("{size}, {waiting} stages wait for the broker"),
        }
    }

    /// There is nothing to drain.
    pub(super) fn has_services_only(&self) -> bool {
        self.stages.iter().all(|stage| stage.version.is_service())
    }

    fn phase_text(&self) -> String {
        let size = self.size();
        let restarts: u64 = self.stages.iter().map(|stage: &StageState| stage.totals.restarts).sum();
        match (self.stopping(), self.notifier.state()) {
            (Stopping::Draining, _) if !self.has_services_only() => "draining".to_owned(),
            (Stopping::Draining | Stopping::Killing, _) => "stopping".to_owned(),
            (Stopping::No, NotifyState::Starting) => format!("starting {size}"),
            (Stopping::No, _) if restarts > 0 => format!("{size}, {}", count(restarts, "restart")),
            (Stopping::No, _) => size,
        }
    }
}
