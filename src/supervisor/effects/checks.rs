//! Checks of services: what is to be found out goes to the helper, or to the relay that reads what services say.

use super::performer::Performer;
use crate::config::pipeline::{Check, Command, Probe};
use crate::queue::SlotId;
use crate::supervisor::machine::condition::{Finding, Goal};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::Pid;
use crate::supervisor::runtime::checker::{Report, Task};
use crate::supervisor::runtime::children::Auxiliary;
use crate::sys::open_files;
use log::{Level, log};

impl Performer<'_> {
    pub(super) fn start_checker(&mut self) {
        let (environment, mark) = (self.launcher.helper_environment(), self.launcher.mark());
        match self.services.checker.start(&environment, mark, self.log_writer.stderr()) {
            Ok(pid) => self.children.add_auxiliary(pid, Auxiliary::Checker),
            Err(error) => {
                log!(target: "mprun", Level::Error, "services are not checked (`ready`, `health`), as the process for that can't be started: {error}");
                self.events.push_back(Event::CheckerEnded);
            }
        }
    }

    pub(super) fn check(&mut self, goal: &Goal) {
        let Goal { pid, slot, purpose, check: Check { probe, every, timeout } } = goal;
        self.services.relay.listen_for(*slot, probe);
        if !probe.is_tried() {
            return self.services.checker.uncheck(*slot, *pid);
        }
        let Some(service) = self.services.all.get(slot).filter(|service| service.pid == *pid) else { return };
        let Some(command) = service.version.work.command() else { return };
        let worker = service.worker.index;
        let task = Task {
            purpose: *purpose,
            check: Check { probe: probe.of_worker(worker), every: *every, timeout: *timeout },
            stage: service.stage.clone(),
            worker,
            // A connection needs nothing of it.
            service: if matches!(probe, Probe::Command(_)) { command.clone() } else { Command::default() },
            folder: service.version.folder.clone(),
            soft_open_files: open_files::original(),
        };
        self.services.checker.check(*slot, *pid, task);
    }

    /// News of the helper, which may be about a process that is gone.
    pub(super) fn checked(&mut self, report: Report) {
        if let Some((slot, pid, finding)) = self.services.checker.found(report) {
            self.found(slot, pid, finding);
        }
    }

    pub(super) fn found(&mut self, slot: SlotId, pid: Pid, finding: Finding) {
        if let Some(service) = self.services.all.get(&slot).filter(|service| service.pid == pid) {
            self.events.push_back(Event::Found(service.worker, pid, finding));
        }
    }
}
