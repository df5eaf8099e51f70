//! How a run ends before its work is through: sources finish, queues drain, then everything is terminated.

use super::State;
use super::shared::takes_from_broker;
use crate::model::HaltWhen;
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::phase::{Phase, Stop};
use crate::supervisor::machine::reason::{StopCause, StopReason, spoken};
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, StageState, Switch};
use crate::supervisor::machine::worker_state::Over;
use log::Level;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Ctrl-C pressed twice is never as quick as this; one wish that comes by two ways is (`timeout -s INT` signals its child
/// and then its whole group).
const SAME_REQUEST_WITHIN: Duration = Duration::from_millis(200);

impl State {
    /// The first request drains. `impatient`: a second one doesn't wait any more, a third one kills.
    pub(super) fn stop_requested(&mut self, signal: &'static str, impatient: bool, out: &mut Effects) {
        let last = self.phase.stop().and_then(|stop| stop.interrupted);
        if impatient && last.is_some_and(|last| out.now < last + SAME_REQUEST_WITHIN) {
            return;
        }
        match self.stopping() {
            Stopping::No => {
                self.begin_stop(StopCause::Signal(signal), out);
                self.say_limit(signal, out);
            }
            Stopping::Draining if self.drains_for_any_time() => {
                self.limit_drain(out.now);
                self.say_limit(signal, out);
            }
            Stopping::Draining if impatient => self.stop_now(&format!("{signal} again"), out),
            Stopping::Killing if impatient => self.kill_all(out),
            Stopping::Draining | Stopping::Killing => {}
        }
        if let Some(stop) = self.phase.stop_mut().filter(|_| impatient) {
            stop.interrupted = Some(out.now);
        }
    }

    fn say_limit(&self, signal: &str, out: &mut Effects) {
        let (what, limit) = (self.first_aim(), spoken(self.drain_timeout()));
        out.log(Level::Info, format!("{signal}: {what} for at most {limit}; Ctrl-C skips that"));
    }

    /// `mprun drain`, and no stop since.
    pub(super) fn drains_for_any_time(&self) -> bool {
        self.phase.stop().is_some_and(|stop| stop.phase == Stopping::Draining && stop.until.is_none())
    }

    /// A stop that begins now takes no longer than `drain_timeout`.
    pub(super) fn limit_drain(&mut self, now: Instant) {
        let until = now + self.drain_timeout();
        if let Some(stop) = self.phase.stop_mut() {
            stop.until = Some(stop.until.map_or(until, |known| known.min(until)));
        }
    }

    /// A stop leaves the items in durable queues for the next run. A drain works them off.
    pub(super) fn leaves_items(&self) -> bool {
        self.keeps && self.phase.stop().is_some() && !self.drains_for_any_time()
    }

    pub(super) fn quit_requested(&mut self, out: &mut Effects) {
        if self.stopping() == Stopping::No {
            self.begin_stop(StopCause::Signal("SIGQUIT"), out);
        }
        if self.stopping() == Stopping::Draining {
            self.stop_now("SIGQUIT", out);
        }
    }

    pub(super) fn terminal_gone(&mut self, out: &mut Effects) {
        if self.stopping() == Stopping::No {
            self.begin_stop(StopCause::TerminalGone, out);
        }
    }

    /// A reload under way is left as it is: what runs, drains.
    pub(super) fn begin_stop(&mut self, cause: StopCause, out: &mut Effects) {
        let until = Some(out.now + self.drain_timeout());
        self.file.forget_changes();
        // From here on they are over as any other.
        self.stages.iter_mut().for_each(|stage| stage.switch = Switch::On);
        self.stages.iter().for_each(|stage| stage.continue_ending(out));
        self.phase = Phase::Stopping(Stop { cause, phase: Stopping::Draining, until, interrupted: None });
    }

    /// What a stop does first.
    pub(super) fn first_aim(&self) -> &'static str {
        match self.has_services_only() {
            true => "stopping the services, those that come after others first,",
            false if self.keeps => "finishing the items at hand, keeping the rest,",
            false => "draining",
        }
    }

    pub(super) fn stop_now(&mut self, why: &str, out: &mut Effects) {
        let what = if self.has_services_only() { "services" } else { "workers" };
        let running = self.stages.iter().filter(|stage| !stage.workers.is_empty());
        let limit = running.map(|stage| stage.spec.rules.stop_timeout).max().unwrap_or_default();
        if let Some(stop) = self.phase.stop_mut() {
            stop.phase = Stopping::Killing;
            self.stages.iter().for_each(|stage| stage.continue_ending(out));
            let limit = spoken(limit);
            let text =
                format!("{why}: stopping all {what}, for at most {limit} (stop_timeout); Ctrl-C kills them");
            out.log(Level::Info, text);
        }
    }

    fn kill_all(&mut self, out: &mut Effects) {
        self.stages.iter_mut().for_each(|stage| stage.kill(out));
    }

    /// The memory can't be trusted: nothing can be drained, and no worker may use it any more.
    pub(super) fn damaged(&mut self, what: &str, out: &mut Effects) {
        self.failed = true;
        if matches!(self.phase.stop(), Some(Stop { cause: StopCause::Damaged(_), .. })) {
            return;
        }
        out.log(Level::Error, format!("{what}: stopping, items in the queues are lost"));
        self.begin_stop(StopCause::Damaged(what.to_owned()), out);
        if let Some(stop) = self.phase.stop_mut() {
            stop.phase = Stopping::Killing;
        }
        self.kill_all(out);
    }

    /// The disk has no room for what must be there: nothing is lost, but the run has to stop.
    pub(super) fn no_room(&mut self, what: String, out: &mut Effects) {
        self.failed = true;
        if self.phase.stop().is_none() {
            out.log(Level::Error, format!("{what}: stopping"));
            self.begin_stop(StopCause::NoRoom(what), out);
        }
    }

    pub(super) fn stop_deadline(&self) -> Option<Instant> {
        self.phase.stop().filter(|stop| stop.phase == Stopping::Draining)?.until
    }

    pub(super) fn pass_stop_time(&mut self, out: &mut Effects) {
        if self.stop_deadline().is_some_and(|until| until <= out.now) {
            let limit = spoken(self.drain_timeout());
            self.stop_now(&format!("not drained within {limit}"), out);
        }
    }

    pub(super) fn drain(&mut self, out: &mut Effects) {
        self.stages.iter_mut().for_each(|stage| stage.skip_pauses(true, out));
        self.in_order_of_ends(|this, needed| this.drain_but(needed, out));
        self.give_up_what_failed(out);
    }

    fn drain_but(&mut self, needed: &BTreeSet<usize>, out: &mut Effects) {
        let (halting, leaves_items) = (self.halting(), self.leaves_items());
        for (s, stage) in self.stages.iter_mut().enumerate() {
            match stage.fate {
                Fate::Wanted | Fate::Removed { .. } if halting.is_halting(s, HaltWhen::Now) => {
                    stage.terminate(out)
                }
                Fate::Wanted | Fate::Removed { .. } if halting.is_halting(s, HaltWhen::Soon) => {
                    stage.finish_all(StopReason::Stopping, Over::Stopped, None, out);
                }
                Fate::GaveUp => stage.finish_given_up(out),
                Fate::Wanted | Fate::Removed { .. } if needed.contains(&s) => {}
                Fate::Wanted | Fate::Removed { .. }
                    if stage.version.is_source()
                        || leaves_items
                        || takes_from_broker(&self.queues, stage) =>
                {
                    stage.finish_all(StopReason::Stopping, Over::Stopped, None, out);
                }
                Fate::Wanted | Fate::Removed { .. } => {
                    stage.advance(out);
                    stage.end_if_output_closed(out);
                }
            }
        }
    }

    pub(super) fn clear(&mut self, out: &mut Effects) {
        self.stages.iter_mut().for_each(|stage: &mut StageState| stage.terminate(out));
    }
}
