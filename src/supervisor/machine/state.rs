//! The pure middle: all that the supervisor knows, and what it decides when something happens.
//!
//! [`State::handle`] takes an [`Event`] and the time, and returns [`Effect`]s. It does nothing itself and looks at no
//! clock, so every restart, reload and stop can be tested with plain values.
//!
//! What is *wanted* (the file, a stop) and what *is* (workers, queues) stand apart. An event changes one or the other;
//! then [`State::converge`] takes every step that brings the second nearer to the first. So no order of events can
//! get it stuck half-way: what was not done yet is seen again at the next event.

mod command;
mod dead_letters;
mod debounce;
mod exits;
pub mod notify;
mod reload;
mod stop;
mod transitions;
pub mod upgrade;
pub mod view;

use super::effect::{Effect, Outcome, StageTotals};
use super::effects::Effects;
use super::event::Event;
use super::history::History;
use super::ids::{Pid, Pool, StageKey, WorkerId};
use super::queue_state::{QueueTable, Reopened};
use super::reason::{StartReason, StopReason};
use super::recovered::RecoveredQueue;
use super::restart::Stopping;
use super::stage_state::{Fate, StageState, Verdict};
use super::wanted::Wanted;
use super::worker_state::{Life, Over};
use crate::queue::{MAX_SLOTS, SlotId};
use debounce::Debounce;
pub use notify::NotifyCapabilities;
use notify::ServiceNotifier;
use reload::Reload;
use std::time::{Duration, Instant};
use stop::Stop;
pub use upgrade::SavedMachine;

/// Starts that are done before the next event is looked at: a thousand forks must not make a Ctrl-C wait.
const STARTS_AT_ONCE: usize = 32;

/// A helper that ends this soon is not started again before this time is over,
const HELPER_DELAY: Duration = Duration::from_secs(1);
/// and before twice as long each time, up to this.
const MAX_HELPER_DELAY: Duration = Duration::from_secs(60);

/// All that the supervisor knows.
#[derive(Debug)]
pub struct State {
    stages: Vec<StageState>,
    queues: QueueTable,
    slots: Pool,
    next_stage: u32,
    /// What should run now.
    wanted: Option<Wanted>,
    /// What has run as a whole, to go back to.
    good: Option<Wanted>,
    reload: Option<Reload>,
    debounce: Debounce,
    stop: Option<Stop>,
    /// All of it is paused, also what comes yet.
    paused: bool,
    waiting: command::PendingRequests,
    /// More workers could be started at once.
    starts_left: bool,
    guardian: Helper,
    log_writer: Helper,
    upgrade: Option<upgrade::Upgrade>,
    /// Dead letters of dead workers that are not written yet.
    dead_letters: dead_letters::PendingDeadLetters,
    /// When to go on with what had no end.
    unsettled: Option<Instant>,
    /// Files that were taken over as a whole.
    generation: u64,
    /// Programs that took over from one another in this run.
    upgrades: u64,
    /// Why the last changed file was not taken over, and when.
    refusal: Option<(Instant, String)>,
    /// What stages did that are gone.
    removed_totals: Vec<StageTotals>,
    failed: bool,
    ended: bool,
    /// What is left in the queues at a stop is there for the next run.
    keeps: bool,
    /// Dead letters that are put back: sources are off.
    retrying: Retrying,
    history: History,
    notifier: ServiceNotifier,
    random: fastrand::Rng,
}

/// Whether dead letters come in place of what sources emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retrying {
    /// No.
    None,
    /// More may come.
    UnderWay,
    /// All have come.
    Over,
}
/// How long the supervisor leaves alone what does not settle.
const UNSETTLED_DELAY: Duration = Duration::from_secs(1);

/// A helper process that is replaced when it ends, but not in a circle.
#[derive(Debug, Default)]
struct Helper {
    started: Option<Instant>,
    due: Option<Instant>,
    /// From its start to the next one, if it does not live: longer each time.
    rest: Duration,
}

impl Helper {
    fn start(&mut self, now: Instant) {
        *self = Helper { started: Some(now), due: None, rest: self.rest };
    }

