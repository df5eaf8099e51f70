//! What names a leased item, also after all processes were killed, and where it was a dead letter in between.

use super::handle::WorkerHandle;
use crate::broker::Sequence;
use crate::queue::arena::birth::{self, Origin};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::QueueAt;

impl WorkerHandle {
    /// What names lease `i`, for others to know it again by. Of an item that lies in a broker it is the same on every machine.
    ///
    /// # Errors
    /// As [`WorkerHandle::item`].
    pub fn origin(&self, i: usize) -> Result<Origin, Fault> {
        let lease = self.item(i)?;
        let (memory, at) = (self.session.memory(), self.slot.entry(self.leases[i].entry));
        if self.is_shared(i)? {
            let (_, marked) = self.marked_item(i)?;
            let split = Sequence::split_mark(marked).map(|(sequence, _)| sequence);
            let Sequence(birth, number) =
                split.ok_or_else(|| Fault::damaged("an item's mark", at, marked.len() as u64))?;
            return Ok(Origin { birth, number });
        }
        let queue = QueueAt::of(lease.queue)?;
        let known = birth::known(memory, at, queue, lease.id);
        Ok(known.unwrap_or_else(|| Origin { birth: birth::of(memory, queue), number: lease.id }))
    }

    /// The same, if it was ever asked for: of items that no other program ever saw it is of no interest.
    ///
    /// # Errors
    /// As [`WorkerHandle::item`].
    pub fn known_origin(&self, i: usize) -> Result<Option<Origin>, Fault> {
        let (lease, at) = (self.item(i)?, self.slot.entry(self.leases[i].entry));
        Ok(birth::known(self.session.memory(), at, QueueAt::of(lease.queue)?, lease.id))
    }
}
