//! What names a leased item, also after all processes were killed, and where it was a dead letter in between.

use super::handle::WorkerHandle;
use crate::broker::Sequence;
use crate::queue::arena::birth::{self, Origin};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{QueueAt, entry};

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
        match memory.load(at + entry::FIRST_BIRTH) {
            0 => Ok(Origin { birth: birth::of(memory, QueueAt::of(lease.queue)?), number: lease.id }),
            birth => Ok(Origin { birth, number: memory.load(at + entry::FIRST_NUMBER) }),
        }
    }
}
