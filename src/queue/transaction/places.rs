//! The places of a window, see `window.rs`: which are closed, and which outputs each has.

use super::tx::Tx;
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{
    BlockAt, Class, DescriptorAt, EntryAt, PLACES, QueueAt, descriptor, entry, queue,
};

/// Leases of one worker of such a stage, at most: each may have a place of its own in one transaction.
pub(crate) const MAX_LEASES: usize = 256;
const LISTED_BYTES: usize = descriptor::WORDS * 8;

/// Whether this queue is a window.
pub(crate) fn is_one(tx: &Tx<'_>, queue: QueueAt) -> bool {
    tx.get(queue + queue::FLAGS) & queue::IS_WINDOW != 0
}

/// Whether one number comes before another.
pub(crate) fn is_before(number: u64, other: u64) -> bool {
    number.wrapping_sub(other).cast_signed() < 0
}

/// The class of the block for a list of that many descriptors; one needs none. It is reserved before, in a transaction of
/// its own: the one that publishes frees blocks.
pub(crate) fn list_class(descriptors: usize) -> Option<Class> {
    (descriptors > 1).then(|| Class::for_len(descriptors * LISTED_BYTES))
}

/// Takes a free block for a list, which counts for the bytes of the window.
pub(crate) fn reserve_list(tx: &mut Tx<'_>, window: QueueAt, class: Class) -> Result<BlockAt, Fault> {
    let list = tx.allocate(class)?;
    tx.add(window + queue::BYTES, class.block_size());
    Ok(list)
}

/// The place of the items of numbers `first ..`, `n` of them, is closed; where it has more than one output they need a list.
pub(super) fn set_place(
    tx: &mut Tx<'_>,
    window: QueueAt,
    (first, n): (u64, u64),
    outputs: &[(u64, Meta)],
    list: Option<BlockAt>,
) -> Result<(), Fault> {
    let ahead = first.wrapping_sub(tx.get(window + queue::NEXT_PLACE));
    if n == 0 || ahead.saturating_add(n) > PLACES + MAX_LEASES as u64 || ahead >= PLACES {
        return Err(Fault::damaged("the next place of a window", window + queue::NEXT_PLACE, first));
    }
    let at = window.place(first);
    match list {
        Some(list) => {
            for (i, &(data, meta)) in outputs.iter().enumerate() {
                tx.memory.store_descriptor(list.listed(i), data, meta);
            }
            tx.memory.store_descriptor(at, list.word(), Meta(0));
        }
        None => {
            let (data, meta) = outputs.first().copied().unwrap_or((0, Meta(0)));
            tx.memory.store_descriptor(at, data, meta);
        }
    }
    tx.memory.store(at + entry::SEQUENCE, first);
    tx.memory.store(at + entry::COVERED, n);
    tx.memory.store(at + entry::LISTED, (outputs.len() as u64) << 1 | u64::from(list.is_some()));
    let word = window.closed_word(first);
    tx.set(word, tx.get(word) | 1 << (first % 64));
    tx.add(window + queue::CLOSED_PLACES, n);
    Ok(())
}

pub(super) fn is_closed(tx: &Tx<'_>, window: QueueAt, number: u64) -> bool {
    tx.get(window.closed_word(number)) >> (number % 64) & 1 == 1
}

/// A closed place.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    at: EntryAt,
    /// The number of its first item.
    pub first: u64,
    /// The items that it is the place of.
    pub items: u64,
    outputs: u64,
    has_list: bool,
}

impl Place {
    pub(super) fn read(tx: &Tx<'_>, window: QueueAt, first: u64) -> Result<Place, Fault> {
        let at = window.place(first);
        let [number, items, listed] =
            [entry::SEQUENCE, entry::COVERED, entry::LISTED].map(|word| tx.memory.load(at + word));
        if number != first || items == 0 {
            return Err(Fault::damaged("a place of a window", at, number));
        }
        let (outputs, has_list) = (listed >> 1, listed & 1 == 1);
        // A list that is longer than its block would be read from others.
        let most =
            if has_list { tx.memory.block_of(at).class()?.block_size() / LISTED_BYTES as u64 } else { 1 };
        if outputs > most {
            return Err(Fault::damaged("the outputs of a place", at, listed));
        }
        Ok(Place { at, first, items, outputs, has_list })
    }

    /// The block with its list, if it has one.
    pub(crate) fn list(&self, tx: &Tx<'_>) -> Option<BlockAt> {
        self.has_list.then(|| tx.memory.block_of(self.at))
    }

    /// Where its descriptors are.
    pub(crate) fn outputs(&self, tx: &Tx<'_>) -> impl Iterator<Item = DescriptorAt> + use<> {
        let (own, list) = (DescriptorAt::from(self.at), self.list(tx));
        (0..self.outputs as usize).map(move |i| list.map_or(own, |list| list.listed(i)))
    }
}

/// The outputs that a descriptor stands for, but for the first `gone`.
pub(crate) fn rest(at: DescriptorAt, meta: Meta, gone: u64) -> Result<Meta, Fault> {
    match meta.as_span() {
        Some(Span { first, count }) if gone < count as u64 => {
            Ok(meta.with_span(Span { first: first + gone as usize, count: count - gone as usize }))
        }
        None if gone == 0 && !meta.is_block() => Ok(meta),
        Some(_) | None => Err(Fault::damaged("the outputs of a place", at, meta.0)),
    }
}

/// The first closed place of numbers `at .. end`, which are no more than there are places.
pub(super) fn next_closed(tx: &Tx<'_>, window: QueueAt, mut at: u64, end: u64) -> Option<u64> {
    while is_before(at, end) {
        let word = tx.get(window.closed_word(at)) >> (at % 64);
        if word != 0 {
            let found = at.wrapping_add(u64::from(word.trailing_zeros()));
            return is_before(found, end).then_some(found);
        }
        at = at.wrapping_add(64 - at % 64);
    }
    None
}

/// Every closed place, in order.
pub(crate) fn closed(tx: &Tx<'_>, window: QueueAt) -> Result<Vec<Place>, Fault> {
    let (mut at, mut places) = (tx.get(window + queue::NEXT_PLACE), Vec::new());
    let end = at.wrapping_add(PLACES);
    while let Some(number) = next_closed(tx, window, at, end) {
        places.push(Place::read(tx, window, number)?);
        at = number.wrapping_add(1);
    }
    Ok(places)
}

/// What has come out of the first place: descriptors, and items of the one behind them.
pub(crate) fn moved(tx: &Tx<'_>, window: QueueAt) -> (usize, u64) {
    let [listed, items] = queue::MOVED.map(|word| tx.get(window + word));
    (usize::try_from(listed).unwrap_or(usize::MAX), items)
}
