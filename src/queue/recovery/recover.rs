//! Recovery of an arena that an earlier run has left: its leases go back, its queues are named, its ledgers are checked.
//!
//! No other process has the arena open (see `arena/attach.rs`). Every step may be killed and done again by the next run.

use crate::queue::QueueId;
use crate::queue::admin::{FailureAttribution, QueueAdmin};
use crate::queue::arena::descriptor::inline_word;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{self, DescriptorAt, QueueAt, SlotAt, descriptor, queue};
use crate::queue::transaction::counts::{self, QueueCounts};
use crate::queue::transaction::{returned, tx::Tx};

/// A queue in use, by the label that the run before knew it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledQueue {
    /// Its number.
    pub queue: QueueId,
    /// What [`QueueAdmin::set_label`] called it.
    pub label: String,
    /// Its ledger; nothing is leased.
    pub counts: QueueCounts,
    /// No stage was to write it any more.
    pub ended: bool,
    /// No stage was to read it any more.
    pub closed: bool,
}

impl QueueAdmin {
    /// Labels a queue that is not in use yet, for the next run. Cut to 248 bytes.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_label(&mut self, q: QueueId, label: &str) -> Result<(), Fault> {
        self.open_queue(q)?;
        let (len_at, text_at) = QueueAt::of(q)?.label();
        let text = &label.as_bytes()[..label.len().min(layout::LABEL_MAX)];
        let memory = self.session.memory();
        memory.write_text(text_at, text);
        memory.store(len_at, text.len() as u64);
        Ok(())
    }

    /// Recovers what an earlier run has left, and returns which queues there are. A begun item counts one more attempt, as
    /// it may have had its effects outside; but none becomes a dead letter, for it was not what ended the run.
    ///
    /// # Errors
    /// When the memory does not add up: then nothing in it can be trusted.
    pub fn recover(&mut self) -> Result<Vec<LabelledQueue>, Fault> {
        self.session.arena.free_stale_lock();
        self.session.memory().store(layout::STOPPED, 0);
        for slot in SlotAt::opened(self.session.memory().load(layout::OPENED)) {
            self.release(slot.id(), FailureAttribution::Begun, u32::MAX, &mut |_| Ok(()))?;
        }
        self.audit().map_err(Fault::Foreign)?;
        self.queues()
    }

    /// The queues that are in use, with workers at work or not.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn queues(&mut self) -> Result<Vec<LabelledQueue>, Fault> {
        let tx = self.session.begin()?;
        let recovered = |queue: QueueAt| {
            let (len, text) = queue.label();
            let flags = tx.get(queue + queue::FLAGS);
            LabelledQueue {
                queue: queue.id(),
                label: tx.memory.read_string(len, text, layout::LABEL_MAX),
                counts: counts::counts(&tx, queue),
                ended: flags & queue::ENDED != 0,
                closed: flags & queue::CLOSED != 0,
            }
        };
        Ok(counts::used_queues(tx.memory).map(recovered).collect())
    }

    /// The item that is served next, as long as no worker is attached.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn first(&mut self, q: QueueId) -> Result<Option<Vec<u8>>, Fault> {
        let tx = self.session.begin()?;
        first(&tx, q)?.map(|at| tx.memory.item(at).map(<[u8]>::to_vec)).transpose()
    }

    /// Changes the item that is served next, in its place, as long as no worker is attached. A death in the middle
    /// leaves some bytes old and some new: so one byte at a time.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn change_first(&mut self, q: QueueId, change: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
        let tx = self.session.begin()?;
        let Some(at) = first(&tx, q)? else { return Ok(()) };
        let mut item = tx.memory.item(at)?.to_vec();
        change(&mut item);
        match tx.memory.meta(at).has_block() {
            false => tx.memory.store(at + descriptor::DATA, inline_word(&item)),
            true => tx.memory.fill(tx.memory.block_of(at), item.len(), |to| to.copy_from_slice(&item))?,
        }
        Ok(())
    }
}

/// Where the descriptor of the item is that is served next.
fn first(tx: &Tx<'_>, q: QueueId) -> Result<Option<DescriptorAt>, Fault> {
    let queue = QueueAt::of(q)?;
    let (n, k) = (returned::len(tx, queue)?, tx.get(queue + queue::RING).min(layout::RING_MAX));
    Ok(match (n, counts::waiting(tx, queue)) {
        (_, 0) => None,
        (0, _) => Some(queue.ring_slot(k, tx.get(queue + queue::HEAD))),
        (n, _) => Some(queue.returned(n - 1).into()),
    })
}
