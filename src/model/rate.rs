//! `rate`: how many items a stage may begin in what time.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A number of items per unit of time, over all workers of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Items in one unit; 1 ..= [`RateUnit::most`].
    pub items: u32,
    /// The unit.
    pub per: RateUnit,
}

/// The time in which that many items may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u64)]
pub enum RateUnit {
    /// `/s`
    Second = 1,
    /// `/m`
    Minute = 2,
    /// `/h`
    Hour = 3,
}

impl RateUnit {
    /// Every unit with its letter.
    pub(crate) const ALL: [(char, RateUnit); 3] =
        [('s', RateUnit::Second), ('m', RateUnit::Minute), ('h', RateUnit::Hour)];

    /// The most items in one unit.
    pub fn most(self) -> u32 {
        Rate::MOST * self.seconds()
    }

    fn seconds(self) -> u32 {
        match self {
            RateUnit::Second => 1,
            RateUnit::Minute => 60,
            RateUnit::Hour => 3600,
        }
    }
}

impl Rate {
    /// The most items in a second: the time between two is a whole number of nanoseconds, off by 0.1% at most.
    pub const MOST: u32 = 1_000_000;

    /// The time between two items at this rate.
    pub fn interval(self) -> Duration {
        Duration::from_nanos(u64::from(self.per.seconds()) * 1_000_000_000 / u64::from(self.items.max(1)))
    }

    /// As a word of a worker's slot; never 0.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.items) << 8 | self.per as u64
    }

    /// The same, read back; `None`: no rate.
    pub(crate) fn from_word(word: u64) -> Option<Rate> {
        let (_, per) = RateUnit::ALL.into_iter().find(|(_, unit)| *unit as u64 == word & 0xff)?;
        let items = u32::try_from(word >> 8).ok().filter(|items| *items > 0)?;
        Some(Rate { items, per })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter =
            RateUnit::ALL.into_iter().find(|(_, unit)| *unit == self.per).map_or('s', |(own, _)| own);
        write!(f, "{}/{letter}", self.items)
    }
}
