//! Recovery of an arena that an earlier run has left: its leases go back, its queues are named, its ledgers are checked.
//!
//! No other process has the arena open (see `arena/attach.rs`). Every step may be killed and done again by the next run.

use crate::queue::QueueId;
use crate::queue::admin::{FailureAttribution, QueueAdmin};
use crate::queue::arena::descriptor::inline_word;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{self, DescriptorAt, QueueAt, SlotAt, descriptor, queue, slot};
use crate::queue::arena::slot_queues;
use crate::queue::transaction::counts::{self, QueueCounts};
use crate::queue::transaction::holdings::Bitmap;
use crate::queue::transaction::{delayed, failing, places, returned, ring, tx::Tx};

/// A queue in use, by the label that the span before knew it by.
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

    /// About how many items the programs of killed workers had in hand without a lease, each with the queues that its worker took them
    /// from. Call it before [`QueueAdmin::recover`], which forgets them.
    pub fn handed_over(&self) -> Vec<(Vec<QueueId>, u64)> {
        let memory = self.session.memory();
        let of_slot = |slot: SlotAt| {
            let inputs = slot_queues::inputs(memory, slot).into_iter().map(QueueAt::id);
            (inputs.collect(), memory.load(slot + slot::HANDED_OVER))
        };
        SlotAt::opened(memory.load(layout::OPENED)).map(of_slot).filter(|(_, items)| *items > 0).collect()
    }

    /// A queue whose items workers hold is in use, or its words are gone.
    fn check_holdings(&self) -> Result<(), Fault> {
        let memory = self.session.memory();
        for slot in SlotAt::opened(memory.load(layout::OPENED)) {
            for entry in Bitmap::load(memory, slot).entries() {
                let queue = QueueAt::of(memory.meta(slot.entry(entry)).queue())?;
                let flags = memory.load(queue + queue::FLAGS);
                if flags & queue::USED == 0 {
                    return Err(Fault::damaged(
                        "the flags of a queue with leased items",
                        queue + queue::FLAGS,
                        flags,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Recovers what an earlier run has left, and returns which queues there are. A begun item counts one more attempt, as
    /// it may have had its effects outside; but none becomes a dead letter, for it was not what ended the span.
    ///
    /// # Errors
    /// When the memory does not add up: then nothing in it can be trusted.
    pub fn recover(&mut self) -> Result<Vec<LabelledQueue>, Fault> {
        self.session.arena.free_stale_lock();
        self.session.memory().store(layout::STOPPED, 0);
        self.check_holdings()?;
        for slot in SlotAt::opened(self.session.memory().load(layout::OPENED)) {
            self.release(slot.id(), FailureAttribution::Begun, u32::MAX, &mut |_| Ok(()))?;
        }
        self.move_all_windows()?;
        let tx = self.session.begin()?;
        let is_queue = |queue: &QueueAt| !places::is_one(&tx, *queue);
        counts::used_queues(tx.memory)
            .filter(is_queue)
            .try_for_each(|queue| failing::leave_all(&tx, queue))?;
        drop(tx);
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
        first(&tx, q)?.map(|at| item(&tx, at).map(<[u8]>::to_vec)).transpose()
    }

    /// Changes the item that is served next, in its place, as long as no worker is attached. A death in the middle
    /// leaves some bytes old and some new: so one byte at a time.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn change_first(&mut self, q: QueueId, change: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
        let tx = self.session.begin()?;
        let Some(first @ (at, n)) = first(&tx, q)? else { return Ok(()) };
        let mut bytes = item(&tx, first)?.to_vec();
        change(&mut bytes);
        let (meta, block) = (tx.memory.meta(at), tx.memory.block_of(at));
        match meta.as_span() {
            Some(_) => tx.memory.change_item_of(block, n, &bytes),
            None if meta.has_block() => tx.memory.fill(block, bytes.len(), |to| to.copy_from_slice(&bytes)),
            None => {
                tx.memory.store(at + descriptor::DATA, inline_word(&bytes));
                Ok(())
            }
        }
    }
}

fn item<'m>(tx: &Tx<'m>, (at, n): (DescriptorAt, usize)) -> Result<&'m [u8], Fault> {
    tx.memory.payload(at, tx.memory.meta(at), n)
}

/// Where the descriptor of the item is that is served next; in a span, which of its extent it is.
fn first(tx: &Tx<'_>, q: QueueId) -> Result<Option<(DescriptorAt, usize)>, Fault> {
    let queue = QueueAt::of(q)?;
    let n = returned::len(tx, queue)?;
    if counts::waiting(tx, queue) == 0 {
        let next = delayed::entries(tx, queue)?.first().map(|&(at, _)| DescriptorAt::from(at));
        return Ok(next.map(|at| (at, tx.memory.meta(at).as_span().map_or(0, |span| span.first))));
    }
    let (at, meta) = if let Some(top) = n.checked_sub(1) {
        let at = queue.returned(top).into();
        (at, tx.memory.meta(at))
    } else {
        let (k, first, _) = ring::extent(tx, queue)?;
        let at = queue.ring_slot(k, first);
        (at, ring::remaining(tx, queue, at, true)?)
    };
    Ok(Some((at, meta.as_span().map_or(0, |span| span.first))))
}
