//! How long a worker's items take: words of its slot that only the worker writes.
//!
//! Killed between the count and the sum, a worker leaves one batch counted whose time is missing in the sum.

use super::layout::{SlotAt, slot};
use super::memory::Memory;
use super::worker_time;
use serde::{Deserialize, Serialize};
use std::{ops::AddAssign, time::Duration};

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
/// A stage that takes long (100 µs) works on one item at a time, and each is measured. Quick items are measured by the
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

/// A batch of items, and what it took.
pub(crate) fn note(memory: &Memory, slot: SlotAt, items: usize, took: Duration) {
    if !worker_time::is_on() {
        return;
    }
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let Some(each) = nanos.checked_div(items as u64) else { return };
    memory.add((slot + slot::ITEM_TIMES).word(class_of(each)), items as u64);
    memory.add(slot + slot::ITEM_TIME_SUM, nanos);
}

pub(crate) fn load(memory: &Memory, slot: SlotAt) -> ItemTimes {
    let counts = std::array::from_fn(|class| memory.load((slot + slot::ITEM_TIMES).word(class)));
    ItemTimes { counts, sum: Duration::from_nanos(memory.load(slot + slot::ITEM_TIME_SUM)) }
}

/// As a fresh worker finds them.
pub(crate) fn clear(memory: &Memory, slot: SlotAt) {
    (0..slot::ITEM_CLASSES).for_each(|i| memory.store((slot + slot::ITEM_TIMES).word(i), 0));
    memory.store(slot + slot::ITEM_TIME_SUM, 0);
}

/// In seconds, as `status` shows them.
impl From<ItemTimes> for crate::status::Histogram {
    fn from(times: ItemTimes) -> crate::status::Histogram {
        crate::status::Histogram {
            bounds: ITEM_TIME_BOUNDS.iter().map(|&nanos| nanos as f64 / 1e9).collect(),
            counts: times.counts.to_vec(),
            sum: times.sum.as_secs_f64(),
        }
    }
}
