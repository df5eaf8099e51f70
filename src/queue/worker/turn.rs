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
        debug_assert!(self.staging.is_empty(), "the outputs name leases by their numbers");
        self.max_leases += 1;
        let taken = self.take(&[queue], 1, wait);
        self.max_leases -= 1;
        if matches!(taken, Ok(Taken::Items { .. })) {
            self.leases.rotate_right(1);
        }
        taken
    }
}
