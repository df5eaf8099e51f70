//! The pure middle: all that the supervisor knows, and what it decides when something happens.
//!
//! [`State::handle_all`] takes [`Event`]s and the time, and returns [`Effect`]s. It does nothing itself and looks at no
//! clock, so every restart, reload and stop can be tested with plain values.
//!
//! What is *wanted* (the file, a stop) and what *is* (workers, queues) stand apart. An event changes one or the other;
//! then [`State::converge`] takes every step that brings the second nearer to the first. So no order of events can
//! get it stuck half-way: what was not done yet is seen again at the next event.

mod announce;
mod answer;
mod checks;
mod command;
mod converge;
mod exits;
mod failing;
mod halt;
mod link;
mod reload;
mod saving;
mod shared;
mod start_order;
mod stop;
mod transitions;
mod upgrade;
mod view;
mod want;

use super::dead_letters::PendingDeadLetters;
use super::effect::{Effect, Effects};
use super::event::Event;
use super::failing::Failing;
use super::helper::Helper;
use super::history::History;
use super::ids::{Pid, Pool, RequestId, StageKey, WorkerId};
use super::link_state::LinkState;
use super::notifier::{NotifyCapabilities, ServiceNotifier};
use super::phase::{Phase, Upgrade};
use super::pipeline_file::PipelineFile;
use super::queue_state::QueueTable;
use super::recovered::RecoveredQueue;
use super::restart::Stopping;
use super::stage_state::StageState;
use super::totals::StageTotals;
use super::wanted::Wanted;
use super::worker_state::Life;
use crate::control::protocol::Done;
use crate::queue::{MAX_SLOTS, MAX_STAGES, SlotId};
use std::collections::BTreeMap;
use std::ops::RangeFrom;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// All that the supervisor knows.
#[derive(Debug)]
pub(crate) struct State {
    stages: Vec<StageState>,
    queues: QueueTable,
    slots: Pool,
    /// Stages' places in the arena.
    stage_ids: Pool,
    stage_keys: RangeFrom<u32>,
    /// What should run now.
    wanted: Option<Rc<Wanted>>,
    /// What has run as a whole, to go back to: mostly the same.
    good: Option<Rc<Wanted>>,
    phase: Phase,
    upgrade: Option<Upgrade>,
    file: PipelineFile,
    /// All of it is paused, also what comes yet.
    paused: bool,
    requests: PendingRequests,
    /// When to converge again without an event.
    again: Option<Instant>,
    guardian: Helper,
    log_writer: Helper,
    checker: Helper,
    link: LinkState,
    /// Dead letters of dead workers that are not written yet.
    dead_letters: PendingDeadLetters,
    /// Stages in which different items fail one after the other.
    failing: BTreeMap<StageKey, Failing>,
    /// Since when stages were failing at an upgrade, until the queues' memory says whether they are.
    failing_before: BTreeMap<StageKey, Instant>,
    counters: Counters,
    /// Of an earlier run that was killed, by stage, until the stage is there.
    perhaps_lost_before: BTreeMap<String, u64>,
    /// What stages did that are gone.
    removed_totals: Vec<StageTotals>,
    failed: bool,
    /// Items in the queues at a stop are there for the next run.
    keeps: bool,
    retrying: Retrying,
    history: History,
    notifier: ServiceNotifier,
    random: fastrand::Rng,
}

/// What the status shows of the run as a whole.
#[derive(Debug, Default)]
struct Counters {
    /// Files that were taken over as a whole.
    generation: u64,
    /// Programs that took over from one another in this run.
    upgrades: u64,
}

/// Whether dead letters are put back in place of what sources emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retrying {
    No,
    /// More may come.
    UnderWay,
    /// All have come.
    Over,
}

/// Requests that are not answered yet.
#[derive(Debug, Default)]
struct PendingRequests {
    /// For the file to be read; and whether they wait for all of the reload.
    loads: Vec<(RequestId, bool)>,
    /// For a reload to end; with what it will do.
    reloads: Vec<(RequestId, Vec<String>)>,
    /// For a stage to be as wanted; with what was done.
    stages: Vec<(RequestId, StageKey, Done)>,
    /// For a stage, or all, to have come to rest; with what was done.
    pauses: Vec<(RequestId, Option<StageKey>, Done)>,
}

impl PendingRequests {
    fn count(&self) -> usize {
        self.loads.len() + self.reloads.len() + self.stages.len() + self.pauses.len()
    }
}

