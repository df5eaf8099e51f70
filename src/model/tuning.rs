//! The settings that a running worker takes over live.

use super::{Rate, Retry, WhenFailing};
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
    /// How long a failed item waits for its next attempt.
    #[serde(default)]
    pub retry: Retry,
    /// Items that the stage may begin in a time, over all its workers; `None`: any number.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// What the stage does with its items while it is failing.
    #[serde(default)]
    pub when_failing: WhenFailing,
}

/// The word of a duration that is not set.
const UNSET: u64 = u64::MAX;

impl Tuning {
    /// As the worker's slot holds it: a new setting goes to the end. The slot has room for 16.
    pub(crate) fn to_words(self) -> [u64; 10] {
        [
            nanos(self.sleep),
            self.sleep_when_full.map_or(UNSET, nanos),
            self.sleep_when_empty.map_or(UNSET, nanos),
            u64::from(self.log_items),
            u64::from(self.attempts),
            self.item_timeout.map_or(UNSET, nanos),
            nanos(self.retry.delay),
            nanos(self.retry.max),
            self.rate.map_or(0, Rate::to_word),
            self.when_failing as u64,
        ]
    }

    /// The same, read back.
    pub(crate) fn from_words(words: [u64; 10]) -> Tuning {
        let [sleep, when_full, when_empty, log_items, attempts, item_timeout, delay, max, rate, when_failing] =
            words;
        Tuning {
            sleep: Duration::from_nanos(sleep),
            sleep_when_full: duration(when_full),
            sleep_when_empty: duration(when_empty),
            log_items: log_items != 0,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX).max(1),
            item_timeout: duration(item_timeout),
            retry: Retry { delay: Duration::from_nanos(delay), max: Duration::from_nanos(max) },
            rate: Rate::from_word(rate),
            when_failing: WhenFailing::from_word(when_failing),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(UNSET - 1).min(UNSET - 1)
}

fn duration(word: u64) -> Option<Duration> {
    (word != UNSET).then(|| Duration::from_nanos(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RateUnit;

    #[test]
    fn every_setting_comes_back_from_its_word() {
        let second = Duration::from_secs;
        let full = Tuning {
            sleep: second(1),
            sleep_when_full: Some(second(2)),
            sleep_when_empty: Some(second(3)),
            log_items: true,
            attempts: 4,
            item_timeout: Some(second(5)),
            retry: Retry { delay: second(6), max: second(7) },
            when_failing: WhenFailing::DeadLetter,
            rate: Some(Rate { items: 8, per: RateUnit::Hour }),
        };
        assert_eq!(Tuning::from_words(full.to_words()), full);
        let empty = Tuning { attempts: 1, ..Tuning::default() };
        assert_eq!(Tuning::from_words(empty.to_words()), empty);
        for when_failing in [WhenFailing::Wait, WhenFailing::Stop] {
            let tuning = Tuning { when_failing, ..full };
            assert_eq!(Tuning::from_words(tuning.to_words()), tuning);
        }
    }

    #[test]
    fn a_word_that_is_no_rate_is_none() {
        assert_eq!([0, 1, 7 << 8, u64::MAX].map(Rate::from_word), [None; 4]);
    }
}
