//! A stage with a `schedule`: its workers wait for their time. While one runs it waits for none, so runs never overlap, and
//! a time that passes meanwhile is left out.
//!
//! Which time is next is asked of the clock outside ([`Effect::NextRun`]), and once more whenever that was set.

use super::{StageState, Worker};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::reason::StartReason;
use crate::supervisor::machine::worker_state::{Life, Over};
use std::time::{Duration, Instant};

/// Until the clock has answered.
const UNKNOWN: Duration = Duration::from_secs(365 * 86_400);

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
        }
    }
}

/// Whether it waits for its time.
pub(super) fn is_waiting(worker: &Worker) -> bool {
    matches!(worker.life, Life::BackOff { why: StartReason::Scheduled, .. })
}
