//! The process that brings this machine's commits to the broker, as long as the file has shared queues.
//!
//! It is there before the first worker and goes after the last one: what they have committed has to be in the broker before the
//! run ends. On a stop it is told at once, so that other machines get what no worker here has begun.

use super::State;
use crate::link::{LinkPlan, Told};
use crate::queue::SlotId;
use crate::supervisor::machine::effect::{Effect, Effects, StartLink};
use crate::supervisor::machine::phase::UpgradePhase;
use crate::supervisor::machine::reason::StopCause;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::StageState;
use crate::sys::wait::Exit;
use log::Level;
use std::time::{Duration, Instant, SystemTime};

/// Pauses before another one: while none joins, twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
enum Process {
    #[default]
    NotStarted,
    Started,
    Due(Instant),
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    process: Process,
    /// What one that ends before it has joined is followed by.
    delay: Duration,
    /// Its place in the arena.
    slot: Option<SlotId>,
    is_killed: bool,
    is_finishing: bool,
    /// It has left the run, or no try helps: there is none any more.
    is_over: bool,
    /// The run of the shared queues was joined, by this process or one before it.
    was_up: bool,
    /// It has said how things are there: until then no worker is started, as the run may have ended.
    has_spoken: bool,
    /// The broker can't be reached, since then.
    away: Option<Instant>,
}

impl LinkState {
    pub(super) fn due(&self) -> Option<Instant> {
        if let Process::Due(at) = self.process { Some(at) } else { None }
    }
}

impl State {
    fn needs_link(&self) -> bool {
        let broker = self.wanted.as_ref().and_then(|wanted| wanted.pipeline.broker.as_ref());
        broker.is_some_and(|broker| !broker.queues.is_empty())
    }

    /// Whether workers have to wait for its first word.
    pub(super) fn awaits_link(&self) -> bool {
        !self.is_link_over() && !self.link.has_spoken
    }

    /// Whether nothing is left to be brought to the broker.
    pub(super) fn is_link_over(&self) -> bool {
        self.link.is_over || !self.needs_link()
    }

    pub(super) fn tend_link(&mut self, out: &mut Effects) {
        if self.is_link_over() {
            return;
        }
        if self.stopping() == Stopping::Killing {
            // What it holds there is another machine's when its time is up.
            self.link.is_over = true;
            return out.push(Effect::KillLink);
        }
        if self.rests() {
            if self.link.slot.is_some() && !std::mem::replace(&mut self.link.is_killed, true) {
                out.push(Effect::KillLink);
            }
            return;
        }
        match self.link.process {
            Process::NotStarted => self.start_link(out),
            Process::Due(at) if at <= out.now => self.start_link(out),
            Process::Due(_) | Process::Started => {}
        }
        let is_through = self.stages.iter().all(StageState::is_through);
        let ends = self.stopping() == Stopping::Draining || is_through && !self.stages.is_empty();
        if ends && !self.link.is_finishing && matches!(self.link.process, Process::Started) {
            self.link.is_finishing = true;
            out.push(Effect::FinishLink);
        }
    }

    /// One program's link is gone before the next program starts its own: both would be in one place of the arena.
    fn rests(&self) -> bool {
        let phase = self.upgrade.as_ref().map(|upgrade| upgrade.phase);
        matches!(phase, Some(UpgradePhase::Ready | UpgradePhase::Interrupted { .. }))
    }

    /// Whether it is there, or something of it.
    pub(super) fn has_link(&self) -> bool {
        self.link.slot.is_some()
    }

    fn start_link(&mut self, out: &mut Effects) {
        let plan = self.wanted.as_ref().and_then(|wanted| LinkPlan::of(&wanted.pipeline));
        let (Some(mut plan), Some(spec)) = (plan, self.link_spec()) else { return };
        // In the order of the lines of the arena.
        let place = |stage: &str| spec.lines.iter().position(|line| line.name == stage);
        plan.lines.sort_by_key(|line| place(&line.stage));
        let Some(slot) = self.slots.take().map(SlotId) else { return };
        self.link.process = Process::Started;
        (self.link.slot, self.link.is_killed, self.link.is_finishing) = (Some(slot), false, false);
        let joined_before = self.link.was_up;
        out.push(Effect::StartLink(Box::new(StartLink { plan, spec, slot, joined_before })));
    }

