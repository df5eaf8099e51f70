//! Stages that read or write queues of a broker. An item of such a queue stands behind its mark, which its stage does not see. What
//! a transaction changes in the broker (leases that end there, outputs for there, the stage's token where the broker has a copy of
//! it) is one item, a commit, for the stage's *line*: it goes there in the transaction that ends the leases here, and from there to the broker.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | with outputs for the broker | nothing: private memory | – |
//! | with the commit staged | a reserved block | release: back to the free stack |
//! | before the transaction | the items are leased still | release: they go back |
//! | after it | the commit, and no lease | – |

use super::handle::WorkerHandle;
use super::put::PutError;
use super::sharing::{MOST_MIXED_LEASES, SharedQueues, Sharing};
use crate::broker::{Commit, End, Sequence, Step};
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::worker_time::Waiting;
use bytes::Bytes;
use std::time::Duration;

/// Bytes of outputs that one commit may have.
const MAX_COMMIT: usize = 256 << 20;
/// A full disk is tried again.
const DISK_RETRY: Duration = Duration::from_millis(100);

impl WorkerHandle {
    /// Names the shared ones among the queues of the worker's stage.
    pub fn share(&mut self, of: SharedQueues, inputs: &[QueueId], outputs: &[QueueId]) {
        let is_shared = |q: &&QueueId| of.number(**q).is_some();
        let has_inputs = inputs.iter().any(|q| is_shared(&q));
        let shared_outputs = outputs.iter().filter(is_shared).count();
        let is_mixed = 0 < shared_outputs && shared_outputs < outputs.len();
        self.staging.line = Some(of.line);
        if is_mixed {
            self.max_leases = MOST_MIXED_LEASES;
        }
        self.sharing = Some(Box::new(Sharing::new(of, has_inputs)));
    }

    /// Whether the stage reads or writes a shared queue.
    pub fn shares(&self) -> bool {
        self.sharing.is_some()
    }

    /// Whether lease `i` is of an item that lies in a broker.
    ///
    /// # Errors
    /// As [`WorkerHandle::item`].
    pub fn is_shared(&self, i: usize) -> Result<bool, Fault> {
        let queue = self.item(i)?.queue;
        Ok(self.sharing.as_ref().is_some_and(|sharing| sharing.is_shared(queue)))
    }

    /// What is published early is not marked: it comes again with its item.
    pub(super) fn marks_outputs(&self) -> bool {
        self.sharing.as_ref().is_none_or(|sharing| !sharing.has_inputs)
    }

    /// Whether an output for these queues can be staged as ever.
    #[inline]
    pub(super) fn is_local(&self, outputs: &[QueueId]) -> bool {
        let is_local = |sharing: &Sharing, q| !sharing.is_shared(q) && !sharing.is_token(q);
        self.sharing.as_ref().is_none_or(|sharing| outputs.iter().all(|&q| is_local(sharing, q)))
    }

    /// One output, of which some queues are shared.
    #[cold]
    pub(super) fn put_shared(
        &mut self,
        outputs: &[QueueId],
        len: usize,
        for_lease: Option<usize>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        if self.sharing.as_ref().is_some_and(|sharing| outputs.iter().any(|&q| sharing.is_token(q))) {
            return self.put_token(outputs, len, for_lease, fill);
        }
        for &queue in outputs {
            self.check_length(queue, len)?;
            let so_far = self.sharing.as_ref().map_or(0, |sharing| sharing.bytes);
            if so_far + len > MAX_COMMIT {
                return Err(PutError::TooLong { len: (so_far + len) as u64, max: MAX_COMMIT as u64, queue });
            }
        }
        let mut item = vec![0; len];
        fill(&mut item);
        let item = Bytes::from(item);
        let local: Vec<QueueId> = outputs.iter().copied().filter(|&q| self.is_local(&[q])).collect();
        if !local.is_empty() {
            self.put_local(&local, len, for_lease, |to| to.copy_from_slice(&item))?;
        }
        let Some(sharing) = &mut self.sharing else { return Ok(()) };
        sharing.add(outputs, &item, for_lease, local.is_empty());
        Ok(())
    }

    /// The token changes here as ever, and in the broker by a step.
    fn put_token(
        &mut self,
        token: &[QueueId],
        len: usize,
        for_lease: Option<usize>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        let from = for_lease.map_or(Ok(Vec::new()), |i| self.item(i).map(|lease| lease.bytes.to_vec()))?;
        let mut to = vec![0; len];
        fill(&mut to);
        self.put_local(token, len, for_lease, |block| block.copy_from_slice(&to))?;
        if let Some(sharing) = &mut self.sharing {
            sharing.note_step(Step { from, to }, for_lease);
        }
        Ok(())
    }

    pub(super) fn discard_shared_from(&mut self, i: usize) {
        if let Some(sharing) = &mut self.sharing {
            sharing.discard_from(i as u32);
        }
    }

    /// What the leases `0 .. upto` and the outputs so far are for the broker is staged as a commit, unless it is already. False: an
    /// order to finish came while there was no memory for it.
    pub(super) fn stage_commit(&mut self, upto: usize) -> Result<bool, Fault> {
        let Some(sharing) = self.sharing.as_deref().filter(|sharing| !sharing.is_staged) else {
            return Ok(true);
        };
        let mut ends = Vec::new();
        for i in 0..upto.min(self.leases.len()) {
            let (queue, marked) = self.marked_item(i)?;
            if let Some(queue) = sharing.number(queue) {
                let dead_lease =
                    self.dead_lease.as_ref().filter(|dead_lease| dead_lease.entry == self.leases[i].entry);
                let dead = match dead_lease {
                    Some(dead_lease) => Some((dead_lease.cause.clone(), self.item(i)?.attempt)),
                    None => None,
                };
                ends.push(End { queue, sequence: sequence_of(marked)?, dead });
            }
        }
        if ends.is_empty() && !sharing.has_changes() {
            return Ok(true);
        }
        let Some(sharing) = &mut self.sharing else { return Ok(true) };
        let (outputs, step) = sharing.take_changes();
        let commit = Commit { ends, outputs, step, ..Commit::default() };
        self.stage_in_line(&commit)
    }

    fn stage_in_line(&mut self, commit: &Commit) -> Result<bool, Fault> {
        let Some(line) = self.sharing.as_ref().map(|sharing| sharing.line()) else { return Ok(true) };
        let bytes = commit.encode();
        let before = (self.staging.is_whole, self.staging.is_regardless);
        loop {
            (self.staging.is_whole, self.staging.is_regardless) = (true, true);
            let put = self.put_local(&[line], bytes.len(), None, |to| to.copy_from_slice(&bytes));
            (self.staging.is_whole, self.staging.is_regardless) = before;
            match put {
                Ok(()) => break,
                Err(PutError::Fault(fault)) => return Err(fault),
                Err(PutError::NoRoom | PutError::Ordered | PutError::TooLong { .. }) => {}
            }
            if self.must_finish() {
                return Ok(false);
            }
            self.begin_wait(Waiting::Blocked);
            std::thread::sleep(DISK_RETRY);
            self.end_wait(Waiting::Blocked);
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.is_staged = true;
        }
        Ok(true)
    }
}

fn sequence_of(marked: &[u8]) -> Result<Sequence, Fault> {
    let split = Sequence::split_mark(marked);
    split
        .map(|(sequence, _)| sequence)
        .ok_or_else(|| Fault::damaged("an item's mark", 0_u64, marked.len() as u64))
}
