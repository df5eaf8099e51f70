//! The settings that a running worker takes over live.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the worker loop reads again before each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// Pause after each item; zero: none.
    pub sleep: Duration,
    /// Interval at which a full output is tried again; `None`: wait until there is room.
    pub sleep_when_full: Option<Duration>,
    /// Interval at which an empty input is tried again; `None`: wait until there is an item.
    pub sleep_when_empty: Option<Duration>,
    /// Log each item's way at info level.
    pub log_items: bool,
    /// Tries of one item before it is a dead letter; 1 or more.
    pub attempts: u32,
    /// The longest that one item may take; `None`: any time.
    pub item_timeout: Option<Duration>,
}

/// The word of a duration that is not set.
const UNSET: u64 = u64::MAX;

impl Tuning {
    /// As the worker's slot holds it: a new setting goes to the end. The slot has room for 8.
    pub(crate) fn to_words(self) -> [u64; 6] {
        [
            nanos(self.sleep),
            self.sleep_when_full.map_or(UNSET, nanos),
            self.sleep_when_empty.map_or(UNSET, nanos),
            u64::from(self.log_items),
            u64::from(self.attempts),
            self.item_timeout.map_or(UNSET, nanos),
        ]
    }

    /// The same, read back.
    pub(crate) fn from_words(words: [u64; 6]) -> Tuning {
        let [sleep, sleep_when_full, sleep_when_empty, log_items, attempts, item_timeout] = words;
        Tuning {
            sleep: Duration::from_nanos(sleep),
            sleep_when_full: duration(sleep_when_full),
            sleep_when_empty: duration(sleep_when_empty),
            log_items: log_items != 0,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX).max(1),
            item_timeout: duration(item_timeout),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(UNSET - 1).min(UNSET - 1)
}

fn duration(word: u64) -> Option<Duration> {
    (word != UNSET).then(|| Duration::from_nanos(word))
}
