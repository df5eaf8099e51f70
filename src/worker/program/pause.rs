//! `sleep`, `sleep_when_empty` and `rate` beside a program: no item before the pause is over. Its length is what the file
//! says now, so a change of the file is followed in the middle of a pause.

use crate::model::Rate;
use crate::worker::context::LiveSettings;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(crate) enum After {
    Item,
    /// A look that found no item.
    Empty,
}

#[derive(Default)]
pub(crate) enum ItemPause {
    #[default]
    Off,
    On {
        begun: Instant,
        after: After,
        until: Instant,
    },
    /// The stage's rate lets no item begin before then.
    Rate {
        rate: Option<Rate>,
        until: Instant,
    },
}

impl ItemPause {
    pub(super) fn begin(&mut self, after: After, live: &LiveSettings) {
        let begun = Instant::now();
        *self = ItemPause::On { begun, after, until: begun + length(after, live) };
    }

    /// The rate lets no item begin before `until`.
    pub(super) fn begin_by_rate(&mut self, until: Instant, live: &LiveSettings) {
        *self = ItemPause::Rate { rate: live.tuning.rate, until };
    }

    /// Once a round, so that all of it agrees on whether there is a pause.
    pub(super) fn update(&mut self, live: &LiveSettings) {
        *self = match *self {
            ItemPause::Off => return,
            ItemPause::On { begun, after, .. } => {
                let until = begun + length(after, live);
                match !live.is_stopping() && until > Instant::now() {
                    true => ItemPause::On { begun, after, until },
                    false => ItemPause::Off,
                }
            }
            // A pipeline that drains keeps to the rate, too.
            ItemPause::Rate { rate, until } if rate == live.tuning.rate && until > Instant::now() => return,
            ItemPause::Rate { .. } => ItemPause::Off,
        };
    }

    /// When it is over, if there is one.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            ItemPause::Off => None,
            ItemPause::On { until, .. } | ItemPause::Rate { until, .. } => Some(*until),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.until().is_some()
    }
}

fn length(after: After, live: &LiveSettings) -> Duration {
    match after {
        After::Item => live.tuning.sleep,
        After::Empty => live.pause_when_empty().unwrap_or_default(),
    }
}
