//! Where a stage's outputs go: to its queues, or, if it has none, as lines to standard output.

use super::context::WorkerContext;
use super::dead_letters;
use super::spec::WorkerSpec;
use super::stop::failure_of;
use crate::queue::{PutError, QueueId};
use crate::stage::{Failure, Outlet, TooLong};
use crate::sys::worker_timer;

/// Bytes of the longest item that is printed: an item is wholly in memory.
const PRINTED_ITEM_BYTES: u64 = 64 << 20;

pub(super) struct StageOutlet<'a> {
    worker: &'a mut WorkerContext,
    /// The lease that they are outputs of.
    lease: Option<usize>,
}

impl<'a> StageOutlet<'a> {
    pub(super) fn new(worker: &'a mut WorkerContext, lease: Option<usize>) -> StageOutlet<'a> {
        StageOutlet { worker, lease }
    }
}

impl StageOutlet<'_> {
    /// Puts the whole lines at the start of `bytes`, at most `most`, as far as that can be done together. Returns how many there
    /// were, and their bytes.
    pub(super) fn put_lines(&mut self, bytes: &[u8], most: usize) -> (usize, usize) {
        let WorkerContext { queues, outputs, item_log, .. } = &mut *self.worker;
        match outputs[..] {
            [output] if self.lease.is_none() && !item_log.is_on => queues.put_lines(output, bytes, most),
            _ => (0, 0),
        }
    }
}

/// An output that could not be staged.
fn failure(error: &PutError, spec: &WorkerSpec) -> Failure {
    let long_for = |queue: QueueId| spec.outputs.iter().find(|(id, _)| *id == queue.0);
    let name = match error {
        PutError::TooLong { queue, .. } => long_for(*queue).map_or("", |(_, name)| name),
        PutError::Ordered | PutError::NoRoom | PutError::Fault(_) => "",
    };
    failure_of(error, name)
}

impl Outlet for StageOutlet<'_> {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        let WorkerContext { queues, outputs, main_outputs, item_log, console, spec, .. } = &mut *self.worker;
        if outputs.is_empty() {
            return console.put(item);
        }
        item_log.stage(item);
        let put = || queues.put(&outputs[..*main_outputs], item, self.lease);
        worker_timer::not_counting(put).map_err(|error| failure(&error, spec))
    }

    fn put_to(&mut self, output: usize, item: &[u8]) -> Result<(), Failure> {
        let WorkerContext { queues, outputs, item_log, spec, .. } = &mut *self.worker;
        let Some(output) = outputs.get(output) else {
            return Err(Failure::fatal("the stage has no such output"));
        };
        item_log.stage_for(*output, item);
        let put = || queues.put(std::slice::from_ref(output), item, self.lease);
        worker_timer::not_counting(put).map_err(|error| failure(&error, spec))
    }

    fn longest(&self) -> u64 {
        match self.worker.outputs.is_empty() {
            true => PRINTED_ITEM_BYTES,
            false => self.worker.queues.max_item(&self.worker.outputs).unwrap_or(u64::MAX),
        }
    }

    fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        let max_item = self.longest();
        dead_letters::leave_out(self.worker, max_item, what)
    }
}
