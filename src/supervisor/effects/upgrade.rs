//! The program on the disk goes on in this very process: same pid, same workers, same queues.
//!
//! | killed, or it fails … | left behind | why that's fine |
//! |---|---|---|
//! | in the preflight, or it never ends | this program, at work | it is an errand, a process of its own with a time limit, and only reads |
//! | with signals held back, before the exec | this program | they are let in again; what came in meanwhile is put back |
//! | a SIGTERM between the last look and the exec | pending | the next program gets it as soon as it listens |
//! | the relay of services, held from the look at its table to the exec | their pipes, their half lines | all go to the next program; nothing is read in between |
//! | the next program, before it has read what is left | workers | as when a supervisor is killed: they die, the guardian cleans up, kept queues go on |

use super::performer::{Performer, Purpose};
use crate::logs::sink;
use crate::service;
use crate::supervisor::machine::event::{Event, NotReplaced};
use crate::supervisor::machine::saved::SavedMachine;
use crate::supervisor::recovery::upgrade_state::{PREFLIGHT_FDS, PREFLIGHT_OK, UpgradeState, VARIABLE};
use crate::supervisor::runtime::environment;
use crate::supervisor::runtime::errand::{Ended, Errand, Start};
use crate::supervisor::runtime::inbox::Notice;
use crate::supervisor::runtime::services::Held;
use crate::sys::wait::Exit;
use crate::sys::{fd, reexec, start_signals};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

impl Performer<'_> {
    /// Asks the program on the disk, in a process of its own, whether it understands the command line, what it would
    /// get, the file and the queues.
    pub(in crate::supervisor) fn preflight(&mut self, machine: SavedMachine) {
        if let Err(why) = self.try_preflight(machine) {
            self.events.push_back(Event::PreflightDone(Err(why)));
        }
    }

    fn try_preflight(&mut self, machine: SavedMachine) -> Result<(), String> {
        let program = program_on_disk().map_err(|error| format!("no program to execute: {error}"))?;
        let memory = self.memory(machine, &self.services.relay.hold())?;
        let [upgrade_state, arena] = PREFLIGHT_FDS;
        let words = [CString::new(reexec::VERB).unwrap_or_default(), program.clone()];
        let start = Start {
            arguments: words.into_iter().chain(arguments(Some("__rehearse"))).collect(),
            descriptors: &[(memory.as_fd(), upgrade_state), (self.store.arena.fd(), arena)],
            environment: &variables(None),
            stderr: None,
        };
        let errand = Errand::start(Purpose::Preflight(program), start).map_err(|error| error.to_string())?;
        self.add_errand(errand);
        Ok(())
    }

    /// What the program has said to it.
    pub(super) fn preflight_done(&mut self, program: CString, ended: &Ended, answer: &str) {
        let last = answer.trim_end().lines().last().unwrap_or_default().trim();
        let outcome = match ended {
            Ended::Exit(Exit::Code(0)) if last.ends_with(PREFLIGHT_OK) => {
                self.next_program = Some(program);
                Ok(())
            }
            _ if last.starts_with(reexec::NOT_EXECUTED) => Err(last.to_owned()),
            ended => Err(refusal(&program, &ended.to_string(), last)),
        };
        self.events.push_back(Event::PreflightDone(outcome));
    }

    /// Returns only if the other program has not taken over.
    pub(in crate::supervisor) fn replace_program(&mut self, machine: SavedMachine) {
        let why = match self.try_to_replace(machine) {
            Ok(why) => why,
            Err(why) => NotReplaced::Failed(why),
        };
        self.events.push_back(Event::NotReplaced(why));
    }

    fn try_to_replace(&mut self, machine: SavedMachine) -> Result<NotReplaced, String> {
        let program = self.next_program.clone().ok_or("no program was tried")?;
        if self.services.are_busy() {
            return Ok(NotReplaced::Interrupted);
        }
        let before = hold_signals().map_err(|error| format!("signals can't be held back: {error}"))?;
        let failed = self.replace(&program, machine);
        let _ = before.thread_set_mask();
        failed
    }

    fn memory(&self, machine: SavedMachine, held: &Held<'_>) -> Result<OwnedFd, String> {
        let memory = serde_json::to_vec(&self.upgrade_state(machine, held)).map_err(io::Error::from);
        let memory = memory.and_then(|text| fd::sealed(c"mprun-handover", &text));
        memory.map_err(|error| format!("nothing can be handed over: {error}"))
    }

    fn upgrade_state(&self, machine: SavedMachine, held: &Held<'_>) -> UpgradeState {
        let launcher = &self.launcher;
        let numbers = |pipes: &[OwnedFd; 2]| [pipes[0].as_raw_fd(), pipes[1].as_raw_fd()];
        let named = self
            .stages
            .iter()
            .filter_map(|(key, name)| Some((name.clone(), numbers(launcher.holding_pipes.get(key)?))));
        UpgradeState {
            run: launcher.run.clone(),
            continues: !launcher.begun_files.is_none(),
            replacing: self.replacing.paths(),
            age: self.identity.started.elapsed(),
            machine,
            guardian: self.guardian.as_ref().map(|guardian| (guardian.pid, guardian.alive.as_raw_fd())),
            preexisting: self.children.preexisting(),
            non_leaders: self.children.non_leaders(),
            dead_before: self.dead.before,
            dead_by_stage: self.dead.by_stage.clone(),
            ends_with_terminal: self.ends_with_terminal,
            arena: self.store.arena.fd().as_raw_fd(),
            undo_log: launcher.undo_log.fd().as_raw_fd(),
            log_pipe: Some(numbers(self.log_writer.ends())),
            log_writer: self.log_writer.process(),
            log_backlog: sink::backlog(),
            listeners: [
                self.listeners.control.as_ref().map(AsRawFd::as_raw_fd),
                self.listeners.metrics.as_ref().map(AsRawFd::as_raw_fd),
            ],
            web_listener: self.listeners.web.as_ref().map(AsRawFd::as_raw_fd),
            locks: self.locks.iter().map(AsRawFd::as_raw_fd).collect(),
            services: Some(self.services.save(held)),
            holding_pipes: named.collect(),
        }
    }

    fn replace(&mut self, program: &CString, machine: SavedMachine) -> Result<NotReplaced, String> {
        let came = self.inbox.drain().map_err(|error| format!("signals don't come through: {error}"))?;
        let is_looked_up = |notice: &Notice| {
            matches!(notice, Notice::Child | Notice::WorkerSignal | Notice::FileTouched | Notice::ClockSet)
        };
        let is_free = came.iter().all(is_looked_up);
        came.into_iter().for_each(|notice| self.inbox.put_back(notice));
        if !is_free {
            return Ok(NotReplaced::Interrupted);
        }
        self.adopt_late_listeners();
        start_signals::block_all().map_err(|error| format!("signals can't be held back: {error}"))?;
        // What services say from here on waits in their pipes.
        let held = self.services.relay.hold();
        let memory = self.memory(machine, &held)?;
        let failed = self
            .pass_on(&memory, &held)
            .and_then(|number| reexec::replace(program, &arguments(None), &variables(Some(number))));
        self.keep_back(&held);
        drop(held);
        match failed {
            Ok(never) => match never {},
            Err(error) => Err(format!("failed to execute {}: {error}", program.to_string_lossy())),
        }
    }

    fn pass_on(&self, memory: &OwnedFd, held: &Held<'_>) -> io::Result<i32> {
        for fd in self.to_pass_on(held) {
            reexec::pass_on(fd)?;
        }
        reexec::pass_on(memory)
    }

    fn keep_back(&self, held: &Held<'_>) {
        for fd in self.to_pass_on(held) {
            let _ = reexec::keep_back(fd);
        }
    }

    fn to_pass_on<'a>(&'a self, held: &'a Held<'_>) -> Vec<BorrowedFd<'a>> {
        let launcher = &self.launcher;
        let pipes = launcher.holding_pipes.values().flatten().map(AsFd::as_fd);
        let log_pipe = self.log_writer.ends().iter().map(AsFd::as_fd);
        let alive = self.guardian.iter().map(|guardian| guardian.alive.as_fd());
        let control = self.listeners.control.iter().map(AsFd::as_fd);
        let metrics = self.listeners.metrics.iter().map(AsFd::as_fd);
        pipes
            .chain(log_pipe)
            .chain(alive)
            .chain(control)
            .chain(metrics)
            .chain(self.listeners.web.iter().map(AsFd::as_fd))
            .chain(self.locks.iter().map(AsFd::as_fd))
            .chain(held.descriptors())
            .chain([self.store.arena.fd(), launcher.undo_log.fd(), self.services.roster.fd()])
            .collect()
    }
}

