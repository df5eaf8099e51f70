//! Delayed items: a failed item waits here until its time, and the others pass it.
//!
//! A table of entries, which stay where they are, and one array of words for each queue. The first `DELAYED` words are a
//! heap, the one that is due next on top: when it is due, and the number of its entry. The words behind them, up to
//! `DELAY_USED`, name the free entries. So an item that comes changes one way up the heap, one that goes one way down:
//! some 20 words of the journal, and the cells of the table need none, for only free ones are written.
//!
//! A transaction takes items out or puts them in, never both: what it frees is not free before its commit.
//!
//! An item is due at a moment of real time, which also passes while no process runs. A clock that is set forward makes items due
//! early. One that was set back is found when the next item is due later than any may be: then the due times of the
//! queue are shifted, so that it is due now and the others follow it as they would have done.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | copying an item into the table | a half-written entry that is free | the next one that is delayed |
//! | before the commit word | the item is leased still | release: it goes back |
//! | while the way up or down is applied | old and new words mixed | the redo: absolute values |
//! | after the commit, before a sleeper is woken | no sleeper has its due time | release: wakes all |
//! | asleep until an item is due | no other sleeper has its due time | release: wakes all |
//! | making room in a file | pages that nothing points to | nothing: made again |

use super::{counts, tx::Tx};
use crate::model::Retry;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{DELAYED_MAX, DELAYED_SHIFT, EntryAt, QueueAt, entry, queue};
use crate::queue::arena::memory::Memory;
use std::time::Duration;

/// Entries that get their pages at once, in a file.
const RESERVED_ENTRIES: u64 = if cfg!(test) { 4 } else { 256 };
/// Words of the heap that one transaction changes, at most, to take items out.
pub(crate) const TAKE_WORDS: u64 = 48;
/// Due times, in milliseconds since 1970: until 2527.
const DUE_MAX: u64 = u64::MAX >> DELAYED_SHIFT;

/// Neither an item that can't be done now, nor one that waits for a verdict, nor a probe comes sooner, whatever `retry` says.
pub(crate) const SHORTEST_DELAY: Duration = Duration::from_millis(100);

/// The longest that an item may wait, as `retry` says.
pub(crate) fn longest(retry: Retry) -> Duration {
    retry.max.max(SHORTEST_DELAY)
}

/// How long an item waits before it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// From now on.
    pub time: Duration,
    /// No item of its queue waits longer, whatever the clock does.
    pub most: Duration,
    /// How often the item was put off so far, this time included.
    pub put_off: u32,
}

impl Delay {
    /// As `retry` says, for an item that has failed or was put off this often; `None`: there is no delay.
    pub(crate) fn new(retry: Retry, failures: u32, put_off: u32, item: u64) -> Option<Delay> {
        let time = retry.delay(failures.saturating_add(put_off), item);
        (!time.is_zero()).then_some(Delay { time, most: retry.max, put_off })
    }
}

/// A word of the heap: its order is that of the due times.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Due(u64);

impl Due {
    fn new(at: u64, number: u64) -> Due {
        Due(at.min(DUE_MAX) << DELAYED_SHIFT | number)
    }

    fn at(self) -> u64 {
        self.0 >> DELAYED_SHIFT
    }

    fn number(self) -> u64 {
        self.0 & (DELAYED_MAX - 1)
    }
}

/// How many are delayed, checked.
pub(crate) fn len(tx: &Tx<'_>, queue: QueueAt) -> Result<u64, Fault> {
    let (n, used) = (counts::delayed(tx, queue), tx.get(queue + queue::DELAY_USED));
    if n > used || used > DELAYED_MAX {
        return Err(Fault::damaged("the count of delayed items", queue + queue::DELAYED, n));
    }
    Ok(n)
}

/// Delays the item of a table entry, as this descriptor says; returns its new entry, `None` if there is no room for one more.
pub(crate) fn put(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    from: EntryAt,
    (data, meta): (u64, Meta),
    delay: Delay,
) -> Result<Option<EntryAt>, Fault> {
    if meta.items() != 1 {
        return Ok(None);
    }
    let most = millis(delay.most).max(1);
    let at = clock::now().saturating_add(millis(delay.time).min(most));
    put_at(tx, queue, at, most, |tx, to| {
        tx.memory.copy_entry(from, to);
        tx.memory.store_descriptor(to, data, meta);
        tx.memory.store(to + entry::PUT_OFF, delay.put_off.into());
    })
}

