//! Publishing all or nothing: for outputs that can't be made a second time, or not in the same order.

use super::commit::{Committed, blocks_when_full};
use super::handle::WorkerHandle;
use super::published::Published;
use super::put::PutError;
use super::wait::Wait;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{MAX_BATCH, QueueAt};
use crate::queue::transaction::{counts, lock::LockPriority};

/// How many commits of a source a full shared queue holds at least.
const COMMITS_IN_A_QUEUE: u64 = 8;

impl WorkerHandle {
    /// Publishes all these outputs and ends the leases `0 .. upto`, in one transaction; `None`: there is no room for
    /// all of them now, and nothing has happened. Nothing may be staged before. In order there is room for any number, and
    /// `upto` at most what [`WorkerHandle::publishable`] says.
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
        let local: Vec<QueueId> = outputs.iter().copied().filter(|&q| self.is_local(&[q])).collect();
        let n = items.len() * local.len();
        if n == 0 && !self.shares() {
            return Ok(Some(self.commit(upto, Wait::No)?));
        }
        // In order what finds no room waits in the window.
        let may_wait = self.is_in_order();
        if !may_wait && (n > self.max_at_once() || self.room_in(&local)? < items.len() as u64) {
            return Ok(None);
        }
        self.staging.reserve(n, items.len());
        self.staging.is_whole = true;
        for item in items {
            if let Err(error) = self.put(outputs, item, upto.checked_sub(1)) {
                self.give_up_whole()?;
                return if matches!(error, PutError::NoRoom) { Ok(None) } else { Err(error) };
            }
        }
        Ok(self.publish_whole(upto)?)
    }

    /// How many outputs can be staged and published at once, estimated without the lock. Queues that drop have room.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn room(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        // One output beside them: a token.
        let room = (self.max_at_once().saturating_sub(1) / outputs.len().max(1)) as u64;
        Ok(room.min(self.room_in(outputs)?))
    }

    /// Outputs that one commit of a source may have: the broker takes it as a whole, also where none of the queue's items waits, so it
    /// is to be a small part of the capacity of each shared queue.
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn most_of_a_commit(&self, outputs: &[QueueId]) -> Result<usize, Fault> {
        let mut most = usize::MAX;
        for &q in outputs.iter().filter(|&&q| !self.is_local(&[q])) {
            let (capacity, _) = self.limits_of(q)?;
            most = most.min(usize::try_from(capacity / COMMITS_IN_A_QUEUE).unwrap_or(usize::MAX).max(1));
        }
        Ok(most)
    }

    /// Items that each of these queues has room for. Queues that drop have room for any.
    fn room_in(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        let (memory, mut room) = (self.session.memory(), u64::MAX);
        for &q in outputs.iter().filter(|&&q| self.is_local(&[q])) {
            let queue = QueueAt::of(q)?;
            if blocks_when_full(memory, queue) {
                let capacity = counts::capacity_roughly(memory, queue);
                room = room.min(capacity.saturating_sub(counts::queued_roughly(memory, queue)));
            }
        }
        Ok(room)
    }

    /// From here to [`WorkerHandle::publish_whole`] or [`WorkerHandle::give_up_whole`] nothing is published early, and no put
    /// waits: an output that finds no room fails with [`PutError::NoRoom`].
    pub fn begin_whole(&mut self) {
        debug_assert!(self.staging.is_empty(), "something is staged");
        self.staging.is_whole = true;
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
        self.staging.is_whole = false;
        if !self.stage_commit(upto)? {
            return self.discard_staged().map(|()| Some(Committed::Ordered));
        }
        if self.staging.is_empty() && self.shares() {
            return self.commit_staged(upto, Wait::No).map(Some);
        }
        let published = self.publish_or_not(upto);
        self.staging.is_regardless = false;
        published
    }

    fn publish_or_not(&mut self, upto: usize) -> Result<Option<Committed>, Fault> {
        let published = loop {
            match self.try_publish(upto, None, true, LockPriority::High)? {
                Published::NeedsList(window, class) => {
                    if !self.reserve_list(window, class, Wait::Forever)? {
                        self.discard_staged()?;
                        return Ok(Some(Committed::Ordered));
                    }
                }
                published => break published,
            }
        };
        let committed = match published {
            Published::All { before, after } => return Ok(Some(Committed::Done { before, after })),
            Published::Full { .. } | Published::Part | Published::NeedsList(..) => None,
            Published::Closed => Some(Committed::Closed),
        };
        self.discard_staged()?;
        Ok(committed)
    }

    /// Throws away what was staged since [`WorkerHandle::begin_whole`].
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn give_up_whole(&mut self) -> Result<(), Fault> {
        (self.staging.is_whole, self.staging.is_regardless) = (false, false);
        self.discard_staged()
    }

    /// Outputs that one transaction surely takes: beside the leases there is an entry for each.
    fn max_at_once(&self) -> usize {
        MAX_BATCH.min(self.free_entries() + self.staging.spares.len())
    }
}
