//! The window of a stage that keeps the order of its input (`order = "input"`): what its workers have finished waits here
//! until all before it is finished too.
//!
//! A window is a hidden queue of the stage that no worker takes from. Each item of the input has a *place* in it, by its
//! number: a table of places, and a bitmap of those that are *closed*, whose item has ended. A place names the outputs of its item
//! as descriptors: none, one (mostly a span of an extent), or a list of them in a block. One place may be that of several
//! items which follow each other and ended together. The outputs lie in the blocks into which they were put, and count for
//! the bytes of the queue that they are for: what waits here and there together keeps to its `max_bytes`.
//!
//! *Whoever ends the item of the next place moves on*: in the same transaction its outputs go out, and those of all closed
//! places behind it, until one is open. Where an output queue has no room the window is *held up*: it joins a list of that
//! queue, and whoever makes room there, a reader that takes, moves what fits. So no worker of the stage has to be there for it.
//! An item that becomes a dead letter, or of which nothing comes, closes its place with no outputs.
//!
//! Where that would be more words than a transaction may change, the window is held up by the next output likewise, and one of its
//! readers is woken.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | having reserved the block for a list | a holding of the worker | release: back to the free stack |
//! | writing a place, or a list | a place whose bit says open; a block that is free | its next writer |
//! | before the commit word | the item is leased still | release: it goes back, its place stays open |
//! | while closing or moving is applied | old and new words mixed | the redo: absolute values |
//! | after the commit, before a reader is woken | items in its queue | release: wakes all |
//! | having made room, before it moved what was held up | a window that is held up beside room | release: moves it |
//! | the supervisor, beginning or ending an order | all or nothing of the transaction | the next start: says it again |

use super::places::{self, Place, is_before, is_closed, next_closed, set_place};
use super::{counts, drop_old, ring, tx::Tx};
use crate::model::WhenFull;
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{BlockAt, MAX_FAN, MAX_QUEUES, PLACES, QueueAt, queue};
use crate::queue::arena::memory::Memory;

/// Words that a transaction leaves for moving one descriptor, and for all that follows.
const WORDS_TO_MOVE: usize = 80;
/// Old items that are dropped for it, at most: each may be in an extent of its own.
const MAX_DROPPED: u64 = 64;

/// The window of an input whose items keep their order.
#[inline]
pub(crate) fn of(tx: &Tx<'_>, input: QueueAt) -> Option<QueueAt> {
    QueueAt::linked(tx.get(input + queue::WINDOW))
}

/// The number from which on places count: the next one, but for those that were taken before the order began.
pub(crate) fn first_place(tx: &Tx<'_>, window: QueueAt) -> u64 {
    let (next, from) = (tx.get(window + queue::NEXT_PLACE), tx.get(window + queue::ORDERED_FROM));
    if is_before(next, from) { from } else { next }
}

/// How many of the items in a queue's ring may be taken now: past its window there is no place for more. `least`: as many as
/// there are places for, though the window is full.
pub(crate) fn admitted(tx: &Tx<'_>, input: QueueAt, least: u64) -> u64 {
    let Some(window) = of(tx, input) else { return u64::MAX };
    let ahead = tx.get(input + queue::HEAD).wrapping_sub(tx.get(window + queue::NEXT_PLACE));
    PLACES.saturating_sub(ahead).min(if is_full(tx, window) { least } else { u64::MAX })
}

/// Whether what waits in a window is as much as may: so many items, or more bytes than an output may have, which is only where they
/// were exceeded for it (`worker/in_order.rs`). It is news that it is no more when it moves on.
fn is_full(tx: &Tx<'_>, window: QueueAt) -> bool {
    let closed = tx.get(window + queue::CLOSED_PLACES);
    let is_read =
        |output: QueueAt| tx.get(output + queue::FLAGS) & (queue::USED | queue::CLOSED) == queue::USED;
    let exceeds = |output: QueueAt| {
        tx.get(output + queue::BYTES) > tx.get(output + queue::MAX_BYTES)
            && tx.memory.load(output + queue::WHEN_FULL) == WhenFull::Block as u64
            && is_read(output)
    };
    closed >= tx.get(window + queue::CAPACITY) || closed > 0 && outputs_of(tx, window).any(exceeds)
}

