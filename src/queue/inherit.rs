//! Going on from an arena that an earlier run has left: its leases go back, its queues are named, its books are checked.
//!
//! Nobody else has the arena open (see `claim.rs`). Every step is one that may be killed and done again by the next.

use super::counts::QueueCounts;
use super::descriptor::{Meta, inline_word};
use super::layout::{self, queue};
use super::release::FailureAttribution;
use super::steward::QueueAdmin;
use super::tx::Tx;
use super::{Fault, QueueId, ring};

/// A queue that an earlier run has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Its number.
    pub queue: QueueId,
    /// What [`QueueAdmin::set_label`] called it.
    pub label: String,
    /// Its ledger; nothing is leased.
    pub counts: QueueCounts,
    /// Nobody was to write it any more.
    pub ended: bool,
    /// Nobody was to read it any more.
    pub closed: bool,
}

impl QueueAdmin {
    /// Calls a queue that is not in use yet by a name: for whoever inherits it. Cut to 504 bytes.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_label(&mut self, q: QueueId, label: &str) -> Result<(), Fault> {
        let at = layout::label_of(layout::queue_at(q)?);
        let text = &label.as_bytes()[..label.len().min(layout::LABEL_MAX)];
        let memory = self.hand.memory();
        memory.write_text(at + 8, text);
        memory.store(at, text.len() as u64);
        Ok(())
    }

    /// Settles what an earlier run has left, and tells which queues there are. A begun item counts one more attempt, as
    /// it may have had its effects outside; but none becomes a dead letter, for it was not what ended the run.
    ///
    /// # Errors
    /// When the memory does not add up: then nothing in it can be trusted.
    pub fn inherit(&mut self) -> Result<Vec<Inherited>, Fault> {
        self.hand.arena.free_stale_lock();
        self.hand.memory().store(layout::STOPPED, 0);
        for id in layout::opened_slots(self.hand.memory().load(layout::OPENED)) {
            self.release(id, FailureAttribution::Begun, u32::MAX, &mut |_| Ok(()))?;
        }
        let all = self.audit().map_err(Fault::Foreign)?;
        all.into_iter().map(|(queue, counts)| self.inherited(queue, counts)).collect()
    }

    /// The queues that are in use, with workers at work or not.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn queues(&mut self) -> Result<Vec<Inherited>, Fault> {
        let mut all = Vec::new();
        for q in (0..layout::MAX_QUEUES as u16).map(QueueId) {
            let flags = self.hand.memory().load(layout::queue_at(q)? + queue::FLAGS);
            if flags & queue::USED != 0 {
                let counts = self.counts(q)?;
                all.push(self.inherited(q, counts)?);
            }
        }
        Ok(all)
    }

    fn inherited(&self, q: QueueId, counts: QueueCounts) -> Result<Inherited, Fault> {
        let at = layout::queue_at(q)?;
        let (memory, label) = (self.hand.memory(), layout::label_of(at));
        let len = (memory.load(label) as usize).min(layout::LABEL_MAX);
        let flags = memory.load(at + queue::FLAGS);
        Ok(Inherited {
            queue: q,
            label: String::from_utf8_lossy(&memory.read_text(label + 8, len)).into_owned(),
            counts,
            ended: flags & queue::ENDED != 0,
            closed: flags & queue::CLOSED != 0,
        })
    }

    /// The item that is served next, as long as no worker is attached.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn first(&mut self, q: QueueId) -> Result<Option<Vec<u8>>, Fault> {
        let tx = self.hand.begin()?;
        first(&tx, q)?.map(|words| bytes(&tx, words).map(<[u8]>::to_vec)).transpose()
    }

    /// Changes the item that is served next, in its place, as long as no worker is attached. A death in the middle
    /// leaves some bytes old and some new: so one byte at a time.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn change_first(&mut self, q: QueueId, change: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
        let tx = self.hand.begin()?;
        let Some(words) = first(&tx, q)? else { return Ok(()) };
        let mut item = bytes(&tx, words)?.to_vec();
        change(&mut item);
        match Meta(tx.memory.load(words + 8)).has_block() {
            false => tx.memory.store(words, inline_word(&item)),
            true => tx.memory.fill(tx.memory.load(words), item.len(), |to| to.copy_from_slice(&item))?,
        }
        Ok(())
    }
}

/// Where the descriptor of the item is that is served next.
fn first(tx: &Tx<'_>, q: QueueId) -> Result<Option<usize>, Fault> {
    let at = layout::queue_at(q)?;
    let (returned, k) = (ring::returned(tx, at)?, tx.get(at + queue::RING));
    Ok(match (returned, ring::waiting(tx, at)) {
        (_, 0) => None,
        (0, _) => Some(layout::ring_slot(q, k.min(layout::RING_MAX), tx.get(at + queue::HEAD))),
        (n, _) => Some(layout::returned_entry(q, n - 1)),
    })
}

fn bytes<'a>(tx: &Tx<'a>, words: usize) -> Result<&'a [u8], Fault> {
    let meta = Meta(tx.memory.load(words + 8));
    match meta.has_block() {
        false => Ok(tx.memory.inline(words, meta.len())),
        true => tx.memory.block(tx.memory.load(words), meta.len()),
    }
}
