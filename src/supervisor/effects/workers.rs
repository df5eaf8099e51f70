//! Starts workers, gives them orders, and ends them.

use super::performer::Performer;
use crate::config::Tuning;
use crate::queue::{Fault, Order, QueueId, SlotId};
use crate::supervisor::machine::effect::{Effect, Spawn};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::{Pid, WorkerId};
use crate::supervisor::runtime::children::{Auxiliary, Child, Since};
use crate::supervisor::runtime::control::ProgressDisplay;
use crate::supervisor::runtime::guardian::Guardian;
use crate::sys::process::{ProcessGroupMode, SpawnError};
use crate::sys::wait::SignalNumber;
use log::{Level, log};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::io;

impl Performer<'_> {
    pub(super) fn adopt(&mut self, worker: WorkerId, stage: String, slot: SlotId, pid: Pid) {
        let leads = !self.non_leaders.contains(&pid.0);
        self.children.add_resumed(pid.0, Child { worker, slot, leads, since: Since::before() });
        self.launcher.reuse_pipes(worker.stage, &stage);
        self.stages.insert(worker.stage, stage);
    }

    pub(super) fn spawn(&mut self, spawn: &Spawn) {
        self.stages.insert(spawn.worker.stage, spawn.stage.clone());
        self.launcher.reuse_pipes(spawn.worker.stage, &spawn.stage);
        self.replacing.add(self.run.registry, &spawn.stage, &spawn.version.work.task, &spawn.version.folder);
        let event = match self.try_spawn(spawn) {
            Ok(pid) => Event::Spawned(spawn.worker, Pid(pid)),
            Err(error) => Event::SpawnFailed(spawn.worker, error),
        };
        self.events.push_back(event);
    }

    /// The places of workers that start together are there before any of them takes room for items: else one that waits for a place
    /// could wait for those. Where the first ones of a run find none, it is the disk that is too small.
    pub(super) fn reserve_places(&mut self, actions: &[Effect]) {
        let spawns = actions.iter().filter_map(|action| match action {
            Effect::Spawn(spawn) if !spawn.version.is_service() => Some(spawn),
            _ => None,
        });
        // What is in a stage's place that is open already must stay.
        let new_stage = |spawn: &Spawn| {
            spawn.stage_id.filter(|id| self.opened_stages.get(id) != Some(&spawn.worker.stage))
        };
        let places: Vec<_> = spawns.map(|spawn| (spawn.slot, new_stage(spawn))).collect();
        let reserved = self.store.admin.reserve_places(&places);
        let is_first = self.opened_stages.is_empty() && !self.is_resumed;
        match reserved {
            // Each is tried again on its own.
            Err(Fault::DiskFull(..)) if !is_first => {}
            reserved => drop(self.unless_damaged(reserved)),
        }
    }

    fn try_spawn(&mut self, spawn: &Spawn) -> Result<u32, SpawnError> {
        let version = &spawn.version;
        if version.queues().any(|queue| self.unmade.contains(&queue)) {
            return Err(SpawnError::no_room(&Errno::ENOSPC.into()));
        }
        let damaged = SpawnError::preparing(&io::Error::from(Errno::EIO));
        let opened = self.open_stage(spawn);
        let opened = opened.and_then(|()| self.store.admin.open_slot(spawn.slot, &spawn.tuning));
        if let Err(Fault::DiskFull(_, error)) = &opened {
            return Err(SpawnError::no_room(error));
        }
        self.unless_damaged(opened).ok_or(damaged)?;
        let (queues, inputs): (Vec<QueueId>, _) = (version.queues().collect(), version.inputs.len());
        self.admin(|admin| admin.set_queues_of(spawn.slot, &queues, inputs)).ok_or(damaged)?;
        if let Some(id) = spawn.stage_id {
            self.admin(|admin| admin.set_stage_of(spawn.slot, id)).ok_or(damaged)?;
        }
        if spawn.order != Order::Run {
            self.admin(|admin| admin.order(spawn.slot, spawn.order)).ok_or(damaged)?;
        }
        let since = Since::now();
        let reads_stdin = spawn.version.work.reads_stdin(self.run.registry);
        let continues = self.launcher.begun_files.include(
            self.run.registry,
            &spawn.stage,
            &version.work.task,
            &version.folder,
        );
        let pid =
            self.launcher.start(spawn, (reads_stdin, continues), &self.names, self.log_writer.stderr())?;
        let leads = self.launcher.group_mode(reads_stdin) == ProcessGroupMode::OwnGroup;
        self.children.add(pid, Child { worker: spawn.worker, slot: spawn.slot, leads, since });
        self.admin(|admin| admin.set_pid(spawn.slot, pid));
        Ok(pid)
    }

    /// A stage finds its place in the arena empty at the start of its first worker.
    fn open_stage(&mut self, spawn: &Spawn) -> Result<(), Fault> {
        let (Some(id), key) = (spawn.stage_id, spawn.worker.stage) else { return Ok(()) };
        if self.opened_stages.get(&id) != Some(&key) {
            self.store.admin.open_stage(id)?;
            self.opened_stages.insert(id, key);
            self.failing.insert(key, None);
        }
        Ok(())
    }

    pub(super) fn order(&mut self, workers: &[(SlotId, Pid)], order: Order) {
        let slots: Vec<SlotId> = workers.iter().map(|(slot, _)| *slot).collect();
        self.admin(|admin| admin.order_all(&slots, order));
        workers.iter().for_each(|(_, pid)| self.wake_worker(*pid));
    }

    /// All of them have their new settings before the first one wakes: workers of a stage that go by different ones would judge its
    /// failures by turns.
    pub(super) fn tune(&mut self, workers: &[(SlotId, Pid, Tuning)]) {
        let tuned: Vec<_> = workers.iter().map(|(slot, _, tuning)| (*slot, *tuning)).collect();
        self.admin(|admin| admin.tune_all(&tuned));
        workers.iter().for_each(|(_, pid, _)| self.wake_worker(*pid));
    }

    pub(super) fn wake_worker(&mut self, pid: Pid) {
        if let Err(error) = self.children.wake_worker(pid) {
            log!(target: "mprun", Level::Error, "failed to signal process {pid}: {error}");
        }
    }

    /// A stopped process dies of SIGTERM only once it is continued. A worker with a program passes the signal on to it, and
    /// must not wait for anything else any more: hence the order.
    pub(super) fn terminate(&mut self, pid: Pid) {
        if let Some(slot) = self.children.slot(pid) {
            let program = self.store.admin.program(slot);
            // Every order wakes all sleepers of the queues: none that isn't needed.
            if self.unless_damaged(program).flatten().is_some() {
                self.order(&[(slot, pid)], Order::Finish);
            }
        }
        self.signal(pid, self.stop_signal(pid));
        self.signal(pid, Signal::SIGCONT);
    }

    /// A worker knows only SIGTERM; it sends its program what the file says.
    fn stop_signal(&self, pid: Pid) -> SignalNumber {
        let service = self.children.slot(pid).and_then(|slot| self.services.stop_signal(slot, pid));
        service.unwrap_or(Signal::SIGTERM.into())
    }

    pub(super) fn signal(&mut self, pid: Pid, signal: impl Into<SignalNumber>) {
        let signal = signal.into();
        if let Err(error) = self.children.signal(pid, signal) {
            log!(target: "mprun", Level::Error, "failed to send {signal} to process {pid}: {error}");
        }
    }

    pub(super) fn start_log_writer(&mut self) {
        self.services.relay.helper_ended();
        match self.log_writer.start_process() {
            Ok(pid) => self.children.add_auxiliary(pid, Auxiliary::LogWriter),
            // What is logged waits in the pipe.
            Err(_) => self.events.push_back(Event::LogWriterEnded),
        }
    }

    pub(super) fn start_guardian(&mut self) {
        let has_line = self.run.progress.as_ref().is_some_and(ProgressDisplay::is_one_line);
        let (arena, roster) = (self.store.arena.fd(), self.services.roster.fd());
        match Guardian::start(&self.launcher.run, arena, roster, has_line) {
            Ok(guardian) => {
                self.children.add_auxiliary(guardian.pid, Auxiliary::Guardian);
                self.guardian = Some(guardian);
            }
            Err(error) => {
                log!(target: "mprun", Level::Warn, "no guardian process: {error}; a kill -9 of mprun leaves its programs running until one can be started");
                self.events.push_back(Event::GuardianEnded);
            }
        }
    }
}
