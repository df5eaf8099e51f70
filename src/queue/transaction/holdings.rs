//! What a worker holds: a table of entries and a bitmap of which are live. Leased items and reserved blocks both.

use super::delayed::{self, Delay};
use super::{counts, oldest, returned, tx::Tx, window};
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{
    BITMAP_WORDS, EntryAt, EventAt, HOLDINGS, MAX_FAN, QueueAt, SlotAt, descriptor, entry, queue, slot,
};
use crate::queue::arena::memory::Memory;
use crate::queue::arena::place::WordAt;

/// The live bits of a slot's table, as they were read.
pub(crate) struct Bitmap([u64; BITMAP_WORDS]);

impl Bitmap {
    pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Bitmap {
        Bitmap(std::array::from_fn(|i| memory.load((slot + slot::BITMAP).word(i))))
    }

    /// The first word that is not empty.
    pub(crate) fn first_word(&self) -> Option<u64> {
        self.0.iter().copied().find(|&word| word != 0)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = u16> + '_ {
        (0..HOLDINGS as u16).filter(|&entry| self.is_live(entry))
    }

    pub(crate) fn is_live(&self, entry: u16) -> bool {
        self.0.get(entry as usize / 64).is_some_and(|word| word >> (entry % 64) & 1 == 1)
    }
}

/// The word of the bitmap that an entry's bit is in.
#[inline]
fn word_of(slot: SlotAt, entry: u16) -> WordAt {
    (slot + slot::BITMAP).word(entry as usize / 64 % BITMAP_WORDS)
}

/// An entry holds something from this transaction on.
#[inline]
pub(crate) fn mark(tx: &mut Tx<'_>, slot: SlotAt, entry: u16) {
    let at = word_of(slot, entry);
    tx.set(at, tx.get(at) | 1 << (entry % 64));
}

/// An entry holds nothing from this transaction on.
#[inline]
pub(crate) fn clear(tx: &mut Tx<'_>, slot: SlotAt, entry: u16) {
    let at = word_of(slot, entry);
    tx.set(at, tx.get(at) & !(1 << (entry % 64)));
}

/// Entries that are free both before and after the transaction: only those may be written before its commit.
pub(crate) struct FreeEntries {
    slot: SlotAt,
    /// Words of the bitmap that were looked at, and what is left of the last one.
    words: usize,
    free: u64,
}

impl FreeEntries {
    pub(crate) fn of(slot: SlotAt) -> FreeEntries {
        FreeEntries { slot, words: 0, free: 0 }
    }

    #[inline]
    pub(crate) fn next(&mut self, tx: &Tx<'_>) -> Option<u16> {
        while self.free == 0 {
            if self.words == BITMAP_WORDS {
                return None;
            }
            let at = (self.slot + slot::BITMAP).word(self.words);
            self.free = !(tx.memory.load(at) | tx.get(at));
            self.words += 1;
        }
        let bit = self.free.trailing_zeros();
        self.free &= self.free - 1;
        Some((self.words * 64 - 64) as u16 + bit as u16)
    }

    /// The same, where there must be one.
    pub(crate) fn one(slot: SlotAt, tx: &Tx<'_>) -> Result<u16, Fault> {
        FreeEntries::of(slot).require(tx)
    }

    pub(crate) fn require(&mut self, tx: &Tx<'_>) -> Result<u16, Fault> {
        self.next(tx).ok_or_else(|| Fault::damaged("a worker's free holdings", self.slot, 0))
    }
}

/// The item that a worker is at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Begun {
    pub entry: u16,
    /// Its place in the entry's extent; 0 where it is alone.
    pub at: usize,
}

impl Begun {
    #[inline]
    pub(crate) fn word(self) -> u64 {
        ((self.at as u64) << 16) | (u64::from(self.entry) + 1)
    }

    #[inline]
    pub(crate) fn from_word(word: u64) -> Option<Begun> {
        let entry = (word & 0xffff).checked_sub(1)? as u16;
        Some(Begun { entry, at: (word >> 16) as usize })
    }
}

