//! A fresh arena with what an image holds: where the machine went down, and the pages of the live one can't be trusted.
//!
//! It is made under another name, whole and on the disk, before it takes the old one's: killed anywhere before that, it is
//! made again, from the same image.

use super::image::{Image, ItemImage, QueueImage};
use crate::model::{Limits, WhenFull};
use crate::queue::admin::QueueAdmin;
use crate::queue::arena::layout::{EntryAt, MAX_ITEM, QueueAt, entry, queue};
use crate::queue::arena::{descriptor::Meta, fault::Fault};
use crate::queue::transaction::{delayed, returned, ring, tx::Tx};

/// Items put in one transaction.
const TX_ITEMS: usize = 32;

impl QueueAdmin {
    /// Fills a fresh arena.
    pub(in crate::queue) fn restore(&mut self, image: &Image<'_>) -> Result<(), Fault> {
        for queue in &image.queues {
            self.restore_queue(queue)?;
        }
        self.audit().map(drop).map_err(Fault::Foreign)
    }

    fn restore_queue(&mut self, image: &QueueImage<'_>) -> Result<(), Fault> {
        let (q, queue) = (image.id, QueueAt::of(image.id)?);
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
        // Those whose outputs are partly published have no place in a ring: they come first, as if they had been given back.
        // Nor have those that are delayed.
        let (apart, plain): (Vec<&ItemImage<'_>>, Vec<&ItemImage<'_>>) =
            image.items.iter().partition(|item| item.mark != 0 || item.due != 0);
        let head = image.put().wrapping_sub(plain.len() as u64);
        let mut tx = self.session.begin()?;
        [queue::TAIL, queue::HEAD].iter().for_each(|&word| tx.set(queue + word, head));
        for word in [queue::DONE, queue::DEAD, queue::DROPPED_OLD, queue::DROPPED_NEW, queue::PUT_BACK] {
            tx.set(queue + word, image.word(word));
        }
        tx.commit()?;
        drop(tx);
        // The youngest first: the oldest ends on top of the stack.
        for (n, item) in (1..).zip(apart.into_iter().rev()) {
            self.restore_apart(queue, item, head.wrapping_sub(n), image.word(queue::DELAY_MOST))?;
        }
        for chunk in plain.chunks(TX_ITEMS) {
            let mut tx = self.session.begin()?;
            let items =
                chunk.iter().map(|item| new_item(&mut tx, queue, item)).collect::<Result<Vec<_>, _>>()?;
            ring::push(&mut tx, queue, items.len() as u64, items.into_iter())?;
            tx.commit()?;
        }
        let flags = image.word(queue::FLAGS);
        self.set_ended(q, flags & queue::ENDED != 0)?;
        self.set_closed(q, flags & queue::CLOSED != 0)
    }

    fn restore_apart(
        &mut self,
        queue: QueueAt,
        item: &ItemImage<'_>,
        sequence: u64,
        most: u64,
    ) -> Result<(), Fault> {
        let mut tx = self.session.begin()?;
        let n = returned::len(&tx, queue)?;
        if n >= tx.get(queue + queue::RETURN_ROOM) {
            returned::make_room(&mut tx, queue)?;
        }
        let (data, meta) = new_item(&mut tx, queue, item)?;
        let fill = |tx: &mut Tx<'_>, to: EntryAt| {
            tx.memory.store_descriptor(to, data, meta);
            tx.memory.store(to + entry::SEQUENCE, sequence);
            tx.memory.store(to + entry::MARK, item.mark);
            tx.memory.store(to + entry::PUT_OFF, 0);
            tx.memory.store(to + entry::FAILURES, 0);
        };
        if item.due == 0 || delayed::put_at(&mut tx, queue, item.due, most, fill)?.is_none() {
            fill(&mut tx, queue.returned(n));
            tx.set(queue + queue::RETURNED_ENTRIES, n + 1);
            tx.add(queue + queue::RETURNED, 1);
        }
        tx.commit()
    }
}

fn new_item(tx: &mut Tx<'_>, queue: QueueAt, item: &ItemImage<'_>) -> Result<(u64, Meta), Fault> {
    if item.bytes.len() as u64 > MAX_ITEM {
        return Err(Fault::Foreign(format!("an item of {} bytes", item.bytes.len())));
    }
    let (data, meta) = tx.new_item(queue, item.bytes)?;
    Ok((data, meta.failed(item.failures)))
}