/// The items of numbers `first ..` of a queue have ended, `n` of them: if their places are not closed yet, nothing came of
/// them. All that follows comes out.
pub(crate) fn close(tx: &mut Tx<'_>, input: QueueAt, mut first: u64, mut n: u64) -> Result<(), Fault> {
    let Some(window) = of(tx, input) else { return Ok(()) };
    let from = first_place(tx, window);
    if is_before(first, from) {
        let before = from.wrapping_sub(first);
        if before >= n {
            return Ok(());
        }
        (first, n) = (from, n - before);
    }
    if !is_closed(tx, window, first) {
        set_place(tx, window, (first, n), &[], None)?;
    }
    move_on(tx, window)
}

/// The items of numbers `first ..` have come to these outputs, `n` of them together; they end in this transaction, and are
/// [`close`]d then. Where there is more than one output they need a list.
pub(crate) fn record(
    tx: &mut Tx<'_>,
    window: QueueAt,
    (first, n): (u64, u64),
    outputs: &[(u64, Meta)],
    list: Option<BlockAt>,
) -> Result<(), Fault> {
    if is_closed(tx, window, first) {
        return Err(Fault::damaged("the places of a window", window.closed_word(first), first));
    }
    set_place(tx, window, (first, n), outputs, list)?;
    for (_, meta) in outputs {
        let (to, items) = (QueueAt::of(meta.queue())?, meta.items() as u64);
        tx.add(to + queue::PENDING, items);
        tx.add(window + queue::TAIL, items);
    }
    Ok(())
}

/// Moves what comes next out of the window, as far as places are closed and there is room.
pub(crate) fn move_on(tx: &mut Tx<'_>, window: QueueAt) -> Result<(), Fault> {
    if tx.get(window + queue::HELD_UP_BY) != 0 {
        return Ok(());
    }
    let before = tx.get(window + queue::NEXT_PLACE);
    loop {
        let next = tx.get(window + queue::NEXT_PLACE);
        if !is_closed(tx, window, next) {
            let after = skip(tx, window, next);
            if after == next {
                break;
            }
            tx.set(window + queue::NEXT_PLACE, after);
            continue;
        }
        let place = Place::read(tx, window, next)?;
        if let Some(output) = move_outputs(tx, window, place)? {
            hold_up(tx, window, output)?;
            break;
        }
        leave(tx, window, place)?;
    }
    if tx.get(window + queue::NEXT_PLACE) != before {
        has_advanced(tx, window);
    }
    Ok(())
}

/// Where to continue from an open place: items from before the order are not waited for.
fn skip(tx: &Tx<'_>, window: QueueAt, next: u64) -> u64 {
    let from = tx.get(window + queue::ORDERED_FROM);
    if !is_before(next, from) {
        return next;
    }
    let end = next.wrapping_add(PLACES.min(from.wrapping_sub(next)));
    match tx.get(window + queue::CLOSED_PLACES) {
        0 => from,
        _ => next_closed(tx, window, next, end).unwrap_or(from),
    }
}

/// A place whose outputs are all out is open again, for a later item.
fn leave(tx: &mut Tx<'_>, window: QueueAt, place: Place) -> Result<(), Fault> {
    if let Some(list) = place.list(tx) {
        let freed = tx.free(list)?;
        tx.subtract(window + queue::BYTES, freed);
    }
    let word = window.closed_word(place.first);
    tx.set(word, tx.get(word) & !(1 << (place.first % 64)));
    tx.subtract(window + queue::CLOSED_PLACES, place.items);
    tx.set(window + queue::NEXT_PLACE, place.first.wrapping_add(place.items));
    for word in queue::MOVED {
        if tx.get(window + word) != 0 {
            tx.set(window + word, 0);
        }
    }
    Ok(())
}

/// Items may be taken that had no place, an item may be the next now, and the stage may be through.
fn has_advanced(tx: &mut Tx<'_>, window: QueueAt) {
    tx.notify_at_commit(window + queue::NOT_FULL, true);
    if let Some(input) = QueueAt::linked(tx.get(window + queue::WINDOW_OF)) {
        let is_over =
            tx.get(input + queue::FLAGS) & queue::ENDED != 0 && tx.get(window + queue::CLOSED_PLACES) == 0;
        if is_over || counts::waiting(tx, input) > 0 {
            tx.notify_at_commit(input + queue::NOT_EMPTY, is_over);
        }
    }
}

