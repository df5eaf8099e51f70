//! Items that wait, looked at without a lease, and how their queue stands: for the one handle that takes from it.

use super::handle::WorkerHandle;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{BlockAt, QueueAt, entry, queue};
use crate::queue::transaction::counts::{self, QueueCounts};
use crate::queue::transaction::{returned, ring, tx::Tx};

/// Items of one descriptor that follow each other.
struct Found {
    number: u64,
    data: u64,
    meta: Meta,
}

impl WorkerHandle {
    /// Shows `each` the items that wait in `q`, from number `from` on and at most `most`, in their order, until it wants no more.
    ///
    /// No other handle may take from the queue: the items are read when the lock is free again.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn look(
        &mut self,
        q: QueueId,
        from: u64,
        most: usize,
        mut each: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), Fault> {
        let found = find(&self.session.begin()?, QueueAt::of(q)?, from, most)?;
        for Found { number, data, meta } in found {
            let Span { first, count } = meta.as_span().unwrap_or(Span { first: 0, count: 1 });
            for i in 0..count {
                let inline = data.to_le_bytes();
                let block = BlockAt::named_by(data);
                let item = match meta.as_span() {
                    Some(_) => self.session.memory().item_of(block, first + i)?,
                    None if meta.has_block() => self.session.memory().block(block, meta.len())?,
                    None => inline.get(..meta.len()).unwrap_or_default(),
                };
                if number + i as u64 >= from && !each(number + i as u64, item) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The queue's ledger now, and whether no writer will ever put again.
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn counts_of(&mut self, q: QueueId) -> Result<(QueueCounts, bool), Fault> {
        let (queue, tx) = (QueueAt::of(q)?, self.session.begin()?);
        Ok((counts::counts(&tx, queue), tx.get(queue + queue::FLAGS) & queue::ENDED != 0))
    }

    /// The most that may wait in a queue, with the room for those that must pass what is delayed, and the bytes that its items may
    /// take.
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn limits_of(&self, q: QueueId) -> Result<(u64, u64), Fault> {
        let (memory, queue) = (self.session.memory(), QueueAt::of(q)?);
        Ok((counts::capacity_roughly(memory, queue), memory.load(queue + queue::MAX_BYTES)))
    }

    /// No writer will ever put into the queue again.
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn end_queue(&mut self, q: QueueId) -> Result<(), Fault> {
        self.change_flags(q, |flags| flags | queue::ENDED)
    }

    /// Writers put into the queue again.
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn reopen_queue(&mut self, q: QueueId) -> Result<(), Fault> {
        self.change_flags(q, |flags| flags & !queue::ENDED)
    }

    /// Whether what other machines have is all that may still come into a shared queue.
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn set_all_leased(&mut self, q: QueueId, is_so: bool) -> Result<(), Fault> {
        self.change_flags(q, |flags| match is_so {
            true => flags | queue::ALL_LEASED,
            false => flags & !queue::ALL_LEASED,
        })
    }

    fn change_flags(&mut self, q: QueueId, change: impl FnOnce(u64) -> u64) -> Result<(), Fault> {
        let (queue, mut tx) = (QueueAt::of(q)?, self.session.begin()?);
        let flags = tx.get(queue + queue::FLAGS);
        let changed = change(flags);
        if changed != flags {
            tx.set(queue + queue::FLAGS, changed);
            tx.commit()?;
            queue::EVENTS.iter().for_each(|&event| tx.notify_all(queue + event));
        }
        Ok(())
    }
}

fn find(tx: &Tx<'_>, queue: QueueAt, from: u64, most: usize) -> Result<Vec<Found>, Fault> {
    let (mut found, mut items) = (Vec::new(), 0);
    let mut note = |number: u64, data, meta: Meta| {
        let end = number.wrapping_add(meta.items() as u64);
        if end > from {
            items += usize::try_from(end - number.max(from)).unwrap_or(usize::MAX);
            found.push(Found { number, data, meta });
        }
        items < most
    };
    for i in (0..returned::len(tx, queue)?).rev() {
        let at = queue.returned(i);
        if !note(tx.memory.load(at + entry::SEQUENCE), tx.memory.data(at), tx.memory.meta(at)) {
            return Ok(found);
        }
    }
    let (k, first, used) = ring::extent(tx, queue)?;
    let mut number = tx.get(queue + queue::HEAD);
    for i in 0..used {
        let slot = queue.ring_slot(k, first.wrapping_add(i));
        let meta = ring::remaining(tx, queue, slot, i == 0)?;
        if !note(number, tx.memory.data(slot), meta) {
            break;
        }
        number = number.wrapping_add(meta.items() as u64);
    }
    Ok(found)
}
