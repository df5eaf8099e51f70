//! `sleep` and `sleep_when_empty` beside a program: no item before the rest is over. Its length is what the file says
//! now, so a change of the file is followed in the middle of a rest.

use crate::worker::context::Pace;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum After {
    Item,
    Empty,
}

#[derive(Default)]
pub(super) struct Rest {
    begun: Option<(Instant, After)>,
    until: Option<Instant>,
}

impl Rest {
    /// An item is done.
    pub fn after_item(&mut self, pace: &Pace) {
        self.begin(After::Item, pace);
    }

    /// There is none.
    pub fn while_empty(&mut self, pace: &Pace) {
        self.begin(After::Empty, pace);
    }

    fn begin(&mut self, after: After, pace: &Pace) {
        let now = Instant::now();
        (self.begun, self.until) = (Some((now, after)), Some(now + length(after, pace)));
    }

    /// Once a round, so that all of it agrees on whether there is a rest.
    pub fn look(&mut self, pace: &Pace) {
        let until = self.begun.map(|(begun, after)| begun + length(after, pace));
        self.until = until.filter(|&until| !pace.hurry && until > Instant::now());
        self.begun = self.begun.filter(|_| self.until.is_some());
    }

    /// When it is over, if there is one.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

fn length(after: After, pace: &Pace) -> Duration {
    match after {
        After::Item => pace.tuning.sleep,
        After::Empty => pace.when_empty().unwrap_or_default(),
    }
}