/// The outputs of the next place, from where the last transaction stopped; the output queue that it waits for, if any.
fn move_outputs(tx: &mut Tx<'_>, window: QueueAt, place: Place) -> Result<Option<QueueAt>, Fault> {
    let [listed, items] = queue::MOVED.map(|word| window + word);
    let start = usize::try_from(tx.get(listed)).unwrap_or(usize::MAX);
    for at in place.outputs(tx).skip(start) {
        let gone = tx.get(items);
        let meta = places::rest(at, tx.memory.meta(at), gone)?;
        let (to, n) = (QueueAt::of(meta.queue())?, meta.items() as u64);
        let moved = if tx.words_left() < WORDS_TO_MOVE {
            tx.notify_at_commit(to + queue::NOT_EMPTY, false);
            0
        } else {
            move_items(tx, window, to, tx.memory.data(at), meta)?
        };
        if moved > 0 {
            tx.subtract(to + queue::PENDING, moved);
            [queue::HEAD, queue::DONE].iter().for_each(|&word| tx.add(window + word, moved));
        }
        if moved < n {
            tx.set(items, gone + moved);
            return Ok(Some(to));
        }
        tx.add(listed, 1);
        tx.set(items, 0);
    }
    Ok(None)
}

/// Whether an output of a window takes items.
#[derive(PartialEq)]
enum OutputState {
    Takes,
    /// No stage reads it or any other output of the stage: they wait until one does, maybe in another run.
    Waits,
    /// No stage reads it, but there are other outputs, which must not wait for it.
    GivenUp,
}

fn state_of(tx: &Tx<'_>, window: QueueAt, to: QueueAt) -> OutputState {
    let is_closed = |queue| tx.get(queue + queue::FLAGS) & queue::CLOSED != 0;
    let mut others = outputs_of(tx, window);
    match tx.get(to + queue::FLAGS) & queue::USED != 0 {
        false => OutputState::GivenUp,
        true if !is_closed(to) => OutputState::Takes,
        true if others.any(|other| !is_closed(other)) => OutputState::GivenUp,
        true => OutputState::Waits,
    }
}

/// The output queues of the stage, as they were said last. They lie where the holder of a token has a note.
fn outputs_of(tx: &Tx<'_>, window: QueueAt) -> impl Iterator<Item = QueueAt> {
    let words = window.note(false);
    (0..MAX_FAN).filter_map(move |i| QueueAt::linked(tx.memory.load(words.word(i))))
}

/// Says which they are.
pub(crate) fn set_outputs(memory: &Memory, window: QueueAt, outputs: &[QueueAt]) {
    let words = window.note(false);
    for i in 0..MAX_FAN {
        memory.store(words.word(i), outputs.get(i).map_or(0, |output| output.link()));
    }
}

/// Puts the first of these items into a queue, as many as it takes now; how many that are, the dropped ones included.
fn move_items(tx: &mut Tx<'_>, window: QueueAt, to: QueueAt, data: u64, meta: Meta) -> Result<u64, Fault> {
    let n = meta.items() as u64;
    match state_of(tx, window, to) {
        OutputState::GivenUp => return drop_items(tx, to, data, meta, n),
        OutputState::Waits => return Ok(0),
        OutputState::Takes => {}
    }
    let (capacity, queued) = (counts::capacity(tx, to), counts::queued(tx, to));
    let room = capacity.saturating_sub(queued);
    let (puts, drops) = match WhenFull::from_word(tx.memory.load(to + queue::WHEN_FULL)) {
        WhenFull::Block => (n.min(room), 0),
        WhenFull::DropNew => (n.min(room), n - n.min(room)),
        WhenFull::DropOld => {
            let puts = n.min(capacity).min(MAX_DROPPED);
            let overflow = queued.saturating_add(puts).saturating_sub(capacity).min(MAX_DROPPED);
            if overflow as usize + WORDS_TO_MOVE > tx.words_left() {
                tx.notify_at_commit(to + queue::NOT_EMPTY, false);
                return Ok(0);
            }
            if overflow > 0 {
                drop_old::oldest(tx, to, overflow)?;
            }
            (puts, 0)
        }
    };
    if puts > 0 {
        let part = meta.as_span().map_or(meta, |span| meta.with_span(Span { count: puts as usize, ..span }));
        ring::push(tx, to, puts, std::iter::once((data, part)))?;
        tx.notify_at_commit(to + queue::NOT_EMPTY, false);
    }
    if drops > 0 {
        tx.add(to + queue::DROPPED_NEW, drops);
        drop_items(tx, to, data, meta, drops)?;
    }
    Ok(puts + drops)
}

