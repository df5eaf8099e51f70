//! A fresh arena with what an image holds: where the machine went down, and the pages of the live one can't be trusted.
//!
//! It is made under another name, whole and on the disk, before it takes the old one's: killed anywhere before that, it is
//! made again, from the same image.

use super::descriptor::{Meta, inline_word};
use super::image::{Image, Item, Queue};
use super::layout::{self, INLINE, MAX_ITEM, queue};
use super::steward::QueueAdmin;
use super::tx::Tx;
use super::{Fault, QueueId, ring};
use crate::model::{Limits, WhenFull};

/// Items put in one transaction.
const CHUNK: usize = 32;

impl QueueAdmin {
    /// Fills a fresh arena.
    pub(super) fn restore(&mut self, image: &Image<'_>) -> Result<(), Fault> {
        for queue in &image.queues {
            self.restore_queue(queue)?;
        }
        self.audit().map(drop).map_err(Fault::Foreign)
    }

    fn restore_queue(&mut self, image: &Queue<'_>) -> Result<(), Fault> {
        let (q, at) = (image.id, layout::queue_at(image.id)?);
        self.set_label(q, &image.label)?;
        self.set_queue(
            q,
            &Limits {
                capacity: image.word(queue::CAPACITY),
                max_bytes: image.word(queue::MAX_BYTES),
                max_item: image.word(queue::MAX_ITEM),
                when_full: WhenFull::from_word(image.word(queue::WHEN_FULL)),
            },
        )?;
        // Those whose outputs are partly out have no place in a ring: they come first, as if they had been given back.
        let (marked, plain): (Vec<&Item<'_>>, Vec<&Item<'_>>) =
            image.items.iter().partition(|item| item.mark != 0);
        let head = image.put().wrapping_sub(plain.len() as u64);
        let mut tx = self.hand.begin()?;
        [queue::TAIL, queue::HEAD].iter().for_each(|word| tx.set(at + word, head));
        for which in [queue::DONE, queue::DEAD, queue::DROPPED_OLD, queue::DROPPED_NEW, queue::PUT_BACK] {
            tx.set(at + which, image.word(which));
        }
        tx.commit()?;
        drop(tx);
        // The youngest first: the oldest ends on top of the stack.
        for (n, item) in (1..).zip(marked.into_iter().rev()) {
            self.give_back_marked(q, at, item, head.wrapping_sub(n))?;
        }
        for chunk in plain.chunks(CHUNK) {
            let mut tx = self.hand.begin()?;
            let words =
                chunk.iter().map(|item| place(&mut tx, q, at, item)).collect::<Result<Vec<_>, _>>()?;
            ring::push(&mut tx, q, at, words.len(), words.into_iter())?;
            tx.commit()?;
        }
        let ends = image.word(queue::FLAGS) & (queue::ENDED | queue::CLOSED);
        self.set_ended(q, ends & queue::ENDED != 0)?;
        self.set_closed(q, ends & queue::CLOSED != 0)
    }

    fn give_back_marked(&mut self, q: QueueId, at: usize, item: &Item<'_>, ticket: u64) -> Result<(), Fault> {
        let mut tx = self.hand.begin()?;
        let n = ring::returned(&tx, at)?;
        if n >= tx.get(at + queue::RETURN_ROOM) {
            ring::make_room_to_return(&mut tx, q, at)?;
        }
        let (data, meta) = place(&mut tx, q, at, item)?;
        let entry = layout::returned_entry(q, n);
        let words = [data, meta.0, ticket, item.mark];
        (0..).zip(words).for_each(|(i, word)| tx.memory.store(entry + i * 8, word));
        tx.set(at + queue::RETURNED, n + 1);
        tx.commit()
    }
}

/// The item's descriptor, and its block filled.
fn place(tx: &mut Tx<'_>, q: QueueId, at: usize, item: &Item<'_>) -> Result<(u64, Meta), Fault> {
    let bytes = item.bytes;
    if bytes.len() as u64 > MAX_ITEM {
        return Err(Fault::Foreign(format!("an item of {} bytes", bytes.len())));
    }
    let meta = Meta::item(bytes.len(), q).failed(item.failures);
    if bytes.len() <= INLINE {
        return Ok((inline_word(bytes), meta));
    }
    let class = layout::class_for(bytes.len());
    let block = tx.allocate(class)?;
    tx.memory.fill(block, bytes.len(), |to| to.copy_from_slice(bytes))?;
    tx.add(at + queue::BYTES, layout::block_size(class));
    Ok((block, meta))
}