/// The begun mark names a table entry. If that lease has ended, what comes into the entry next is not to blame.
#[inline]
pub(crate) fn forget_begun(tx: &mut Tx<'_>, slot: SlotAt) {
    let Some(Begun { entry, .. }) = Begun::from_word(tx.get(slot + slot::BEGUN)) else { return };
    if tx.get(word_of(slot, entry)) >> (entry % 64) & 1 == 0 {
        tx.set(slot + slot::BEGUN, 0);
    }
}

/// How a lease ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Done,
    Dead,
}

/// The first leases of an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EntryPart {
    pub entry: u16,
    pub items: usize,
}

/// Ends leases: counts them for their queues, frees what is free with them, and clears or advances their entries, each of
/// which comes once. Where items keep their order their places are closed. `ended` gets the queues concerned, for the
/// notifications after the commit.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    slot: SlotAt,
    parts: impl Iterator<Item = EntryPart>,
    how: End,
    ended: &mut EndedQueues,
) -> Result<(), Fault> {
    let mut sum: Option<(QueueAt, u64, u64)> = None; // queue, items, bytes
    let mut places = EndedPlaces::default();
    for EntryPart { entry, items } in parts {
        let at = slot.entry(entry);
        let meta = tx.memory.meta(at);
        let queue = QueueAt::of(meta.queue())?;
        places.add(tx, queue, at, items as u64)?;
        let freed = tx.end_items(tx.memory.data(at), meta, items)?;
        match items < meta.items() {
            true => advance(tx, at, meta, items),
            false => clear(tx, slot, entry),
        }
        sum = match sum {
            Some((same, n, bytes)) if same == queue => Some((queue, n + items as u64, bytes + freed)),
            other => {
                count(tx, other, how, ended);
                Some((queue, items as u64, freed))
            }
        };
    }
    count(tx, sum, how, ended);
    places.close(tx)
}

/// Items that ended and follow each other in a queue that keeps their order.
#[derive(Default)]
struct EndedPlaces {
    /// The queue, the number of the first, and how many.
    run: Option<(QueueAt, u64, u64)>,
}

impl EndedPlaces {
    #[inline]
    fn add(&mut self, tx: &mut Tx<'_>, queue: QueueAt, at: EntryAt, items: u64) -> Result<(), Fault> {
        if tx.memory.load(queue + queue::WINDOW) == 0 {
            return Ok(());
        }
        let first = tx.memory.load(at + entry::SEQUENCE);
        match &mut self.run {
            Some((of, start, n)) if *of == queue && start.wrapping_add(*n) == first => *n += items,
            _ => {
                self.close(tx)?;
                self.run = Some((queue, first, items));
            }
        }
        Ok(())
    }

    fn close(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.run.take().map_or(Ok(()), |(queue, first, n)| window::close(tx, queue, first, n))
    }
}

fn count(tx: &mut Tx<'_>, sum: Option<(QueueAt, u64, u64)>, how: End, ended: &mut EndedQueues) {
    let Some((queue, items, bytes)) = sum else { return };
    let counter = if how == End::Done { queue::DONE } else { queue::DEAD };
    tx.add(queue + counter, items);
    if bytes > 0 {
        tx.subtract(queue + queue::BYTES, bytes);
    }
    ended.note(queue, bytes > 0);
}

/// The first `items` of an entry's span are gone.
fn advance(tx: &mut Tx<'_>, at: EntryAt, meta: Meta, items: usize) {
    let Some(Span { first, count }) = meta.as_span() else { return };
    let rest = Span { first: first + items, count: count - items };
    let sequence = tx.memory.load(at + entry::SEQUENCE);
    tx.set(at + entry::DESCRIPTOR + descriptor::META, meta.with_span(rest).0);
    tx.set(at + entry::SEQUENCE, sequence.wrapping_add(items as u64));
    tx.set(at + entry::MARK, 0);
}

