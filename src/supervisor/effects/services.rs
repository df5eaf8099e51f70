//! Starts services, hears how they end, and looks how large they are.

use super::performer::{Performer, Purpose};
use super::service_hands::Service;
use crate::config::pipeline::{Probe, Stdout};
use crate::numbers::counted_are;
use crate::queue::{Ending, SlotId};
use crate::supervisor::machine::effect::Spawn;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::Pid;
use crate::supervisor::machine::reason::End;
use crate::supervisor::machine::totals::ProcessWork;
use crate::supervisor::runtime::children::{Child, Since};
use crate::supervisor::runtime::errand::Ended;
use crate::supervisor::runtime::services::identities::{self, Asked, Found, Lookup};
use crate::supervisor::runtime::services::{Adopted, LastWords, pipes};
use crate::sys::needs::DENIED;
use crate::sys::process::SpawnError;
use crate::sys::wait::Exit;
use crate::worker::service::{self, ServiceEnd};
use crate::worker::{Identity, StderrRelay};
use log::{Level, log};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::rc::Rc;
use std::time::Instant;

/// Lines of standard error kept for `mprun why`.
const LAST_LINES: usize = 10;

impl Performer<'_> {
    pub(super) fn spawn_service(&mut self, spawn: &Spawn) {
        self.stages.insert(spawn.worker.stage, spawn.stage.clone());
        let Some(command) = spawn.version.work.command() else { return };
        match self.services.identities.look_up(command, spawn) {
            Lookup::Known(found) => self.start_service(spawn, &found),
            Lookup::Waits => {}
            Lookup::Ask(asked) => {
                if let Err(error) = self.identify(&asked) {
                    for spawn in self.services.identities.unanswered(&asked) {
                        self.events.push_back(Event::SpawnFailed(spawn.worker, error));
                    }
                }
            }
        }
    }

    fn identify(&mut self, asked: &Asked) -> Result<(), SpawnError> {
        let request = identities::request(asked).map_err(|error| SpawnError::preparing(&error))?;
        self.start_errand(Purpose::Identify(asked.clone()), identities::VERB, &request)
    }

    /// Whom services run as is known, or can't be.
    pub(super) fn identified(&mut self, asked: Asked, ended: &Ended, answer: &str) {
        match serde_json::from_str::<Found>(answer) {
            Ok(found) => {
                let waiting = self.services.identities.answered(asked, found.clone());
                waiting.iter().for_each(|spawn| self.start_service(spawn, &found));
            }
            Err(_) => {
                let why = format!("its user and group could not be looked up: {ended}");
                for spawn in self.services.identities.unanswered(&asked) {
                    let end = End::Said(Ending::Failed(why.clone()));
                    self.events.push_back(Event::NotStarted(spawn.worker, end));
                }
            }
        }
    }

    fn start_service(&mut self, spawn: &Spawn, found: &Found) {
        let refused = |why: &str| Event::NotStarted(spawn.worker, End::CannotStart(why.to_owned()));
        let event = match found {
            Err(why) => refused(why),
            Ok(identity) => match self.try_start_service(spawn, identity.as_ref()) {
                Ok(Ok(pid)) => Event::Spawned(spawn.worker, Pid(pid)),
                Ok(Err(error)) => Event::SpawnFailed(spawn.worker, error),
                Err(why) => refused(&why),
            },
        };
        self.events.push_back(event);
    }

    /// An error of the outer kind is one that no other try would be spared.
    fn try_start_service(
        &mut self,
        spawn: &Spawn,
        identity: Option<&Identity>,
    ) -> Result<Result<u32, SpawnError>, String> {
        let (slot, worker, version) = (spawn.slot, spawn.worker, Rc::clone(&spawn.version));
        let start = self.launcher.service_start(&spawn.stage, worker, &version, identity);
        let start = start.ok_or("it is no program")?.map_err(|failure| failure.to_string())?;
        if let Err(error) = self.services.relay.prepare() {
            return Err(format!("what it says can't be read: {error}; {DENIED}"));
        }
        let since = Since::now();
        let stdout = version.work.command().map_or(Stdout::Items, |command| command.stdout);
        let pipes = pipes(stdout, spawn.announces.as_ref()).map_err(|error| SpawnError::preparing(&error));
        let started = match pipes.and_then(|pipes| pipes.start(start)) {
            Ok(started) => started,
            Err(error) => return Ok(Err(error)),
        };
        let pid = started.pid;
        self.children.add(pid, Child { worker, slot, leads: true, since });
        let service = Service { worker, stage: spawn.stage.clone(), pid: Pid(pid), version, slot };
        self.take_service_in(service, Adopted::from(started));
        Ok(Ok(pid))
    }

    fn take_service_in(&mut self, service: Service, adopted: Adopted) {
        let Service { worker, stage, pid, version, slot } = &service;
        if let Err(error) = self.services.roster.enter(*slot, pid.0) {
            log!(target: "mprun", Level::Debug, "the guardian is not told of {stage}: {error}");
        }
        let voice = self.launcher.voice(stage, *worker, version);
        if let Err(error) = self.services.relay.add(*slot, adopted, StderrRelay::of_service(voice)) {
            log!(target: "mprun", Level::Error, "what {stage}[{}] says is not read: {error}", worker.index);
        }
        self.services.all.insert(*slot, service);
    }

    /// It was started by the program before this one.
    pub(super) fn adopt_service(&mut self, service: Service, announces: Option<Probe>) {
        let at = self.services.saved.iter().position(|saved| saved.slot == service.slot.0);
        let saved = at.map(|at| self.services.saved.swap_remove(at));
        match saved.as_ref().map(|saved| Adopted::resume(saved, service.pid.0, announces)) {
            Some(Ok(adopted)) => {
                if adopted.failure.is_none() {
                    self.events.push_back(Event::Ready(service.worker, service.pid));
                }
                self.take_service_in(service, adopted);
            }
            Some(Err(error)) => log!(target: "mprun", Level::Error, "{}: {error}", service.stage),
            None => {
                log!(target: "mprun", Level::Error, "{}: what its process prints is lost, as its pipes did not come over the upgrade; `mprun restart` gives it new ones", service.stage)
            }
        }
    }

    pub(super) fn service_begun(&mut self, slot: SlotId) {
        if let Some(service) = self.services.all.get(&slot) {
            self.events.push_back(Event::Ready(service.worker, service.pid));
        }
    }

    /// Its process is reaped.
    pub(super) fn service_ended(&mut self, slot: SlotId, exit: Exit, left_behind: Vec<String>) {
        self.services.roster.strike(slot);
        let Some(service) = self.services.all.remove(&slot) else { return };
        self.services.checker.uncheck(slot, service.pid);
        let words = self.services.relay.over(slot, matches!(exit, Exit::Code(_)));
        let (stage, index) = (&service.stage, service.worker.index);
        if words.left_out > 0 {
            let text = format!(
                "was ended in the middle of a line: {} left out",
                counted_are(words.left_out as u64, "byte")
            );
            log!(target: "mprun", Level::Warn, "{stage}[{index}] {text}");
        }
        let end = match self.services.verdicts.remove(&slot) {
            Some(end) => end,
            None => self.end_of(&service, exit, &words),
        };
        let end = match words.not_printed {
            Some(errno) => end_without_output(end, errno),
            None => end,
        };
        let LastWords { failure, stderr, is_printed, .. } = words;
        let before = stderr.len().saturating_sub(LAST_LINES);
        let last_stderr = if end.is_failure() { stderr[before..].to_vec() } else { Vec::new() };
        let work =
            ProcessWork { ready: failure.is_none(), last_stderr, left_behind, ..ProcessWork::default() };
        let event = Event::Ended(service.worker, service.pid, end, work);
        match is_printed {
            true => self.events.push_back(event),
            false => drop(self.services.unprinted.insert(slot, event)),
        }
    }

    fn end_of(&self, service: &Service, exit: Exit, words: &LastWords) -> End {
        let Service { worker, stage, version, .. } = service;
        let Some(command) = version.work.command() else { return End::Died(exit) };
        let start = || self.launcher.service_start(stage, *worker, version, None)?.ok();
        let last = words.stderr.iter().rev().find(|line| !line.trim().is_empty()).map(String::as_str);
        match service::end(command, exit, words.failure, start, last) {
            ServiceEnd::Finished => End::Said(Ending::Finished),
            ServiceEnd::Failed(why) => End::Said(Ending::Failed(why)),
            ServiceEnd::CannotStart(why) => End::CannotStart(why),
            ServiceEnd::Killed(why) => End::ProgramKilled(why),
            ServiceEnd::NotNow(why) => End::NotNow(why),
        }
    }

    pub(super) fn service_printed(&mut self, slot: SlotId) {
        self.events.extend(self.services.unprinted.remove(&slot));
    }

    /// Nobody reads it any more, or there is no room for it.
    pub(super) fn service_not_printed(&mut self, slot: SlotId, errno: Errno) {
        if let Some(Event::Ended(worker, pid, end, work)) = self.services.unprinted.remove(&slot) {
            let end = end_without_output(end, errno);
            self.services.relay.forget(slot);
            return self.events.push_back(Event::Ended(worker, pid, end, work));
        }
        let Some(service) = self.services.all.get(&slot) else { return };
        let (worker, pid) = (service.worker, service.pid);
        if errno == Errno::EPIPE {
            return self.events.push_back(Event::OutputClosed(worker, pid));
        }
        self.services.verdicts.insert(slot, lost(errno));
        self.signal(pid, Signal::SIGKILL);
    }

    /// It is killed: whatever it has printed, nobody waits for that any more.
    pub(super) fn wait_no_longer(&mut self, pid: Pid) {
        let is_it = |event: &Event| matches!(event, Event::Ended(_, of, ..) if *of == pid);
        let waiting = &mut self.services.unprinted;
        let slot = waiting.iter().find(|(_, event)| is_it(event)).map(|(slot, _)| *slot);
        if let Some((slot, event)) = slot.and_then(|slot| waiting.remove_entry(&slot)) {
            self.services.relay.forget(slot);
            self.events.push_back(event);
        }
    }

    pub(super) fn suspend_service(&mut self, pid: Pid, on: bool) {
        self.signal(pid, if on { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// Limits that the kernel does not know, if it is time for a look.
    pub(super) fn measure_services(&mut self) {
        let hands = &mut self.services;
        let found = hands.measure(Instant::now());
        self.events.extend(found.outgrown.iter().map(|&(worker, pid)| Event::Outgrown(worker, pid)));
        for (slot, pid, why) in found.forked_too_much {
            self.services.verdicts.insert(slot, End::Said(Ending::Failed(why)));
            self.signal(pid, Signal::SIGKILL);
        }
    }
}

/// Some of what it has printed is not out: nobody reads it any more, or there is no room for it.
fn end_without_output(end: End, errno: Errno) -> End {
    match errno {
        Errno::EPIPE => End::Said(Ending::OutputClosed),
        _ if end.is_failure() => end,
        _ => lost(errno),
    }
}

fn lost(errno: Errno) -> End {
    let error = std::io::Error::from(errno);
    End::Said(Ending::Lost(format!("can't write to standard output: {error}")))
}
