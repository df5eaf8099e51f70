//! Publishing all or nothing: for outputs that can't be made a second time, or not in the same order.

use super::super::layout::{self, MAX_BATCH, queue};
use super::super::lock::Haste;
use super::super::{Fault, QueueId, WhenFull, counts};
use super::commit::{Committed, Step};
use super::put::PutError;
use super::{Wait, WorkerHandle};

impl WorkerHandle {
    /// Publishes all these outputs and ends the leases `0 .. upto`, in one transaction; `None`: there is no room for
    /// all of them now, and nothing has happened. Nothing may be staged before.
    ///
    /// # Errors
    /// [`PutError::TooLong`] leaves everything as it was.
    pub fn commit_whole<'i>(
        &mut self,
        outputs: &[QueueId],
        items: impl ExactSizeIterator<Item = &'i [u8]>,
        upto: usize,
    ) -> Result<Option<Committed>, PutError> {
        debug_assert!(self.staging.is_empty(), "something is staged");
        let n = items.len() * outputs.len();
        if n == 0 {
            return Ok(Some(self.commit(upto, Wait::No)?));
        }
        if n > self.most_at_once() || !self.seems_to_fit(outputs, items.len() as u64)? {
            return Ok(None);
        }
        self.staging.expect(n);
        self.staging.impatient = true;
        let staged = items.into_iter().try_for_each(|item| self.put(outputs, item, upto.checked_sub(1)));
        self.staging.impatient = false;
        match staged {
            Ok(()) => {}
            Err(error) => {
                self.discard_staged()?;
                return if matches!(error, PutError::NoRoom) { Ok(None) } else { Err(error) };
            }
        }
        match self.try_publish(upto, None, true, Haste::Eager)? {
            Step::AllOut { before, after } => Ok(Some(Committed::Done { before, after })),
            Step::Full { .. } | Step::Progress => {
                self.discard_staged()?;
                Ok(None)
            }
            Step::Closed => {
                self.discard_staged()?;
                Ok(Some(Committed::Closed))
            }
        }
    }

    /// How many outputs can be staged and published at once, by a look without the lock. Queues that drop have room.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn room(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        let memory = self.hand.memory();
        // One output beside them: a token.
        let mut room = (self.most_at_once().saturating_sub(1) / outputs.len().max(1)) as u64;
        for &q in outputs {
            let at = layout::queue_at(q)?;
            let waits = WhenFull::from_word(memory.load(at + queue::WHEN_FULL)) == WhenFull::Block;
            if waits && memory.load(at + queue::FLAGS) & queue::CLOSED == 0 {
                let capacity = memory.load(at + queue::CAPACITY);
                room = room.min(capacity.saturating_sub(counts::waiting_roughly(memory, q)));
            }
        }
        Ok(room)
    }

    /// From here to [`WorkerHandle::publish_whole`] or [`WorkerHandle::give_up_whole`] nothing is published early, and nothing waits: an
    /// output that finds no room fails with [`PutError::NoRoom`].
    pub fn begin_whole(&mut self) {
        debug_assert!(self.staging.is_empty(), "something is staged");
        self.staging.impatient = true;
        self.staging.lacked_room = false;
    }

    /// Whether an output found no room since [`WorkerHandle::begin_whole`].
    pub fn lacked_room(&self) -> bool {
        self.staging.lacked_room
    }

    /// Publishes all that is staged and ends the leases `0 .. upto`, in one transaction; `None`: there is no room for
    /// all of it now, and nothing is staged any more.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn publish_whole(&mut self, upto: usize) -> Result<Option<Committed>, Fault> {
        self.staging.impatient = false;
        let committed = match self.try_publish(upto, None, true, Haste::Eager)? {
            Step::AllOut { before, after } => return Ok(Some(Committed::Done { before, after })),
            Step::Full { .. } | Step::Progress => None,
            Step::Closed => Some(Committed::Closed),
        };
        self.discard_staged()?;
        Ok(committed)
    }

    /// Throws away what was staged since [`WorkerHandle::begin_whole`].
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn give_up_whole(&mut self) -> Result<(), Fault> {
        self.staging.impatient = false;
        self.discard_staged()
    }

    /// Outputs that one transaction surely takes: beside the leases there is an entry for each.
    fn most_at_once(&self) -> usize {
        MAX_BATCH.min(self.free_entries() + self.staging.spares.len())
    }

    /// A look without the lock, so that a full queue costs no staging.
    fn seems_to_fit(&self, outputs: &[QueueId], n: u64) -> Result<bool, Fault> {
        let memory = self.hand.memory();
        for &q in outputs {
            let at = layout::queue_at(q)?;
            let waits = WhenFull::from_word(memory.load(at + queue::WHEN_FULL)) == WhenFull::Block;
            let closed = memory.load(at + queue::FLAGS) & queue::CLOSED != 0;
            let full = counts::waiting_roughly(memory, q) + n > memory.load(at + queue::CAPACITY);
            if waits && !closed && full {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