/// Cuts an entry's span in front of item `at` of its extent: the items from there on get `new`, a free entry, which comes
/// alive with the transaction.
pub(crate) fn cut(tx: &mut Tx<'_>, slot: SlotAt, entry: u16, at: usize, new: u16) {
    let (from, to) = (slot.entry(entry), slot.entry(new));
    let meta = Meta(tx.get(from + entry::DESCRIPTOR + descriptor::META));
    let Some(Span { first, count }) = meta.as_span() else { return };
    let kept = at.saturating_sub(first).min(count);
    let sequence = tx.get(from + entry::SEQUENCE).wrapping_add(kept as u64);
    if let Some(begun) = Begun::from_word(tx.get(slot + slot::BEGUN))
        && begun.entry == entry
        && begun.at >= at
    {
        tx.set(slot + slot::BEGUN, Begun { entry: new, ..begun }.word());
    }
    tx.memory.copy_entry(from, to);
    let rest = meta.with_span(Span { first: first + kept, count: count - kept });
    tx.memory.store(to + entry::DESCRIPTOR + descriptor::META, rest.0);
    tx.memory.store(to + entry::SEQUENCE, sequence);
    tx.memory.store(to + entry::MARK, 0);
    tx.set(from + entry::DESCRIPTOR + descriptor::META, meta.with_span(Span { first, count: kept }).0);
    mark(tx, slot, new);
}

/// What an entry stands for goes back: leases to their queue, at once or after a while, a reserved block to its free stack; the
/// bit is the caller's. Where no room is left for one more delayed item it goes back at once.
/// `change`: what the items are from now on, all of them or a part of their span. Returns the queue.
/// `record`: what is known of its failures from now on, if that is news.
pub(crate) fn give_back(
    tx: &mut Tx<'_>,
    slot: SlotAt,
    entry: u16,
    (delay, record): (Option<Delay>, Option<u64>),
    change: impl FnOnce(Meta) -> Meta,
) -> Result<QueueAt, Fault> {
    let at = slot.entry(entry);
    let meta = tx.memory.meta(at);
    let queue = QueueAt::of(meta.queue())?;
    if meta.is_block() {
        let size = tx.end_reserved(tx.memory.data(at), meta)?;
        if size > 0 {
            tx.subtract(queue + queue::BYTES, size);
        }
    } else {
        let (data, meta) = tx.detach(queue, tx.memory.data(at), change(meta), delay.is_some())?;
        let delayed = match delay {
            Some(delay) => delayed::put(tx, queue, at, (data, meta), delay)?,
            None => None,
        };
        let to = match delayed {
            Some(to) => to,
            None => returned::push(tx, queue, at, data, meta)?,
        };
        if let Some(record) = record {
            tx.memory.store(to + entry::FAILURES, record);
        }
        oldest::goes_back(tx, queue);
    }
    Ok(queue)
}

/// The queues whose leases a transaction ended, and whether bytes became free.
#[derive(Default)]
pub(crate) struct EndedQueues {
    /// A queue's index, and in the lowest bit whether bytes became free.
    queues: [u16; MAX_FAN + 1],
    n: usize,
    /// A stage that was failing until then: its workers sleep on this.
    pub recovered: Option<EventAt>,
}

impl EndedQueues {
    fn note(&mut self, queue: QueueAt, bytes: bool) {
        let (index, bytes) = ((queue.index() << 1) as u16, u16::from(bytes));
        if let Some(known) = self.queues[..self.n].iter_mut().find(|known| **known & !1 == index) {
            *known |= bytes;
        } else if self.n < self.queues.len() {
            self.queues[self.n] = index | bytes;
            self.n += 1;
        }
    }

    /// After the commit: waiters for bytes, or for the end of the queue, are woken.
    #[inline]
    pub(crate) fn notify(&self, tx: &mut Tx<'_>) {
        if let Some(event) = self.recovered {
            tx.notify_all(event);
        }
        for &word in &self.queues[..self.n] {
            let queue = QueueAt::nth(word >> 1);
            // Bytes of a queue without items are those of outputs that wait for their turn: see `worker/in_order.rs`.
            if word & 1 == 1 || tx.get(queue + queue::BYTES) > 0 && counts::is_idle(tx, queue) {
                // All: a small item may go where a large one can't yet.
                tx.notify_all_idle(queue + queue::BYTES_FREE);
            }
            if counts::is_drained(tx, queue) {
                tx.notify_all(queue + queue::NOT_EMPTY);
            }
        }
    }
}
