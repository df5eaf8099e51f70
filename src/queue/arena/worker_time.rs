//! What a worker does with its time: words of its slot that only the worker writes.
//!
//! One word per way of waiting. At work it is the time waited so far. In a wait it is that time less the clock at the
//! wait's start, with [`UNDER_WAY`] set: so a reader in the middle adds the clock, beginning and ending a wait is
//! one store each, and the clock is read around real waits only. What is not waited is worked.
//!
//! # Crash table
//!
//! | killed … | left behind | what the stage's totals say |
//! |---|---|---|
//! | before or after the store that begins or ends a wait | the word as it was, or as it will be | the wait is counted whole, up to the report of the dead worker's slot |
//! | before its stage was built | no birth | no time at all: a start is not work |

use super::attach::Arena;
use super::layout::{SlotAt, slot};
use super::memory::Memory;
use super::place::WordAt;
use crate::queue::SlotId;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;
use std::time::Duration;

/// Set while a wait is under way.
const UNDER_WAY: u64 = 1 << 63;
/// Reads of the words, at most, until they are the same twice: a worker does not wait more often within that time.
const MAX_READS: u32 = 32;

/// Why a worker waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Waiting {
    /// For an item, or for what a source reads.
    Starved = 0,
    /// For room in an output, or for the reader of standard output.
    Blocked = 1,
    /// As the pipeline file says (`sleep`), or for a source's own time (`every`).
    Paused = 2,
    /// For another worker of its stage, which has the stage's token.
    ForTurn = 3,
}

impl Waiting {
    const ALL: [Waiting; slot::WAITS] =
        [Waiting::Starved, Waiting::Blocked, Waiting::Paused, Waiting::ForTurn];

    fn word(self, slot: SlotAt) -> WordAt {
        (slot + slot::WAITED).word(self as usize)
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
pub(crate) const fn is_on() -> bool {
    true
}

/// For the benchmark of what all this costs: the same machine code with it and without.
#[cfg(feature = "uncounted")]
#[inline]
pub(crate) fn is_on() -> bool {
    static ON: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("MPRUN_UNCOUNTED").is_none());
    *ON
}

/// Nanoseconds of the system's clock, the same in every process.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) & !UNDER_WAY
}

/// The worker's stage is built: its time begins.
pub(crate) fn start(memory: &Memory, slot: SlotAt) {
    if is_on() {
        memory.store(slot + slot::BORN, now().max(1));
    }
}

/// From now on it waits.
#[inline]
pub(crate) fn begin(memory: &Memory, slot: SlotAt, why: Waiting) {
    let word = why.word(slot);
    let waited = memory.load(word);
    if is_on() && waited & UNDER_WAY == 0 {
        memory.store(word, waited.wrapping_sub(now()) | UNDER_WAY);
    }
}

/// From now on it works.
#[inline]
pub(crate) fn end(memory: &Memory, slot: SlotAt, why: Waiting) {
    let word = why.word(slot);
    let waited = memory.load(word);
    if is_on() && waited & UNDER_WAY != 0 {
        memory.store(word, waited.wrapping_add(now()) & !UNDER_WAY);
    }
}

/// A wait that is over and was measured otherwise.
pub(crate) fn add(memory: &Memory, slot: SlotAt, why: Waiting, spent: Duration) {
    let word = why.word(slot);
    let nanos = u64::try_from(spent.as_nanos()).unwrap_or(0);
    if is_on() {
        memory.add(word, nanos);
    }
}

/// All waits of the worker so far, as it sees them itself: none is under way.
pub(crate) fn waited(memory: &Memory, slot: SlotAt) -> Duration {
    let words = Waiting::ALL.map(|why| memory.load(why.word(slot)));
    Duration::from_nanos(words.into_iter().fold(0, u64::wrapping_add) & !UNDER_WAY)
}

impl Arena {
    /// As [`WorkerHandle::begin_wait`](crate::queue::WorkerHandle::begin_wait), for threads without a `WorkerHandle`.
    pub fn begin_wait(&self, id: SlotId, why: Waiting) {
        if let Ok(slot) = SlotAt::of(id) {
            begin(&self.0, slot, why);
        }
    }

    /// As [`WorkerHandle::end_wait`](crate::queue::WorkerHandle::end_wait).
    pub fn end_wait(&self, id: SlotId, why: Waiting) {
        if let Ok(slot) = SlotAt::of(id) {
            end(&self.0, slot, why);
        }
    }
}

/// How the worker's time was spent until now. Any process may ask, at any moment.
pub(crate) fn load(memory: &Memory, slot: SlotAt) -> WorkTimes {
    let born = memory.load(slot + slot::BORN);
    if born == 0 {
        return WorkTimes::default();
    }
    let (words, now) = snapshot(memory, slot);
    let mut left = now.saturating_sub(born);
    let alive = left;
    let waits = words.map(|word| {
        let waited = if word & UNDER_WAY == 0 { word } else { word.wrapping_add(now) & !UNDER_WAY };
        // What a reader can't tell apart, or damage, must not make more time than there was.
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
/// A worker that is interrupted between its clock and its store still seems to wait for as long: so a later reader may
/// see a little less than an earlier one.
fn snapshot(memory: &Memory, slot: SlotAt) -> ([u64; slot::WAITS], u64) {
    let words = || Waiting::ALL.map(|why| memory.load(why.word(slot)));
    let (mut before, mut reads) = (words(), 0);
    loop {
        let (now, after) = (now(), words());
        reads += 1;
        if before == after || reads == MAX_READS {
            return (before, now);
        }
        before = after;
    }
}

/// As a fresh worker finds them.
pub(crate) fn clear(memory: &Memory, slot: SlotAt) {
    (0..slot::WAITS).for_each(|i| memory.store((slot + slot::WAITED).word(i), 0));
    memory.store(slot + slot::BORN, 0);
}

/// In seconds, as `status` shows them.
impl From<WorkTimes> for crate::status::Times {
    fn from(times: WorkTimes) -> crate::status::Times {
        crate::status::Times {
            working: times.working.as_secs_f64(),
            starved: times.starved.as_secs_f64(),
            blocked: times.blocked.as_secs_f64(),
            paused: times.paused.as_secs_f64(),
            for_turn: times.for_turn.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests;
