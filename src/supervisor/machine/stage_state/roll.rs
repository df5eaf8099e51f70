//! Workers of another version are replaced, one by one.

use super::schedule::is_waiting;
use super::{StageState, Worker};
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::reason::{StartReason, StopReason};
use crate::supervisor::machine::worker_state::{Life, StopRequest, WorkerEvent};
use std::rc::Rc;

impl StageState {
    /// Replaces workers of another version, one by one: the next one ends only when the one before is ready.
    pub(crate) fn roll(&mut self, out: &mut Effects) {
        // One of another version is not waited for: it is what has to go.
        let is_tried =
            |worker: &Worker| worker.trial && self.is_current(worker) && !self.waits_for_resume(worker);
        let mut busy = self.staying().any(|worker| is_tried(worker) || self.is_being_replaced(worker));
        for i in 0..self.workers.len() {
            if self.workers[i].leaving {
                continue;
            }
            if self.is_current(&self.workers[i]) {
                // Asked to make room, but what it does is wanted again.
                if self.is_being_replaced(&self.workers[i]) {
                    self.apply(i, WorkerEvent::CancelStop, out);
                }
            } else {
                busy = self.replace_worker(i, busy, out) || busy;
            }
        }
    }

    /// A step towards the wanted version for one worker. True: the others have to wait for it.
    fn replace_worker(&mut self, i: usize, busy: bool, out: &mut Effects) -> bool {
        let is_other = !self.is_of_version(&self.workers[i]);
        let why = if is_other { StopReason::Changed } else { StopReason::Requested };
        let may_end_first = self.may_end_first(&self.workers[i]);
        let worker = &mut self.workers[i];
        match worker.life {
            // Its time is not there yet.
            Life::BackOff { .. } if is_other && is_waiting(worker) => {
                self.adopt(i);
                false
            }
            Life::Due(_) | Life::BackOff { .. } => {
                worker.life = Life::Due(if is_other { StartReason::Changed } else { StartReason::Requested });
                self.adopt(i);
                !self.waits_for_resume(&self.workers[i])
            }
            Life::Over(_) => {
                // A finished stage with other work starts again; with the same work it doesn't.
                if worker.version.work != self.version.work {
                    worker.life = Life::Due(StartReason::Changed);
                }
                self.adopt(i);
                false
            }
            Life::Alive(_) if may_end_first => false,
            Life::Alive(process) if process.requested == StopRequest::Nothing && !busy => {
                // One that isn't ready yet may be stuck where it can't see an order.
                let limit = (!process.ready).then(|| out.now + self.spec.rules.stop_timeout);
                self.apply(i, WorkerEvent::Ask(StopRequest::Finish(why, limit)), out);
                true
            }
            Life::Alive(_) | Life::Forking { .. } => false,
        }
    }

    fn adopt(&mut self, i: usize) {
        let worker = &mut self.workers[i];
        worker.version = Rc::clone(&self.version);
        worker.epoch = self.epoch;
        worker.trial = !(worker.life.is_over() || is_waiting(worker));
        worker.bad_runs = 0;
        worker.is_first = false;
    }
}
