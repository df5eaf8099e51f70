//! What is different for a service: there is no worker that looks at limits by itself, or says how it ends.

use super::{StageState, Worker};
use crate::config::Restart;
use crate::queue::Ending;
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::reason::{End, StopReason};
use crate::supervisor::machine::worker_state::{Life, Over, Process, StopRequest, WorkerEvent};
use std::time::Instant;

impl StageState {
    /// The processes that are workers.
    pub(super) fn with_worker(&self) -> impl Iterator<Item = Process> {
        self.workers.iter().filter(|worker| !worker.is_service).filter_map(|worker| worker.life.process())
    }

    /// When it is as old as it may be.
    pub(super) fn recycled_at(&self, worker: &Worker) -> Option<Instant> {
        let process = undisturbed(worker)?;
        Some(process.since + worker.version.recycle.age?)
    }

    /// A fresh one takes its place.
    pub(crate) fn recycle(&mut self, i: usize, out: &mut Effects) {
        if self.workers[i].is_service {
            self.apply(i, WorkerEvent::Ask(StopRequest::Finish(StopReason::Recycled, None)), out);
        }
    }

    /// Nobody reads what it prints.
    pub(crate) fn output_closed(&mut self, out: &mut Effects) {
        self.finish_all(StopReason::OutputClosed, Over::OutputClosed, None, out);
    }

    /// Whether it is through though it is meant to be started again: what it prints has no reader any more.
    pub(crate) fn should_run(&self, i: usize, over: Over) -> bool {
        let is_meant = self.workers[i].is_service && self.spec.rules.restart != Restart::Never;
        over == Over::OutputClosed && is_meant && !self.workers[i].leaving
    }

    /// However it has ended: if it was told to, that is what it has done.
    pub(crate) fn end_as_requested(&self, i: usize, end: End) -> End {
        let Worker { life, is_service, .. } = &self.workers[i];
        match (life.process(), &end) {
            (_, End::NotStarted(_) | End::CannotStart(_) | End::Said(Ending::Lost(_))) => end,
            (Some(process), _) if *is_service => match process.requested.reason() {
                Some(why) => match self.complaint(i, why) {
                    Some(complaint) => End::Said(Ending::Failed(complaint)),
                    None => End::Said(Ending::Ordered),
                },
                None => end,
            },
            (Some(_) | None, _) => end,
        }
    }
}

/// The process of a service that nobody has asked to end.
fn undisturbed(worker: &Worker) -> Option<Process> {
    match worker.life {
        Life::Alive(process) if worker.is_service && process.requested == StopRequest::Nothing => {
            Some(process)
        }
        _ => None,
    }
}