impl State {
    /// Nothing runs yet. `seed` is for the jitter of restarts.
    pub(crate) fn new(seed: u64, capabilities: NotifyCapabilities) -> State {
        State {
            stages: Vec::new(),
            queues: QueueTable::new(),
            slots: Pool::new(u16::try_from(MAX_SLOTS).unwrap_or(u16::MAX)),
            stage_ids: Pool::new(u16::try_from(MAX_STAGES).unwrap_or(u16::MAX)),
            stage_keys: 1..,
            wanted: None,
            good: None,
            phase: Phase::default(),
            upgrade: None,
            file: PipelineFile::default(),
            paused: false,
            requests: PendingRequests::default(),
            again: None,
            guardian: Helper::default(),
            log_writer: Helper::default(),
            checker: Helper::default(),
            link: LinkState::default(),
            dead_letters: PendingDeadLetters::default(),
            failing: BTreeMap::new(),
            failing_before: BTreeMap::new(),
            counters: Counters::default(),
            perhaps_lost_before: BTreeMap::new(),
            removed_totals: Vec::new(),
            failed: false,
            keeps: false,
            retrying: Retrying::No,
            history: History::default(),
            notifier: ServiceNotifier::new(capabilities),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes in recovered queues. `keeps`: items at a stop are there for the next run.
    pub(crate) fn recover(&mut self, recovered: Vec<RecoveredQueue>, keeps: bool) {
        self.queues.recover(recovered);
        self.keeps = keeps;
    }

    /// Takes in what programs of an earlier run had in hand when that was killed, by stage.
    pub(crate) fn note_perhaps_lost(&mut self, by_stage: BTreeMap<String, u64>) {
        self.perhaps_lost_before = by_stage;
    }

    /// Dead letters are put back until `Event::RetriesDone`: no queue has ended before.
    pub(crate) fn begin_retries(&mut self) {
        self.retrying = Retrying::UnderWay;
    }

    /// What to do about `event`, which happened at `now`.
    #[cfg(test)]
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        self.handle_all([event], now)
    }

    /// What to do about events, in this order, all of which happened until `now`.
    pub(crate) fn handle_all(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        now: Instant,
    ) -> Vec<Effect> {
        let mut out = Effects::new(now, std::mem::take(&mut self.history));
        self.try_upgrade_again();
        let mut may_start = false;
        for event in events {
            // The answers to starts come in between; they don't earn another batch of them.
            may_start |=
                !matches!(event, Event::Spawned(..) | Event::SpawnFailed(..) | Event::NotStarted(..));
            self.take_in(event, &mut out);
        }
        self.converge(may_start, &mut out);
        if !self.phase.is_over() {
            self.advance_upgrade(&mut out);
        }
        self.history = out.history;
        out.list
    }

    /// When [`Event::Deadline`] is due, unless something else happens first.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.phase.is_over() {
            return None;
        }
        let stages = self.stages.iter().filter_map(StageState::deadline).min();
        let others = [
            self.file.deadline(),
            self.guardian.due(),
            self.log_writer.due(),
            self.checker.due(),
            self.link.due(),
            self.reload_deadline(),
            self.upgrade_deadline(),
            self.stop_deadline(),
            self.notifier.deadline(),
            self.dead_letters.deadline(),
            self.failing_deadline(),
            self.again,
            stages,
        ];
        others.into_iter().flatten().min()
    }

    /// The workers from which something is expected: that their stage is built, or that they have come to rest.
    pub(crate) fn awaited(&self) -> Vec<(WorkerId, Pid, SlotId)> {
        let mut awaited = Vec::new();
        for stage in &self.stages {
            for worker in &stage.workers {
                if let Life::Alive(process) = worker.life
                    && !worker.is_service
                    && (!process.ready || stage.paused && !worker.at_rest)
                {
                    let id = WorkerId { stage: stage.key, index: worker.index };
                    awaited.push((id, process.pid, process.slot));
                }
            }
        }
        awaited
    }

    fn take_in(&mut self, event: Event, out: &mut Effects) {
        match event {
            Event::Begin(wanted) => self.begin(wanted, out),
            Event::Resume(wanted, saved) => self.resume(wanted, *saved, out),
            Event::Upgrade => self.upgrade_requested(None, out),
            Event::Terminate => self.stop_requested("SIGTERM", false, out),
            Event::Interrupt => self.stop_requested("SIGINT", true, out),
            Event::Quit => self.quit_requested(out),
            Event::Hangup => self.reload_requested(out),
            Event::HungUp => self.stop_requested("SIGHUP", false, out),
            Event::TerminalGone => self.terminal_gone(out),
            Event::FileTouched => self.file.touched(out.now),
            Event::PreflightDone(outcome) => self.preflight_done(outcome, out),
            Event::NotReplaced(why) => self.not_replaced(why, out),
            Event::Loaded(loading) => self.loaded(loading, out),
            Event::Asked(id, command) => self.handle_request(id, command, out),
            Event::Spawned(worker, pid) => self.spawned(worker, pid, out),
            Event::SpawnFailed(worker, error) => self.spawn_failed(worker, error, out),
            Event::NotStarted(worker, end) => self.not_started(worker, end, out),
            Event::Outgrown(worker, pid) => self.outgrown(worker, pid, out),
            Event::OutputClosed(worker, pid) => self.output_closed(worker, pid, out),
            Event::Ready(worker, pid) => self.ready(worker, pid, out),
            Event::AtRest(worker, pid) => self.at_rest(worker, pid),
            Event::Ended(worker, pid, end, work) => self.worker_ended(worker, pid, end, work, out),
            Event::Suspended { worker, pid, holds_lock } => self.suspended(worker, pid, holds_lock, out),
            Event::Failing(stage, news) => self.failing(stage, news, out),
            Event::QueuesRemoved(queues) => queues.into_iter().for_each(|queue| self.queue_removed(queue)),
            Event::QueueHolds(queue, items) => self.queue_holds(queue, items, out),
            Event::DeadLetterWritten(slot) => {
                if self.dead_letters.written(slot) {
                    self.slots.give(slot.0);
                }
            }
            Event::DeadLetterFailed(slot, why) => self.dead_letters.failed(slot, why, out),
            Event::RetriesDone(all) => {
                self.retrying = Retrying::Over;
                self.failed |= !all;
            }
            Event::GuardianEnded => {
                self.guardian.ended(out.now);
                let then = self.guardian.next_start(out.now);
                let text = format!(
                    "the guardian, which ends all processes if mprun is killed, has ended: another one starts {then}"
                );
                out.log(log::Level::Warn, text);
            }
            Event::LogWriterEnded => self.log_writer.ended(out.now),
            Event::Found(worker, pid, finding) => self.found(worker, pid, finding, out),
            Event::CheckerEnded => {
                self.checker.ended(out.now);
                let then = self.checker.next_start(out.now);
                let text = format!(
                    "the process that makes checks has ended: another one starts {then}, and checks begin anew; no service is restarted for it"
                );
                out.log(log::Level::Warn, text);
            }
            Event::LinkNews(news) => self.link_news(news, out),
            Event::LinkSuspended { pid, holds_lock } => self.link_suspended(pid, holds_lock, out),
            Event::LinkEnded(exit) => self.link_ended(exit, out),
            Event::Damaged(what) => self.damaged(&what, out),
            Event::NoRoom(what) => self.no_room(what, out),
            Event::NextRun(key, at) => {
                let stage = self.stages.iter_mut().find(|stage| stage.key == key);
                stage.into_iter().for_each(|stage| stage.next_run(at));
            }
            Event::ClockSet => self.stages.iter().for_each(|stage| stage.ask_for_time(out)),
            Event::Deadline => {}
        }
    }

    fn stopping(&self) -> Stopping {
        self.phase.stop().map_or(Stopping::No, |stop| stop.phase)
    }

    /// 0.5 ..= 1.
    fn jitter(&mut self) -> f64 {
        0.5 + self.random.f64() / 2.0
    }

    fn drain_timeout(&self) -> Duration {
        self.wanted.as_ref().map_or(Duration::ZERO, |wanted| wanted.pipeline.drain_timeout)
    }

    fn start_guardian(&mut self, out: &mut Effects) {
        self.guardian.start(out.now);
        out.push(Effect::StartGuardian);
    }

    fn stage_at(&self, worker: WorkerId) -> Option<(usize, usize)> {
        let s = self.stages.iter().position(|stage| stage.key == worker.stage)?;
        Some((s, self.stages[s].find(worker.index)?))
    }

    fn new_key(&mut self) -> StageKey {
        StageKey(self.stage_keys.next().unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests;
