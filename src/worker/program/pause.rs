//! `sleep` and `sleep_when_empty` beside a program: no item before the rest is over. Its length is what the file says
//! now, so a change of the file is followed in the middle of a rest.

use crate::worker::context::LiveSettings;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum After {
    Item,
    Empty,
}

#[derive(Default)]
pub(crate) struct Rest {
    begun: Option<(Instant, After)>,
    until: Option<Instant>,
}

impl Rest {
    /// An item is done.
    pub fn after_item(&mut self, live: &LiveSettings) {
        self.begin(After::Item, live);
    }

    /// There is none.
    pub fn while_empty(&mut self, live: &LiveSettings) {
        self.begin(After::Empty, live);
    }

    fn begin(&mut self, after: After, live: &LiveSettings) {
        let now = Instant::now();
        (self.begun, self.until) = (Some((now, after)), Some(now + length(after, live)));
    }

    /// Once a round, so that all of it agrees on whether there is a rest.
    pub fn look(&mut self, live: &LiveSettings) {
        let until = self.begun.map(|(begun, after)| begun + length(after, live));
        self.until = until.filter(|&until| !live.hurry && until > Instant::now());
        self.begun = self.begun.filter(|_| self.until.is_some());
    }

    /// When it is over, if there is one.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

fn length(after: After, live: &LiveSettings) -> Duration {
    match after {
        After::Item => live.tuning.sleep,
        After::Empty => live.when_empty().unwrap_or_default(),
    }
}
