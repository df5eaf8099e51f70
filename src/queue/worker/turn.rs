//! A turn: the token of a stage, leased when other items are held already, so that it ends together with them.

use super::handle::WorkerHandle;
use super::take::Taken;
use super::wait::Wait;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;

impl WorkerHandle {
    /// Leases the one item of `queue` as lease 0: those that are held already come after it. Also where there is no room
    /// for another lease. Nothing may be staged as the output of a lease.
    ///
    /// A commit of an output of lease 0 then ends it and those after it in one transaction.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn take_first(&mut self, queue: QueueId, wait: Wait) -> Result<Taken, Fault> {
        self.take_before(0, queue, wait)
    }

    /// The same as lease `i`: those from there on come after it. Nothing may be staged as the output of one of them.
    ///
    /// What the last `take` that found nothing would have slept on stays as it is.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn take_before(&mut self, i: usize, queue: QueueId, wait: Wait) -> Result<Taken, Fault> {
        debug_assert!(self.staging.named <= i, "the outputs name leases by their numbers");
        // The items of one entry follow each other in the list: the token can't come between them.
        self.cut_before(i)?;
        let (empty_inputs, next_due) = (std::mem::take(&mut self.empty_inputs), self.next_due);
        self.max_leases += 1;
        let taken = self.take(&[queue], 1, wait);
        self.max_leases -= 1;
        (self.empty_inputs, self.next_due) = (empty_inputs, next_due);
        if matches!(taken, Ok(Taken::Items { .. })) {
            self.leases[i..].rotate_right(1);
        }
        taken
    }
}
