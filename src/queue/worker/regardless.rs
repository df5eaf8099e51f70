//! Items that come from outside, where they are leased already: they have a place whatever the limits of their queue say, as who
//! brings them has asked for no more than there is room for. And out again, whoever waits for them.

use super::handle::WorkerHandle;
use super::put::PutError;
use super::take::TakenBatch;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{MAX_BATCH, QueueAt, queue};
use crate::queue::transaction::counts;

impl WorkerHandle {
    /// As [`WorkerHandle::begin_whole`]; what is put from here on needs no room, only memory.
    pub fn begin_regardless(&mut self) {
        self.begin_whole();
        self.staging.is_regardless = true;
    }

    /// Stages one output of `len` bytes for a queue, as an item that has failed this often.
    ///
    /// # Errors
    /// As [`WorkerHandle::put`].
    pub fn put_failed(
        &mut self,
        q: QueueId,
        len: usize,
        (failures, for_lease): (u32, Option<usize>),
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        if failures == 0 {
            return self.put_with(&[q], len, for_lease, fill);
        }
        self.staging.failures = failures;
        let put = self.put_local(&[q], len, for_lease, fill);
        self.staging.failures = 0;
        put
    }

    /// Leases what waits in `q`, also what is delayed, at most `most` items. Returns how many.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn take_waiting(&mut self, q: QueueId, most: usize) -> Result<usize, Fault> {
        let queue = QueueAt::of(q)?;
        let most = most.min(self.leases_left()).min(MAX_BATCH);
        let WorkerHandle { session, slot, leases, .. } = self;
        let mut tx = session.begin()?;
        let mut batch = TakenBatch::new(*slot, leases, most);
        batch.take_all(&mut tx, queue)?;
        let got = batch.got;
        tx.commit()?;
        if got > 0 && counts::queued(&tx, queue) < counts::capacity(&tx, queue) {
            tx.notify(queue + queue::NOT_FULL);
        }
        Ok(got)
    }
}