    /// `exit`: `None`: there was no process to be had.
    pub(super) fn link_ended(&mut self, exit: Option<Exit>, out: &mut Effects) {
        if let Some(slot) = self.link.slot.take() {
            self.slots.give(slot.0);
        }
        if self.link.is_killed {
            self.link.process = Process::NotStarted;
            return;
        }
        if self.link.is_over {
            return;
        }
        if exit == Some(Exit::Code(0)) {
            self.link.is_over = true;
            return;
        }
        self.link.process = Process::Due(out.now + self.link.delay);
        self.link.delay = (self.link.delay * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let how = exit.map_or_else(|| "can't be started".to_owned(), |exit| format!("is gone: {exit}"));
        out.log(Level::Warn, format!("the process that speaks with the broker {how}: starting another one"));
    }

    pub(super) fn link_told(&mut self, told: Told, out: &mut Effects) {
        self.link.has_spoken = true;
        match told {
            Told::Up { run, warnings } => self.joined(run, &warnings, out),
            Told::Away { why } if self.link.away.is_none() => {
                self.link.away = Some(out.now);
                let then = "items wait in this machine's memory";
                out.log(Level::Warn, format!("the broker can't be reached: {why}; {then}"));
            }
            Told::Away { .. } => {}
            Told::Ended { at } => self.run_has_ended(at, out),
            Told::Lost { queue, items } => {
                let text = format!(
                    "{items} items of {queue} are another machine's: this one was out of touch with the broker for too long"
                );
                out.log(Level::Warn, text);
            }
            Told::Refused { stage, commits } => {
                let text = format!(
                    "the broker refused {commits} commits of the stage {stage}: another machine was faster with their items, or \
                     their queue has ended"
                );
                out.log(Level::Warn, text);
            }
            Told::Forgotten { stage, commits } => {
                let text = format!(
                    "the broker has lost {commits} commits of the stage {stage} that it had acknowledged"
                );
                self.failed = true;
                out.log(Level::Error, text);
            }
            Told::Hopeless { why } => self.no_broker(why, out),
        }
    }

    fn joined(&mut self, run: u64, warnings: &[String], out: &mut Effects) {
        self.link.delay = Duration::ZERO;
        let first = !std::mem::replace(&mut self.link.was_up, true);
        if let Some(since) = self.link.away.take() {
            let away = out.now.saturating_duration_since(since);
            out.log(Level::Info, format!("the broker is there again, after {:.1}s", away.as_secs_f64()));
        }
        if first {
            out.log(Level::Debug, format!("run {run} of the shared queues is joined"));
            for warning in warnings {
                out.log(Level::Warn, format!("the broker: {warning}"));
            }
        }
    }

    /// Nothing is left to do on any machine.
    fn run_has_ended(&mut self, at: u64, out: &mut Effects) {
        let when = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        self.link.is_over = true;
        if self.phase.stop().is_none() {
            out.log(
                Level::Info,
                format!("the run of the shared queues has ended, at {when}; `--new-run` begins another"),
            );
            self.stop_without_broker(StopCause::RunEnded, out);
        }
    }

    fn no_broker(&mut self, why: String, out: &mut Effects) {
        self.link.is_over = true;
        self.failed = true;
        out.log(Level::Error, format!("the broker: {why}"));
        if self.phase.stop().is_none() {
            let is_usage = !self.link.was_up;
            self.stop_without_broker(StopCause::NoBroker { why, is_usage }, out);
        }
    }

    /// Nothing of what workers do now would come to the broker.
    fn stop_without_broker(&mut self, cause: StopCause, out: &mut Effects) {
        self.begin_stop(cause, out);
        if let Some(stop) = self.phase.stop_mut() {
            stop.phase = Stopping::Killing;
        }
    }
}