    fn ended(&mut self, now: Instant) {
        if self.due.is_some() {
            return;
        }
        let lived =
            self.started.is_none_or(|started| now.saturating_duration_since(started) >= MAX_HELPER_DELAY);
        let rest = if lived { HELPER_DELAY } else { self.rest.max(HELPER_DELAY) };
        let soonest = self.started.map_or(now, |started| started + rest);
        self.due = Some(soonest.max(now));
        self.rest = (rest * 2).min(MAX_HELPER_DELAY);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

impl State {
    /// Nothing runs yet. `seed` is for the jitter of restarts.
    pub fn new(seed: u64, capabilities: NotifyCapabilities) -> State {
        State {
            stages: Vec::new(),
            queues: QueueTable::new(),
            slots: Pool::new(u16::try_from(MAX_SLOTS).unwrap_or(u16::MAX)),
            next_stage: 0,
            wanted: None,
            good: None,
            reload: None,
            debounce: Debounce::default(),
            stop: None,
            paused: false,
            waiting: command::PendingRequests::default(),
            starts_left: false,
            guardian: Helper::default(),
            log_writer: Helper::default(),
            upgrade: None,
            dead_letters: dead_letters::PendingDeadLetters::default(),
            unsettled: None,
            generation: 0,
            upgrades: 0,
            refusal: None,
            removed_totals: Vec::new(),
            failed: false,
            ended: false,
            keeps: false,
            retrying: Retrying::None,
            history: History::default(),
            notifier: ServiceNotifier::for_audience(capabilities),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Goes on with what an earlier run has left. `keeps`: what is left at a stop is there for the next run.
    pub fn recover(&mut self, recovered: Vec<RecoveredQueue>, keeps: bool) {
        self.queues.recover(recovered);
        self.keeps = keeps;
    }

    /// Dead letters are put back until `Event::RetriesDone`: no queue has ended before.
    pub fn begin_retries(&mut self) {
        self.retrying = Retrying::UnderWay;
    }

    /// What to do about `event`, which happened at `now`.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut out = Effects::new(now, std::mem::take(&mut self.history));
        // The answers to starts come in between; they don't earn another batch of them.
        let may_start = !matches!(event, Event::Spawned(..) | Event::SpawnFailed(..));
        self.try_upgrade_again();
        self.take_in(event, &mut out);
        self.converge(may_start, &mut out);
        if !self.ended {
            self.advance_upgrade(&mut out);
        }
        self.history = out.history;
        out.actions
    }

    /// When [`Event::Deadline`] is due, unless something else happens first.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let stages = self.stages.iter().filter_map(StageState::deadline).min();
        let others = [
            self.debounce.deadline(),
            self.guardian.due,
            self.log_writer.due,
            self.reload_deadline(),
            self.upgrade_deadline(),
            self.stop_deadline(),
            self.notifier.deadline(),
            self.dead_letters.deadline(),
            self.unsettled,
        ];
        let starts = self.starts_left.then_some(now);
        others.into_iter().chain([stages, starts]).flatten().min()
    }

    /// The workers from which something is expected: that their stage is built, or that they have come to rest.
    pub fn awaited(&self) -> Vec<(WorkerId, Pid, SlotId)> {
        let mut awaited = Vec::new();
        for stage in &self.stages {
            for worker in &stage.workers {
                if let Life::Alive(process) = worker.life
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
            Event::Resume(wanted, left) => self.resume(wanted, *left, out),
            Event::Upgrade => self.upgrade_requested(None, out),
            Event::Terminate => self.stop_requested("SIGTERM", false, out),
            Event::Interrupt => self.stop_requested("SIGINT", true, out),
            Event::Quit => self.quit_requested(out),
            Event::Hangup => self.reload_requested(out),
            Event::TerminalGone => self.terminal_gone(out),
            Event::FileTouched => self.debounce.touched(out.now),
            Event::PreflightDone(outcome) => self.preflight_done(outcome, out),
            Event::NotReplaced(why) => self.not_replaced(why, out),
            Event::Loaded(loading) => self.loaded(loading, out),
            Event::Asked(id, command) => self.handle_request(id, command, out),
            Event::Spawned(worker, pid) => self.spawned(worker, pid, out),
            Event::SpawnFailed(worker, error) => self.spawn_failed(worker, error, out),
            Event::Ready(worker, pid) => self.ready(worker, pid, out),
            Event::AtRest(worker, pid) => self.at_rest(worker, pid),
            Event::Ended(worker, pid, end, work) => self.worker_ended(worker, pid, end, work, out),
            Event::Halted { worker, pid, holds_lock } => self.halted(worker, pid, holds_lock, out),
            Event::QueuesRemoved(queues) => queues.into_iter().for_each(|queue| self.queue_removed(queue)),
            Event::QueueHolds(queue, items) => self.queue_holds(queue, items, out),
            Event::DeadLetterWritten(slot) => self.dead_letter_written(slot),
            Event::DeadLetterFailed(slot, why) => self.dead_letter_failed(slot, why, out),
            Event::RetriesDone(all) => {
                self.retrying = Retrying::Over;
                self.failed |= !all;
            }
            Event::GuardianEnded => {
                self.guardian.ended(out.now);
                out.say(log::Level::Debug, "the guardian process is gone: starting another one");
            }
            Event::LogWriterEnded => self.log_writer.ended(out.now),
            Event::Damaged(what) => self.damaged(&what, out),
            Event::NoRoom(what) => self.no_room(what, out),
            Event::Deadline => {}
        }
    }

    /// Brings what is nearer to what is wanted.
    fn converge(&mut self, may_start: bool, out: &mut Effects) {
        if self.ended {
            return;
        }
        self.pass_time(out);
        // One step may be what another one waits for, which stands before it: a stage that is revived gives its readers
        // work, one that gives up stops the others. So until a round has nothing to do.
        self.unsettled = None;
        let most = self.most_rounds();
        if !settles_within(most, out, |out| self.converge_once(out)) {
            debug_assert!(false, "{most} rounds, and still something to do: {:?}", out.actions);
            // A fault of this program; but a supervisor that goes round for ever helps nobody.
            let text = format!(
                "what follows from this has no end: going on in {UNSETTLED_DELAY:?} (a bug in mprun)"
            );
            out.say(log::Level::Error, text);
            self.unsettled = Some(out.now + UNSETTLED_DELAY);
        }
        self.answer_waiting(out);
        self.start_due(if may_start { STARTS_AT_ONCE } else { 0 }, out);
        self.announce(out);
        self.end_if_over(out);
    }

    /// A step of one stage or queue lets at most its neighbours take theirs, so it is as many rounds as there are links
    /// in the longest way through the pipeline, there and back; and some for what a reload ends and begins.
    fn most_rounds(&self) -> usize {
        16 + 4 * (self.stages.len() + self.queues.len())
    }

    fn converge_once(&mut self, out: &mut Effects) {
        match self.stopping() {
            Stopping::No => self.converge_stages(out),
            Stopping::Draining => self.drain(out),
            Stopping::Killing => self.clear(out),
        }
        // A queue that the next run goes on with has not ended because this one stops.
        if !(self.keeps && self.stop.is_some()) {
            self.settle_queues(out);
        }
        self.finish_reload(out);
    }

    fn pass_time(&mut self, out: &mut Effects) {
        self.stages.iter_mut().for_each(|stage| stage.tick(out));
        if self.guardian.is_due(out.now) {
            self.start_guardian(out);
        }
        if self.log_writer.is_due(out.now) {
            self.log_writer.start(out.now);
            out.act(Effect::StartLogWriter);
        }
        if self.debounce.is_due(out.now) {
            self.debounce.done();
            if self.stop.is_none() {
                self.read_file(out);
            }
        }
        self.pass_reload_time(out);
        self.pass_stop_time(out);
        self.pass_notifier_time(out);
        self.pass_dead_letter_time(out);
    }

    fn converge_stages(&mut self, out: &mut Effects) {
        let until = out.now + self.drain_timeout();
        for i in 0..self.stages.len() {
            self.start_over_if_through(i, out);
            let stage = &mut self.stages[i];
            match stage.fate {
                Fate::Wanted => {
                    stage.skip_pauses(false, out);
                    stage.scale(out);
                    stage.roll(out);
                    stage.end_if_output_closed(out);
                }
                Fate::Removed { drains: true } => stage.skip_pauses(true, out),
                Fate::Removed { drains: false } => stage.remove_all_workers(until, out),
                Fate::GaveUp => finish_given_up(stage, out),
            }
        }
        self.give_up_what_failed(out);
    }

    fn start_over_if_through(&mut self, i: usize, out: &mut Effects) {
        if !self.stages[i].starts_over() {
            return;
        }
        let jitter = self.jitter();
        let stage = &mut self.stages[i];
        match stage.start_over(jitter, out) {
            Verdict::GaveUp => self.give_up(i, out),
            Verdict::Fine | Verdict::TrialFailed | Verdict::CannotStart => {
                out.actions.extend(stage.version.token.map(Effect::ResetToken));
            }
        }
    }

    fn settle_queues(&mut self, out: &mut Effects) {
        let is_fed = self.retrying == Retrying::UnderWay;
        let reopened = self.queues.settle(&self.stages, is_fed, out);
        // What was reopened just now gets its readers or writers back first.
        if reopened.is_empty() {
            self.end_stages_without_readers(out);
        }
        for reopened in reopened {
            for stage in self.stages.iter_mut().filter(|stage| stage.fate == Fate::Wanted) {
                match reopened {
                    Reopened::ForReaders(queue) if stage.version.inputs.contains(&queue) => {
                        stage.revive(Over::InputEnded, StartReason::WorkAgain);
                    }
                    Reopened::ForWriters(queue) if stage.version.outputs.contains(&queue) => {
                        stage.output_reopened(out);
                    }
                    Reopened::ForReaders(_) | Reopened::ForWriters(_) => {}
                }
            }
        }
    }

    /// A writer would hear from the queue that nobody reads it, but only when it puts again: one that waits for input
    /// might never.
    fn end_stages_without_readers(&mut self, out: &mut Effects) {
        for stage in self.stages.iter_mut().filter(|stage| stage.fate == Fate::Wanted) {
            let outputs = &stage.version.outputs;
            if !outputs.is_empty() && outputs.iter().all(|&queue| self.queues.is_closed(queue)) {
                stage.finish_all(StopReason::OutputClosed, Over::OutputClosed, None, out);
            }
        }
    }

    fn start_due(&mut self, mut budget: usize, out: &mut Effects) {
        self.starts_left = false;
        for stage in &mut self.stages {
            for i in 0..stage.workers.len() {
                if !matches!(stage.workers[i].life, Life::Due(_)) {
                    continue;
                }
                if self.slots.left() == 0 {
                    return; // this is looked at again when a worker ends
                }
                if budget == 0 {
                    self.starts_left = true;
                    return;
                }
                let Some(slot) = self.slots.take() else { return };
                budget -= 1;
                stage.start(i, SlotId(slot), out);
            }
        }
    }

    fn end_if_over(&mut self, out: &mut Effects) {
        let through = self.stages.iter().all(StageState::is_over);
        let begun = self.wanted.is_some() || self.stop.is_some();
        if !(through && begun && self.reload.is_none()) {
            return;
        }
        // Their items are in no queue's count of what is done; only who is told to stop at once leaves them.
        if !self.dead_letters.is_empty() && self.stopping() != Stopping::Killing {
            return;
        }
        self.report_unwritten(out);
        self.announce_stop(out);
        self.ended = true;
        self.answer_waiting(out);
        let mut stages = std::mem::take(&mut self.removed_totals);
        stages.extend(self.stages.iter().map(|stage| stage.totals.clone()));
        let stopped = self.stop.take().map(|stop| stop.cause);
        // Where sources were off, their positions are what the next run goes on from.
        let keeps_positions = self.retrying != Retrying::None && self.queues.hold_positions();
        let retains_items = self.queues.hold_items() || keeps_positions;
        out.act(Effect::End(Outcome { stopped, failed: self.failed, retains_items, stages }));
    }

    fn stopping(&self) -> Stopping {
        self.stop.as_ref().map_or(Stopping::No, |stop| stop.phase)
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
        out.act(Effect::StartGuardian);
    }

    fn stage_at(&self, worker: WorkerId) -> Option<(usize, usize)> {
        let s = self.stages.iter().position(|stage| stage.key == worker.stage)?;
        Some((s, self.stages[s].find(worker.index)?))
    }

    fn new_key(&mut self) -> StageKey {
        self.next_stage += 1;
        StageKey(self.next_stage)
    }
}

/// Takes rounds until one has nothing to do; false: that many were not enough.
fn settles_within(most: usize, out: &mut Effects, mut round: impl FnMut(&mut Effects)) -> bool {
    (0..most).any(|_| {
        let before = out.actions.len();
        round(out);
        out.actions.len() == before
    })
}

fn finish_given_up(stage: &mut StageState, out: &mut Effects) {
    let until = out.now + stage.spec.rules.stop_timeout;
    stage.finish_all(StopReason::GaveUp, Over::GaveUp, Some(until), out);
}

#[cfg(test)]
mod tests;
