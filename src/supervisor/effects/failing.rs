//! Stages that are failing: their words in the arena are looked at when a worker says so, or has died.

use super::performer::Performer;
use crate::queue::Failing;
use crate::supervisor::machine::event::{Event, FailingNews};
use crate::supervisor::machine::ids::StageKey;
use crate::text;
use std::time::SystemTime;

impl Performer<'_> {
    /// What is new becomes an event.
    pub(super) fn look_for_failing_stages(&mut self) {
        self.look(|_| true);
    }

    /// The same for one stage.
    pub(super) fn look_whether_failing(&mut self, stage: StageKey) {
        self.look(|key| key == stage);
    }

    fn look(&mut self, at: impl Fn(StageKey) -> bool) {
        let places = self.opened_stages.iter().map(|(&id, &key)| (id, key));
        for (id, key) in places.filter(|&(_, key)| at(key)).collect::<Vec<_>>() {
            if let Some(failing) = self.admin(|admin| admin.failing(id)) {
                self.note_failing(key, failing);
            }
        }
    }

    fn note_failing(&mut self, key: StageKey, failing: Option<Failing>) {
        let since = failing.as_ref().map(|failing| failing.since);
        // The first look at a stage of the program before this one is news in any case: it may have been failing there.
        if self.failing.insert(key, since) == Some(since) {
            return;
        }
        let news = failing.map(|Failing { since, last_words }| FailingNews {
            since: SystemTime::now().duration_since(since).unwrap_or_default(),
            last_words: text::one_line(&last_words).into_owned(),
        });
        self.events.push_back(Event::Failing(key, news));
    }
}
