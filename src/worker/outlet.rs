//! Where a stage's outputs go: to its queues, or, if it has none, as lines to standard output.

use super::desk::Desk;
use super::item_log::ItemLog;
use super::stop::failure_of;
use super::ticket::Ticket;
use super::too_long::bury;
use crate::append::UndoLog;
use crate::queue::{Port, PutError, QueueId};
use crate::stage::{Failure, Outlet, TooLong};
use crate::sys::worker_timer;

/// Stages outputs for queues.
pub(super) struct ToQueues<'a> {
    port: &'a mut Port,
    outputs: &'a [QueueId],
    ticket: &'a Ticket,
    counts: &'a UndoLog,
    item_log: &'a mut ItemLog,
    /// The lease that they are outputs of.
    lease: Option<usize>,
}

impl<'a> ToQueues<'a> {
    pub fn new(desk: &'a mut Desk, lease: Option<usize>) -> ToQueues<'a> {
        let Desk { port, outputs, item_log, ticket, counts, .. } = desk;
        ToQueues { port, outputs, ticket, counts, item_log, lease }
    }
}

impl Outlet for ToQueues<'_> {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.item_log.stage(item);
        let put = worker_timer::not_counting(|| self.port.put(self.outputs, item, self.lease));
        put.map_err(|error| {
            let long_for = |queue: QueueId| self.ticket.outputs.iter().find(|(id, _)| *id == queue.0);
            let name = match &error {
                PutError::TooLong { queue, .. } => long_for(*queue).map_or("", |(_, name)| name),
                PutError::Ordered | PutError::NoRoom | PutError::Fault(_) => "",
            };
            failure_of(&error, name)
        })
    }

    fn longest(&self) -> u64 {
        self.port.max_item(self.outputs).unwrap_or(u64::MAX)
    }

    fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        let most = self.longest();
        bury(self.port, self.ticket, self.counts, most, what)
    }
}
