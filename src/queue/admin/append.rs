//! An item that the supervisor puts for a stage, whatever room there is: a word of the stage to its broker.

use super::queues::QueueAdmin;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{QueueAt, queue};
use crate::queue::transaction::{ring, tx::Tx};

impl QueueAdmin {
    /// Puts an item.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`]; also [`Fault::DiskFull`], and nothing is changed.
    pub fn append(&mut self, q: QueueId, bytes: &[u8]) -> Result<(), Fault> {
        let queue = QueueAt::of(q)?;
        let mut tx = self.session.begin()?;
        push(&mut tx, queue, bytes)?;
        tx.commit()?;
        tx.notify(queue + queue::NOT_EMPTY);
        Ok(())
    }
}

/// The same as a part of a transaction.
pub(super) fn push(tx: &mut Tx<'_>, queue: QueueAt, bytes: &[u8]) -> Result<(), Fault> {
    let item = tx.new_item(queue, bytes)?;
    ring::push(tx, queue, 1, std::iter::once(item))
}
