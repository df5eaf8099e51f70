//! One worker as it is.

use crate::queue::SlotReport;
use crate::status;
use crate::supervisor::machine::observe::{Counters, Moment};
use crate::supervisor::machine::stage_state::Worker;
use crate::supervisor::machine::worker_state::{Life, Over, Process, StopRequest};
use std::time::{Duration, Instant};

pub(super) fn describe(
    worker: &Worker,
    report: Option<&SlotReport>,
    moment: Moment,
    counters: &mut dyn Counters,
) -> status::WorkerStatus {
    let mut seen = status::WorkerStatus {
        index: worker.index,
        pid: None,
        program: None,
        state: match state_of(worker.life) {
            status::WorkerState::Working if worker.at_rest => status::WorkerState::Paused,
            state => state,
        },
        since: None,
        until: None,
        reason: reason(worker.life),
        taken: 0,
        done: 0,
        emitted: 0,
        times: status::Times::default(),
        transitions: Vec::new(),
    };
    let ahead = |until: Instant| until.saturating_duration_since(moment.now).as_secs_f64();
    seen.until = worker.life.deadline().map(ahead);
    if let Life::Alive(process) = worker.life {
        let age: Duration = moment.now.saturating_duration_since(process.since);
        seen.pid = Some(process.pid.0);
        seen.program = counters.program(process.slot);
        seen.since = Some(age.as_secs_f64());
    }
    if let Some(report) = report {
        (seen.taken, seen.done, seen.emitted) = (report.taken, report.done, report.emitted);
        seen.times = report.times.into();
    }
    seen
}

fn state_of(life: Life) -> status::WorkerState {
    match life {
        Life::Due(_) => status::WorkerState::Due,
        Life::BackOff { .. } => status::WorkerState::Resting,
        Life::Forking { .. } | Life::Alive(Process { ready: false, requested: StopRequest::Nothing, .. }) => {
            status::WorkerState::Starting
        }
        Life::Alive(Process { requested: StopRequest::Nothing, .. }) => status::WorkerState::Working,
        Life::Alive(Process { requested: StopRequest::Finish(..), .. }) => status::WorkerState::Finishing,
        Life::Alive(Process { requested: StopRequest::Term(..), .. }) => status::WorkerState::Terminating,
        Life::Alive(Process { requested: StopRequest::Kill(_), .. }) => status::WorkerState::Killed,
        Life::Over(Over::Failed | Over::GaveUp) => status::WorkerState::Failed,
        Life::Over(Over::Finished | Over::InputEnded | Over::OutputClosed | Over::Stopped) => {
            status::WorkerState::Over
        }
    }
}

fn reason(life: Life) -> Option<String> {
    match life {
        Life::Due(why) | Life::BackOff { why, .. } => Some(why.to_string()),
        Life::Forking { requested, .. } => requested.reason().map(|why| why.to_string()),
        Life::Alive(process) => process.requested.reason().map(|why| why.to_string()),
        Life::Over(over) => Some(over.to_string()),
    }
}
