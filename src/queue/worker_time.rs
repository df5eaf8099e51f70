//! What a worker does with its time, and how long its items take: words of its slot that only the worker writes.
//!
//! One word per way of waiting. At work it is the time waited so far. In a wait it is that time less the clock at the
//! wait's start, with [`UNDER_WAY`] set: so whoever looks in the middle adds the clock, beginning and ending a wait is
//! one store each, and the clock is read around real waits only. What is not waited is worked.
//!
//! # Crash table
//!
//! | killed … | left behind | what the stage's totals say |
//! |---|---|---|
//! | before or after the store that begins or ends a wait | the word as it was, or as it will be | the wait is counted whole, up to the look at the dead worker's slot |
//! | between the counts and the sum of [`ItemTimes`] | one batch counted whose time is not summed | that batch is missing in the sum |
//! | before its stage was built | no birth | no time at all: a start is not work |

mod shown;

use super::SlotId;
use super::layout::{self, slot};
use super::memory::{Arena, Memory};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;
use std::time::Duration;

/// Set while a wait is under way.
const UNDER_WAY: u64 = 1 << 63;
/// A worker is not expected to wait so often within the time that a look takes.
const LOOKS: u32 = 32;

/// Why a worker waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Waiting {
    /// For an item, or for what a source reads.
    Starved = 0,
    /// For room in an output, or for whoever reads standard output.
    Blocked = 1,
    /// As the pipeline file says (`sleep`), or for a source's own time (`every`).
    Paused = 2,
    /// For another worker of its stage, which has the stage's memory.
    ForTurn = 3,
}

impl Waiting {
    const ALL: [Waiting; slot::WAITS] =
        [Waiting::Starved, Waiting::Blocked, Waiting::Paused, Waiting::ForTurn];

    fn word(self, slot: usize) -> usize {
        slot + slot::WAITED + self as usize * 8
    }
}

/// How workers spent their time since their stage was built. A moment is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkTimes {
    /// At work on items: all that is not waited.
    pub working: Duration,
    /// Waiting for an item.
    pub starved: Duration,
    /// Waiting for room in an output.
    pub blocked: Duration,
    /// Waiting because the pipeline file says so.
    pub paused: Duration,
    /// Waiting for another worker of the stage.
    pub for_turn: Duration,
}

impl AddAssign for WorkTimes {
    fn add_assign(&mut self, other: WorkTimes) {
        self.working += other.working;
        self.starved += other.starved;
        self.blocked += other.blocked;
        self.paused += other.paused;
        self.for_turn += other.for_turn;
    }
}

/// Whether anything is counted.
#[cfg(not(feature = "uncounted"))]
#[inline(always)]
pub(super) const fn is_on() -> bool {
    true
}

/// For the benchmark of what all this costs: the same machine code with it and without.
#[cfg(feature = "uncounted")]
#[inline]
pub(super) fn is_on() -> bool {
    static ON: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("MPRUN_UNCOUNTED").is_none());
    *ON
}

/// Nanoseconds of the system's clock, the same in every process.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) & !UNDER_WAY
}

/// The worker's stage is built: its time begins.
pub(super) fn be_born(memory: &Memory, slot: usize) {
    if is_on() {
        memory.store(slot + slot::BORN, now().max(1));
    }
}

/// From now on it waits.
#[inline]
pub(super) fn begin(memory: &Memory, slot: usize, why: Waiting) {
    let word = why.word(slot);
    let waited = memory.load(word);
    if is_on() && waited & UNDER_WAY == 0 {
        memory.store(word, waited.wrapping_sub(now()) | UNDER_WAY);
    }
}

/// From now on it works.
#[inline]
pub(super) fn end(memory: &Memory, slot: usize, why: Waiting) {
    let word = why.word(slot);
    let waited = memory.load(word);
    if is_on() && waited & UNDER_WAY != 0 {
        memory.store(word, waited.wrapping_add(now()) & !UNDER_WAY);
    }
}

/// A wait that is over and was measured otherwise.
pub(super) fn add(memory: &Memory, slot: usize, why: Waiting, spent: Duration) {
    let word = why.word(slot);
    let nanos = u64::try_from(spent.as_nanos()).unwrap_or(0);
    if is_on() {
        memory.store(word, memory.load(word).wrapping_add(nanos));
    }
}

/// All waits of the worker so far, as it sees them itself: none is under way.
pub(super) fn waited(memory: &Memory, slot: usize) -> Duration {
    let words = Waiting::ALL.map(|why| memory.load(why.word(slot)));
    Duration::from_nanos(words.into_iter().fold(0, u64::wrapping_add) & !UNDER_WAY)
}

impl Arena {
    /// As [`WorkerHandle::begin_wait`](super::WorkerHandle::begin_wait), for what works beside the port.
    pub fn begin_wait(&self, id: SlotId, why: Waiting) {
        if let Ok(slot) = layout::slot_at(id) {
            begin(&self.0, slot, why);
        }
    }

