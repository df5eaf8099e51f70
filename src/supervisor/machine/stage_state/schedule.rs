//! A stage with a `schedule`: its workers wait for their time. While one runs it waits for none, so runs never overlap, and
//! a time that passes meanwhile is left out; so is one that comes while the stage is paused, and one that the supervisor has
//! missed, since it stood still.
//!
//! Which time is next is asked of the clock outside ([`Effect::NextRun`]), and once more whenever that was set.

use super::{StageState, Worker};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::failing::FailedRuns;
use crate::supervisor::machine::reason::{End, StartReason, spoken};
use crate::supervisor::machine::worker_state::{Life, Over};
use log::Level;
use std::time::{Duration, Instant};

/// Until the clock has answered.
const UNKNOWN: Duration = Duration::from_secs(365 * 86_400);
/// A run that would begin so much later than it should is left out: longer than a busy supervisor takes.
const MISSED_AFTER: Duration = Duration::from_secs(2);

impl StageState {
    /// The life of a worker that waits for a time not known yet; `None`: the stage has no schedule.
    pub(crate) fn wait_for_time(&self, out: &mut Effects) -> Option<Life> {
        self.ask_for_time(out);
        let until = out.now + UNKNOWN;
        self.spec.rules.schedule.as_ref().map(|_| Life::BackOff { until, why: StartReason::Scheduled })
    }

    /// Asks when the next run is.
    pub(crate) fn ask_for_time(&self, out: &mut Effects) {
        let schedule = self.spec.rules.schedule.clone();
        out.list.extend(schedule.map(|schedule| Effect::NextRun(self.key, schedule)));
    }

    /// The answer.
    pub(crate) fn next_run(&mut self, at: Instant) {
        for worker in self.workers.iter_mut().filter(|worker| is_waiting(worker)) {
            worker.life = Life::BackOff { until: at, why: StartReason::Scheduled };
        }
    }

    /// A run has ended by itself. One that has failed is shown until one ends well.
    pub(super) fn note_run(&mut self, i: usize, end: &End, has_failed: bool, now: Instant) {
        let runs = &mut self.workers[i].failed_runs;
        let since = runs.as_ref().map_or(now, |runs| runs.since);
        *runs = has_failed.then(|| FailedRuns { since, last: end.clone() });
    }

    /// The times that have come, but must not begin a run, are left out.
    pub(super) fn leave_out_runs(&mut self, out: &mut Effects) {
        let late = |worker: &Worker| match worker.life {
            Life::BackOff { until, why: StartReason::Scheduled } if until <= out.now => Some(out.now - until),
            _ => None,
        };
        let Some(late) = self.workers.iter().filter_map(late).max() else { return };
        let is_missed = late >= MISSED_AFTER;
        if !(is_missed || self.paused) {
            return;
        }
        if is_missed && !self.paused {
            let (name, late) = (&self.spec.name, spoken(late));
            let text = format!("{name}: a run is left out: mprun stood still at its time, {late} ago");
            out.log(Level::Warn, text);
        }
        let waits = self.wait_for_time(out);
        for worker in self.workers.iter_mut().filter(|worker| is_waiting(worker)) {
            worker.life = waits.unwrap_or(worker.life);
        }
    }

    /// The stage's work has changed: a run under way ends as it was begun.
    pub(crate) fn note_run_under_way(&self, out: &mut Effects) {
        if self.workers.iter().any(|worker| self.may_end_first(worker)) {
            let name = &self.spec.name;
            let text = format!(
                "{name}: the run under way ends as it was begun, the next one is as the file says now"
            );
            out.log(Level::Info, text);
        }
    }

    /// The file has another schedule, or one more, or none any more.
    pub(crate) fn reschedule(&mut self, out: &mut Effects) {
        let waits = self.wait_for_time(out);
        for worker in &mut self.workers {
            let is_through = matches!(worker.life, Life::Over(Over::Finished | Over::Failed));
            worker.life = match waits {
                Some(waits) if is_waiting(worker) || is_through => waits,
                None if is_waiting(worker) => Life::Due(StartReason::Changed),
                Some(_) | None => worker.life,
            };
            worker.failed_runs = worker.failed_runs.take().filter(|_| waits.is_some());
        }
    }
}

/// Whether it waits for its time.
pub(super) fn is_waiting(worker: &Worker) -> bool {
    matches!(worker.life, Life::BackOff { why: StartReason::Scheduled, .. })
}
