//! A fresh arena with what an image holds: where the machine went down, and the pages of the live one can't be trusted.
//!
//! It is made under another name, whole and on the disk, before it takes the old one's: killed anywhere before that, it is
//! made again, from the same image.

use super::image::{Image, ItemImage, QueueImage};
use crate::model::{Limits, WhenFull};
use crate::queue::admin::QueueAdmin;
use crate::queue::arena::layout::{EntryAt, MAX_ITEM, Queue, QueueAt, entry, queue};
use crate::queue::arena::note::RESTORED_NOTE;
use crate::queue::arena::place::Field;
use crate::queue::arena::{descriptor::Meta, fault::Fault};
use crate::queue::transaction::{delayed, places, returned, ring, tx::Tx, window};

/// Items put in one transaction.
const TX_ITEMS: usize = 32;
/// What became of items.
const ENDS: [Field<Queue>; 2] = [queue::DONE, queue::DROPPED_OLD];

impl QueueAdmin {
    /// Fills a fresh arena.
    pub(in crate::queue) fn restore(&mut self, image: &Image<'_>) -> Result<(), Fault> {
        let is_window = |image: &&QueueImage<'_>| image.word(queue::FLAGS) & queue::IS_WINDOW != 0;
        let (windows, queues): (Vec<_>, Vec<_>) = image.queues.iter().partition(is_window);
        for queue in queues {
            self.restore_queue(queue)?;
        }
        // What they hold is for the others.
        for window in windows {
            self.restore_window(window)?;
        }
        self.move_all_windows()?;
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
        // What was written under its item after it was saved is to be undone.
        self.session.arena.set_note(q, false, &RESTORED_NOTE)?;
        // Those of which more is known (a part of the outputs is out, they are known to be bad) have no place in a ring: they
        // come first, with what is before them, as if they had been given back. Nor have those that are delayed.
        let keeps_numbers = image.word(queue::WINDOW) != 0;
        let ring_from = if keeps_numbers { ring_from(image) } else { 0 };
        let last_known = image.items.iter().rfind(|item| item.due == 0 && is_apart(item));
        let is_first = |item: &ItemImage<'_>| last_known.is_some_and(|last| item.sequence <= last.sequence);
        let (apart, plain): (Vec<&ItemImage<'_>>, Vec<&ItemImage<'_>>) = image
            .items
            .iter()
            .partition(|item| is_apart(item) || is_first(item) || keeps_numbers && item.sequence < ring_from);
        let head = image.put().wrapping_sub(plain.len() as u64);
        let mut tx = self.session.begin()?;
        [queue::TAIL, queue::HEAD].iter().for_each(|&word| tx.set(queue + word, head));
        for word in
            [queue::DONE, queue::DEAD, queue::DROPPED_OLD, queue::DROPPED_NEW, queue::PUT_BACK, queue::WINDOW]
        {
            tx.set(queue + word, image.word(word));
        }
        tx.commit()?;
        drop(tx);
        // The youngest first: the oldest ends on top of the stack.
        for (n, item) in (1..).zip(apart.into_iter().rev()) {
            let sequence = if keeps_numbers { item.sequence } else { head.wrapping_sub(n) };
            self.restore_apart(queue, item, sequence, image.word(queue::DELAY_MOST))?;
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

    fn restore_window(&mut self, image: &QueueImage<'_>) -> Result<(), Fault> {
        let window = QueueAt::of(image.id)?;
        self.set_label(image.id, &image.label)?;
        let memory = self.session.memory();
        window.places_areas().into_iter().try_for_each(|area| memory.reserve(area))?;
        let mut tx = self.session.begin()?;
        let copied =
            [queue::FLAGS, queue::CAPACITY, queue::WINDOW_OF, queue::NEXT_PLACE, queue::ORDERED_FROM];
        copied.iter().chain(&ENDS).for_each(|&word| tx.set(window + word, image.word(word)));
        let ended = image.word(queue::DONE).wrapping_add(image.word(queue::DROPPED_OLD));
        [queue::TAIL, queue::HEAD].iter().for_each(|&word| tx.set(window + word, ended));
        tx.commit()?;
        drop(tx);
        for place in image.items.chunk_by(|_, next| next.failures != 0) {
            self.restore_place(window, place)?;
        }
        Ok(())
    }

    /// A place, and the outputs of its items.
    fn restore_place(&mut self, window: QueueAt, place: &[ItemImage<'_>]) -> Result<(), Fault> {
        let [head, outputs @ ..] = place else { return Ok(()) };
        let mut tx = self.session.begin()?;
        let class = places::list_class(outputs.len());
        let list = class.map(|class| places::reserve_list(&mut tx, window, class)).transpose()?;
        let mut descriptors = Vec::with_capacity(outputs.len());
        for output in outputs {
            let to = QueueAt::linked(output.failures);
            let to = to.ok_or_else(|| Fault::Foreign(format!("an output for queue {}", output.failures)))?;
            descriptors.push(tx.new_item(to, output.bytes)?);
        }
        window::record(&mut tx, window, (head.sequence, head.mark), &descriptors, list)?;
        tx.commit()
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
            tx.memory.store(to + entry::FAILURES, item.known_bad);
            tx.memory.store(to + entry::FIRST_BIRTH, 0);
        };
        if item.due == 0 || delayed::put_at(&mut tx, queue, item.due, most, fill)?.is_none() {
            fill(&mut tx, queue.returned(n));
            tx.set(queue + queue::RETURNED_ENTRIES, n + 1);
            tx.add(queue + queue::RETURNED, 1);
        }
        tx.commit()
    }
}

fn is_apart(item: &ItemImage<'_>) -> bool {
    item.mark != 0 || item.due != 0 || item.known_bad != 0
}

/// The number of the first item that may be in the ring: from there on to the last all are there, none of them apart.
fn ring_from(image: &QueueImage<'_>) -> u64 {
    let mut from = image.put();
    for item in image.items.iter().rev() {
        if is_apart(item) || item.sequence.wrapping_add(1) != from {
            break;
        }
        from = item.sequence;
    }
    from
}

fn new_item(tx: &mut Tx<'_>, queue: QueueAt, item: &ItemImage<'_>) -> Result<(u64, Meta), Fault> {
    if item.bytes.len() as u64 > MAX_ITEM {
        return Err(Fault::Foreign(format!("an item of {} bytes", item.bytes.len())));
    }
    let (data, meta) = tx.new_item(queue, item.bytes)?;
    Ok((data, meta.failed(item.failures)))
}