    /// As [`WorkerHandle::end_wait`](super::WorkerHandle::end_wait).
    pub fn end_wait(&self, id: SlotId, why: Waiting) {
        if let Ok(slot) = layout::slot_at(id) {
            end(&self.0, slot, why);
        }
    }
}

/// How the worker's time was spent until now, by anybody, at any moment.
pub(super) fn load(memory: &Memory, slot: usize) -> WorkTimes {
    let born = memory.load(slot + slot::BORN);
    if born == 0 {
        return WorkTimes::default();
    }
    let (words, now) = look(memory, slot);
    let mut left = now.saturating_sub(born);
    let alive = left;
    let waits = words.map(|word| {
        let waited = if word & UNDER_WAY == 0 { word } else { word.wrapping_add(now) & !UNDER_WAY };
        // What a look can't tell apart, or somebody scribbled, must not make more time than there was.
        let waited = waited.min(left);
        left -= waited;
        Duration::from_nanos(waited)
    });
    let [starved, blocked, paused, for_turn] = waits;
    let working = Duration::from_nanos(alive) - waits.iter().sum::<Duration>();
    WorkTimes { working, starved, blocked, paused, for_turn }
}

/// The words, and a moment at which they were so: else a wait that has just ended would seem to last until now.
///
/// A worker that is interrupted between its clock and its store still seems to wait for as long: so a later look may
/// see a little less than an earlier one.
fn look(memory: &Memory, slot: usize) -> ([u64; slot::WAITS], u64) {
    let words = || Waiting::ALL.map(|why| memory.load(why.word(slot)));
    let (mut before, mut tries) = (words(), 0);
    loop {
        let (now, after) = (now(), words());
        tries += 1;
        if before == after || tries == LOOKS {
            return (before, now);
        }
        before = after;
    }
}

/// Upper bounds of the classes of [`ItemTimes`], in nanoseconds: 1 µs, 2.5 µs, 5 µs, 10 µs, … 50 s.
pub const ITEM_TIME_BOUNDS: [u64; slot::ITEM_CLASSES - 1] = bounds();

const fn bounds() -> [u64; slot::ITEM_CLASSES - 1] {
    let (mut bounds, mut i, mut decade) = ([0; slot::ITEM_CLASSES - 1], 0, 1000);
    while i < bounds.len() {
        bounds[i] = decade;
        bounds[i + 1] = decade * 5 / 2;
        bounds[i + 2] = decade * 5;
        (i, decade) = (i + 3, decade * 10);
    }
    bounds
}

/// How long items took, waits not counted.
///
/// Whoever takes long (100 µs) works on one item at a time, and each is measured. Quick items are measured by the
/// batch, and each counts as the batch's mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemTimes {
    /// Items that took at most [`ITEM_TIME_BOUNDS`], each in the first class that holds it; the last: longer.
    pub counts: [u64; slot::ITEM_CLASSES],
    /// All of it.
    pub sum: Duration,
}

impl ItemTimes {
    /// Items measured.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |all, count| all.wrapping_add(*count))
    }

    /// What an item took on average.
    pub fn mean(&self) -> Option<Duration> {
        let count = self.count();
        (count > 0).then(|| Duration::from_secs_f64(self.sum.as_secs_f64() / count as f64))
    }
}

impl AddAssign for ItemTimes {
    fn add_assign(&mut self, other: ItemTimes) {
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, more)| *mine = mine.wrapping_add(more));
        self.sum = self.sum.saturating_add(other.sum);
    }
}

fn class_of(nanos: u64) -> usize {
    ITEM_TIME_BOUNDS.partition_point(|&bound| bound < nanos)
}

/// So many items took so long together.
pub(super) fn note_items(memory: &Memory, slot: usize, items: usize, took: Duration) {
    if !is_on() {
        return;
    }
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let Some(each) = nanos.checked_div(items as u64) else { return };
    let word = slot + slot::ITEM_TIMES + class_of(each) * 8;
    memory.store(word, memory.load(word).wrapping_add(items as u64));
    let sum = slot + slot::ITEM_TIME_SUM;
    memory.store(sum, memory.load(sum).wrapping_add(nanos));
}

pub(super) fn load_items(memory: &Memory, slot: usize) -> ItemTimes {
    let counts = std::array::from_fn(|class| memory.load(slot + slot::ITEM_TIMES + class * 8));
    ItemTimes { counts, sum: Duration::from_nanos(memory.load(slot + slot::ITEM_TIME_SUM)) }
}

/// As a fresh worker finds them.
pub(super) fn clear(memory: &Memory, slot: usize) {
    let words = (0..slot::WAITS).map(|i| slot::WAITED + i * 8);
    let classes = (0..slot::ITEM_CLASSES).map(|i| slot::ITEM_TIMES + i * 8);
    words.chain(classes).chain([slot::BORN, slot::ITEM_TIME_SUM]).for_each(|at| memory.store(slot + at, 0));
}

#[cfg(test)]
mod tests;