/// Why not: its last line, which explains more than its exit.
fn refusal(program: &CStr, ended: &str, said: &str) -> String {
    let said = if said.is_empty() { "nothing said" } else { said };
    format!("{} can't go on from here ({ended}): {said}", program.to_string_lossy())
}

/// The file that this program was started from, or what has taken its place.
fn program_on_disk() -> io::Result<CString> {
    let link = std::fs::read_link("/proc/self/exe")?;
    let path = match link.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) if !link.exists() => PathBuf::from(OsStr::from_bytes(path)),
        _ => link,
    };
    Ok(CString::new(path.into_os_string().into_vec())?)
}

/// Those of this program, with one word more in the second place.
fn arguments(word: Option<&str>) -> Vec<CString> {
    let mut all: Vec<Vec<u8>> = std::env::args_os().map(OsStringExt::into_vec).collect();
    if let Some(word) = word {
        all.insert(1.min(all.len()), word.as_bytes().to_vec());
    }
    all.into_iter().filter_map(|argument| CString::new(argument).ok()).collect()
}

/// This program's; the descriptors of the service manager were taken, and their numbers are others' now.
fn variables(upgrade_state: Option<i32>) -> Vec<CString> {
    // A preflight sends no notification.
    let is_preflight = upgrade_state.is_none();
    let is_kept = |name: &OsStr| {
        let is_stale = name.as_bytes().starts_with(b"LISTEN_") || name == VARIABLE;
        !(is_stale || is_preflight && service::is_for_this_process_only(name.as_bytes()))
    };
    let upgrade_state = upgrade_state.and_then(|number| CString::new(format!("{VARIABLE}={number}")).ok());
    environment::kept(is_kept).chain(upgrade_state).collect()
}

/// All but the mark by which [`Inbox::drain`](crate::supervisor::runtime::inbox::Inbox::drain) sees that all have come through.
fn hold_signals() -> io::Result<SigSet> {
    let mut held = SigSet::all();
    held.remove(Signal::SIGUSR2);
    Ok(held.thread_swap_mask(SigmaskHow::SIG_SETMASK)?)
}
