//! The settings that a running worker takes over live, as eight words of its slot.

use super::layout::{SlotAt, slot};
use super::memory::Memory;
use std::time::Duration;

/// What the worker loop reads again before each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SlotTuning {
    /// Pause after each item.
    pub sleep: Duration,
    /// Look again after this long when the output is full; `None`: wait for room.
    pub sleep_when_full: Option<Duration>,
    /// Look again after this long when the input is empty; `None`: wait for an item.
    pub sleep_when_empty: Option<Duration>,
    /// Say each item's way.
    pub log_items: bool,
    /// Tries of one item before it is a dead letter.
    pub attempts: u32,
    /// The longest that one item may take.
    pub item_timeout: Option<Duration>,
}

const NONE: u64 = u64::MAX;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NONE - 1).min(NONE - 1)
}

fn optional(word: u64) -> Option<Duration> {
    (word != NONE).then(|| Duration::from_nanos(word))
}

impl SlotTuning {
    pub(crate) fn store(&self, memory: &Memory, slot: SlotAt) {
        let words = [
            nanos(self.sleep),
            self.sleep_when_full.map_or(NONE, nanos),
            self.sleep_when_empty.map_or(NONE, nanos),
            u64::from(self.log_items),
            u64::from(self.attempts),
            self.item_timeout.map_or(NONE, nanos),
        ];
        for (i, word) in words.into_iter().enumerate() {
            memory.store((slot + slot::TUNING).word(i), word);
        }
    }

    pub(crate) fn load(memory: &Memory, slot: SlotAt) -> SlotTuning {
        let word = |i: usize| memory.load((slot + slot::TUNING).word(i));
        SlotTuning {
            sleep: Duration::from_nanos(word(0)),
            sleep_when_full: optional(word(1)),
            sleep_when_empty: optional(word(2)),
            log_items: word(3) != 0,
            attempts: u32::try_from(word(4)).unwrap_or(u32::MAX).max(1),
            item_timeout: optional(word(5)),
        }
    }
}
