//! One worker as it is.

use crate::queue::SlotReport;
use crate::status;
use crate::supervisor::machine::observe::{Counters, Moment};
use crate::supervisor::machine::reason::StartReason;
use crate::supervisor::machine::stage_state::Worker;
use crate::supervisor::machine::worker_state::{Life, Over, Process, StopRequest};

pub(super) fn describe(
    worker: &Worker,
    report: Option<&SlotReport>,
    moment: Moment,
    counters: &mut dyn Counters,
) -> status::WorkerStatus {
    let process = worker.life.process();
    let count = |of: fn(&SlotReport) -> u64| report.map_or(0, of);
    status::WorkerStatus {
        index: worker.index,
        pid: process.map(|process| process.pid.0),
        program: process.and_then(|process| match worker.is_service {
            true => Some(process.pid.0),
            false => counters.program(process.slot),
        }),
        state: match state_of(worker.life) {
            status::WorkerState::Starting | status::WorkerState::Working if worker.at_rest => {
                status::WorkerState::Paused
            }
            state => state,
        },
        since: process.map(|process| moment.now.saturating_duration_since(process.since).as_secs_f64()),
        until: worker.life.deadline().map(|until| until.saturating_duration_since(moment.now).as_secs_f64()),
        reason: reason(worker.life),
        taken: count(|report| report.counts.taken),
        done: count(|report| report.counts.done),
        emitted: count(|report| report.counts.emitted),
        times: report.map_or_else(Default::default, |report| report.times.into()),
        obstacle: report.and_then(|report| report.obstacle.clone()),
        check: None,
        has_finished: matches!(worker.life, Life::BackOff { why: StartReason::Always, .. }),
        lost_reader: false,
        transitions: Vec::new(),
    }
}

fn state_of(life: Life) -> status::WorkerState {
    match life {
        Life::Due(_) => status::WorkerState::Due,
        Life::BackOff { why: StartReason::Scheduled, .. } => status::WorkerState::Scheduled,
        Life::BackOff { .. } => status::WorkerState::Resting,
        Life::Forking { .. } | Life::Alive(Process { ready: false, requested: StopRequest::Nothing, .. }) => {
            status::WorkerState::Starting
        }
        Life::Alive(Process { requested: StopRequest::Nothing, .. }) => status::WorkerState::Working,
        Life::Alive(Process { requested: StopRequest::Finish(..), .. }) => status::WorkerState::Finishing,
        Life::Alive(Process { requested: StopRequest::Term(..), .. }) => status::WorkerState::Terminating,
        Life::Alive(Process { requested: StopRequest::Kill(_), .. }) => status::WorkerState::Killed,
        Life::Over(Over::Failed | Over::GaveUp) => status::WorkerState::Failed,
        Life::Over(Over::Finished | Over::InputEnded | Over::OutputClosed | Over::Stopped | Over::ByHand) => {
            status::WorkerState::Over
        }
    }
}

fn reason(life: Life) -> Option<String> {
    match life {
        Life::BackOff { why: StartReason::Scheduled, .. } => Some("it waits for its time".to_owned()),
        Life::Due(why) | Life::BackOff { why, .. } => Some(why.to_string()),
        Life::Forking { requested, .. } => requested.reason().map(|why| why.to_string()),
        Life::Alive(process) => process.requested.reason().map(|why| why.to_string()),
        Life::Over(over) => Some(over.to_string()),
    }
}
