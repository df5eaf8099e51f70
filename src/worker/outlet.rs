//! Where a stage's outputs go: to its queues, or, if it has none, as lines to standard output.

use super::context::WorkerContext;
use super::item_log::ItemLog;
use super::spec::WorkerSpec;
use super::stop::failure_of;
use super::too_long::bury;
use crate::append::UndoLog;
use crate::queue::{PutError, QueueId, WorkerHandle};
use crate::stage::{Failure, Outlet, TooLong};
use crate::sys::worker_timer;

/// Bytes of the longest item that is printed: an item is wholly in memory.
const PRINTED_ITEM_BYTES: u64 = 64 << 20;

/// Stages outputs for queues.
pub(super) struct ToQueues<'a> {
    queues: &'a mut WorkerHandle,
    outputs: &'a [QueueId],
    spec: &'a WorkerSpec,
    counts: &'a UndoLog,
    item_log: &'a mut ItemLog,
    /// The lease that they are outputs of.
    lease: Option<usize>,
}

impl<'a> ToQueues<'a> {
    pub fn new(worker: &'a mut WorkerContext, lease: Option<usize>) -> ToQueues<'a> {
        let WorkerContext { queues, outputs, item_log, spec, counts, .. } = worker;
        ToQueues { queues, outputs, spec, counts, item_log, lease }
    }
}

impl Outlet for ToQueues<'_> {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.item_log.stage(item);
        let put = worker_timer::not_counting(|| self.queues.put(self.outputs, item, self.lease));
        put.map_err(|error| {
            let long_for = |queue: QueueId| self.spec.outputs.iter().find(|(id, _)| *id == queue.0);
            let name = match &error {
                PutError::TooLong { queue, .. } => long_for(*queue).map_or("", |(_, name)| name),
                PutError::Ordered | PutError::NoRoom | PutError::Fault(_) => "",
            };
            failure_of(&error, name)
        })
    }

    fn longest(&self) -> u64 {
        self.queues.max_item(self.outputs).unwrap_or(u64::MAX)
    }

    fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        let most = self.longest();
        bury(self.queues, self.spec, self.counts, most, what)
    }
}

/// Standard output, for a stage without outputs.
pub(super) struct ToConsole<'a>(pub &'a mut WorkerContext);

impl Outlet for ToConsole<'_> {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.0.console.put(item)
    }

    fn longest(&self) -> u64 {
        PRINTED_ITEM_BYTES
    }

    fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        let most = self.longest();
        let WorkerContext { queues, spec, counts, .. } = &mut *self.0;
        bury(queues, spec, counts, most, what)
    }
}