/// Delays an item that `fill` writes, until this moment.
pub(crate) fn put_at(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    at: u64,
    most: u64,
    fill: impl FnOnce(&mut Tx<'_>, EntryAt),
) -> Result<Option<EntryAt>, Fault> {
    let n = len(tx, queue)?;
    let Some(number) = free_number(tx, queue, n)? else { return Ok(None) };
    let to = queue.delayed(number);
    fill(tx, to);
    let due = Due::new(at.saturating_add(tx.get(queue + queue::DELAY_SHIFT)), number);
    if tx.get(queue + queue::DELAY_MOST) != most {
        tx.set(queue + queue::DELAY_MOST, most);
    }
    tx.set(queue + queue::DELAYED, n + 1);
    sift_up(tx, queue, n, due);
    Ok(Some(to))
}

/// The number of a free entry.
fn free_number(tx: &mut Tx<'_>, queue: QueueAt, n: u64) -> Result<Option<u64>, Fault> {
    let used = tx.get(queue + queue::DELAY_USED);
    if n < used {
        return Ok(Some(Due(tx.get(queue.due_cell(n))).number()));
    }
    if used == DELAYED_MAX || tx.memory.is_file() && !has_room(tx, queue, used)? {
        return Ok(None);
    }
    tx.set(queue + queue::DELAY_USED, used + 1);
    Ok(Some(used))
}

/// In a file: makes room for more entries, if the disk has it.
fn has_room(tx: &mut Tx<'_>, queue: QueueAt, used: u64) -> Result<bool, Fault> {
    let room = tx.get(queue + queue::DELAY_ROOM);
    if used < room {
        return Ok(true);
    }
    let more = RESERVED_ENTRIES.min(DELAYED_MAX.saturating_sub(room));
    let mut areas = queue.delayed_areas(room, more).into_iter();
    match areas.try_for_each(|area| tx.memory.reserve(area)) {
        Ok(()) => tx.set(queue + queue::DELAY_ROOM, room + more),
        Err(Fault::DiskFull(..)) => return Ok(false),
        Err(fault) => return Err(fault),
    }
    Ok(more > 0)
}

/// Takes items that are due, the earliest first and at most `n`: calls `each` with their entries, until it says that it
/// takes no more. `words`: how many of the heap may change still; `regardless` of whether they are due.
pub(crate) fn take_due(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    n: u64,
    (words, regardless): (&mut u64, bool),
    mut each: impl FnMut(&mut Tx<'_>, EntryAt) -> bool,
) -> Result<u64, Fault> {
    let mut left = len(tx, queue)?;
    if left == 0 {
        return Ok(0);
    }
    let now = if regardless { u64::MAX } else { now(tx, queue) };
    let mut taken = 0;
    while taken < n && left > 0 {
        let next = Due(tx.get(queue.due_cell(0)));
        let cost = u64::from(u64::BITS - left.leading_zeros()) + 1;
        if next.at() > now || *words < cost || !each(tx, queue.delayed(next.number())) {
            break;
        }
        *words -= cost;
        remove_first(tx, queue, left);
        (left, taken) = (left - 1, taken + 1);
    }
    if left == 0 && tx.get(queue + queue::DELAY_SHIFT) != 0 {
        tx.set(queue + queue::DELAY_SHIFT, 0);
    }
    Ok(taken)
}

/// Drops `n` of the delayed, as many as there are: those at the end of the heap, which nothing has to move for.
pub(crate) fn drop_some(
    tx: &mut Tx<'_>,
    queue: QueueAt,
    n: u64,
    mut each: impl FnMut(&mut Tx<'_>, EntryAt) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    let left = len(tx, queue)?;
    let n = n.min(left);
    for i in left - n..left {
        let number = Due(tx.get(queue.due_cell(i))).number();
        each(tx, queue.delayed(number))?;
    }
    if n > 0 {
        tx.set(queue + queue::DELAYED, left - n);
    }
    Ok(n)
}

/// When the next one is due, from now on.
pub(crate) fn next_due(tx: &Tx<'_>, queue: QueueAt) -> Option<Duration> {
    if counts::delayed(tx, queue) == 0 {
        return None;
    }
    let now = clock::now().saturating_add(tx.get(queue + queue::DELAY_SHIFT));
    let wait = first(tx, queue).at().saturating_sub(now);
    Some(Duration::from_millis(wait.min(tx.get(queue + queue::DELAY_MOST))))
}

/// Whether one may be taken now.
pub(crate) fn is_due(tx: &Tx<'_>, queue: QueueAt) -> bool {
    next_due(tx, queue).is_some_and(|wait| wait.is_zero())
}

/// Whether items may be delayed for longer than this; without the lock, for a look.
pub(crate) fn may_wait_longer(memory: &Memory, queue: QueueAt, most: Duration) -> bool {
    memory.load(queue + queue::DELAYED) > 0 && memory.load(queue + queue::DELAY_MOST) > millis(most)
}

/// No item is delayed for longer than this, from the next look at it.
pub(crate) fn limit(tx: &mut Tx<'_>, queue: QueueAt, most: Duration) {
    let most = tx.get(queue + queue::DELAY_MOST).min(millis(most)).max(1);
    tx.set(queue + queue::DELAY_MOST, most);
}

/// All entries, in no order, each with the moment at which it is due.
pub(crate) fn entries(tx: &Tx<'_>, queue: QueueAt) -> Result<Vec<(EntryAt, u64)>, Fault> {
    let shift = tx.get(queue + queue::DELAY_SHIFT);
    let due = |i| Due(tx.get(queue.due_cell(i)));
    let entry = |due: Due| (queue.delayed(due.number()), due.at().saturating_sub(shift));
    Ok((0..len(tx, queue)?).map(due).map(entry).collect())
}

/// Whether the heap is one, and each entry is in it once.
pub(crate) fn check(tx: &Tx<'_>, queue: QueueAt) -> Result<(), Fault> {
    let (n, used) = (len(tx, queue)?, tx.get(queue + queue::DELAY_USED));
    let mut seen = vec![false; used as usize];
    for i in 0..used {
        let (cell, due) = (queue.due_cell(i), Due(tx.get(queue.due_cell(i))));
        let above = Due(tx.get(queue.due_cell(i.saturating_sub(1) / 2)));
        let is_known = seen.get_mut(due.number() as usize).is_none_or(|seen| std::mem::replace(seen, true));
        if is_known || i < n && above > due {
            return Err(Fault::damaged("the order of delayed items", cell, due.0));
        }
    }
    Ok(())
}

fn first(tx: &Tx<'_>, queue: QueueAt) -> Due {
    Due(tx.get(queue.due_cell(0)))
}

/// The moment by which the due times of a queue go.
fn now(tx: &mut Tx<'_>, queue: QueueAt) -> u64 {
    let (now, shift) = (clock::now(), tx.get(queue + queue::DELAY_SHIFT));
    let (next, most) = (first(tx, queue).at(), tx.get(queue + queue::DELAY_MOST));
    if next > now.saturating_add(shift).saturating_add(most) {
        tx.set(queue + queue::DELAY_SHIFT, next - now);
        return next;
    }
    now.saturating_add(shift)
}

fn sift_up(tx: &mut Tx<'_>, queue: QueueAt, mut i: u64, due: Due) {
    while i > 0 {
        let above = Due(tx.get(queue.due_cell((i - 1) / 2)));
        if above <= due {
            break;
        }
        tx.set(queue.due_cell(i), above.0);
        i = (i - 1) / 2;
    }
    tx.set(queue.due_cell(i), due.0);
}

/// Takes the first of `n` out of the heap; its number stands behind it then, among the free ones.
fn remove_first(tx: &mut Tx<'_>, queue: QueueAt, n: u64) {
    let (first, last) = (first(tx, queue), Due(tx.get(queue.due_cell(n - 1))));
    tx.set(queue + queue::DELAYED, n - 1);
    if n == 1 {
        return;
    }
    tx.set(queue.due_cell(n - 1), first.number());
    let mut i = 0;
    loop {
        let below = (2 * i + 1..(2 * i + 3).min(n - 1)).map(|i| (i, Due(tx.get(queue.due_cell(i)))));
        let least = below.reduce(|a, b| if b.1 < a.1 { b } else { a });
        match least {
            Some((child, due)) if due < last => {
                tx.set(queue.due_cell(i), due.0);
                i = child;
            }
            _ => break,
        }
    }
    tx.set(queue.due_cell(i), last.0);
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of due times: milliseconds since 1970.
pub(crate) mod clock {
    use std::time::SystemTime;

    #[cfg(test)]
    thread_local! {
        static NOW: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
    }

    /// From now on this thread's clock stands at this moment.
    #[cfg(test)]
    pub(in crate::queue) fn set(now: u64) {
        NOW.set(Some(now));
    }

    pub(crate) fn now() -> u64 {
        #[cfg(test)]
        if let Some(now) = NOW.get() {
            return now;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