fn drop_items(tx: &mut Tx<'_>, to: QueueAt, data: u64, meta: Meta, n: u64) -> Result<u64, Fault> {
    let freed = tx.end_items(data, meta, n as usize)?;
    if freed > 0 {
        tx.subtract(to + queue::BYTES, freed);
        tx.notify_at_commit(to + queue::BYTES_FREE, true);
    }
    Ok(n)
}

/// The window joins the list of those that wait for room in a queue.
fn hold_up(tx: &mut Tx<'_>, window: QueueAt, by: QueueAt) -> Result<(), Fault> {
    tx.set(window + queue::HELD_UP_BY, by.link());
    let mut at = by + queue::HELD_UP;
    for _ in 0..MAX_QUEUES {
        match QueueAt::linked(tx.get(at)) {
            Some(other) => at = other + queue::HELD_UP_NEXT,
            None => {
                tx.set(at, window.link());
                return Ok(());
            }
        }
    }
    Err(Fault::damaged("the windows that wait for room", by, MAX_QUEUES as u64))
}

/// The window is not held up any more.
pub(crate) fn let_go(tx: &mut Tx<'_>, window: QueueAt) -> Result<(), Fault> {
    let Some(by) = QueueAt::linked(tx.get(window + queue::HELD_UP_BY)) else { return Ok(()) };
    let mut at = by + queue::HELD_UP;
    for _ in 0..MAX_QUEUES {
        match QueueAt::linked(tx.get(at)) {
            Some(found) if found == window => {
                tx.set(at, tx.get(window + queue::HELD_UP_NEXT));
                tx.set(window + queue::HELD_UP_NEXT, 0);
                tx.set(window + queue::HELD_UP_BY, 0);
                return Ok(());
            }
            Some(other) => at = other + queue::HELD_UP_NEXT,
            None => break,
        }
    }
    Err(Fault::damaged("the windows that wait for room", by, window.link()))
}

/// Whether something may move now that waits for room in a queue.
fn may_move(tx: &Tx<'_>, to: QueueAt) -> bool {
    let Some(window) = QueueAt::linked(tx.get(to + queue::HELD_UP)) else { return false };
    let has_room = match state_of(tx, window, to) {
        OutputState::GivenUp => true,
        OutputState::Waits => false,
        OutputState::Takes => {
            tx.memory.load(to + queue::WHEN_FULL) != WhenFull::Block as u64
                || counts::queued(tx, to) < counts::capacity(tx, to)
        }
    };
    has_room && tx.words_left() > 2 * WORDS_TO_MOVE
}

/// There may be room in a queue: moves what waits for it. Whether there was anything.
pub(crate) fn fill(tx: &mut Tx<'_>, to: QueueAt) -> Result<bool, Fault> {
    let mut any = false;
    while may_move(tx, to) {
        let Some(window) = QueueAt::linked(tx.get(to + queue::HELD_UP)) else { break };
        let_go(tx, window)?;
        move_on(tx, window)?;
        any = true;
    }
    Ok(any)
}

/// Throws some of the outputs of the next closed place away; how many, or `None`: none is closed.
pub(crate) fn drop_first(tx: &mut Tx<'_>, window: QueueAt) -> Result<Option<u64>, Fault> {
    let Some(&place) = places::closed(tx, window)?.first() else { return Ok(None) };
    if tx.get(window + queue::NEXT_PLACE) != place.first {
        tx.set(window + queue::NEXT_PLACE, place.first);
    }
    let [listed, items] = queue::MOVED.map(|word| window + word);
    let (start, mut dropped) = (places::moved(tx, window).0, 0);
    for at in place.outputs(tx).skip(start) {
        if tx.words_left() < WORDS_TO_MOVE {
            return Ok(Some(dropped));
        }
        let meta = places::rest(at, tx.memory.meta(at), tx.get(items))?;
        let (to, n) = (QueueAt::of(meta.queue())?, meta.items() as u64);
        drop_items(tx, to, tx.memory.data(at), meta, n)?;
        tx.subtract(to + queue::PENDING, n);
        tx.add(window + queue::HEAD, n);
        tx.add(window + queue::DROPPED_OLD, n);
        tx.add(listed, 1);
        tx.set(items, 0);
        dropped += n;
    }
    leave(tx, window, place)?;
    Ok(Some(dropped))
}
