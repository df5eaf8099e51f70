//! What the workers of a stage are to do: what the file says, once the queues are read to their end that went before.
//!
//! A queue that goes may hold items, and more come until its writers write elsewhere. So a stage of which all input queues go reads
//! these to their end first, and then those that another file has named meanwhile, in this order, with the settings of now. A stage that
//! keeps the order of its input, and is to write elsewhere, does so with its settings of before: its outputs stay in one queue.

use super::{Fate, StageState, Worker};
use crate::queue::QueueId;
use crate::supervisor::machine::aims::Aims;
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::wanted::Version;
use crate::supervisor::machine::worker_state::{Life, Over};
use std::rc::Rc;

impl StageState {
    /// The file says `wanted` now. `goes`: whether a queue is no longer in the file. True: its workers are to do something else.
    pub(crate) fn aim_at(&mut self, wanted: Version, goes: impl Fn(QueueId) -> bool) -> bool {
        if self.is_through() && self.fate != Fate::GaveUp {
            self.aims = Aims::new(Rc::new(wanted));
        } else {
            let windows = &self.windows;
            let is_ordered =
                |old: &Version| windows.iter().any(|(input, _)| old.work.inputs.first() == Some(input));
            self.aims.set(wanted, is_ordered, goes);
        }
        self.take_first_aim()
    }

    fn take_first_aim(&mut self) -> bool {
        let first = self.aims.first().filter(|first| **first != self.version);
        let Some(first) = first.map(Rc::clone) else { return false };
        self.version = first;
        true
    }

    /// Once what it reads first is read to its end, its workers take what comes next: also those that have failed meanwhile, with
    /// `restart = "never"`.
    pub(crate) fn advance(&mut self, out: &mut Effects) {
        let has_read = |worker: &Worker| {
            worker.life == Life::Over(Over::InputEnded) && worker.version.inputs == self.version.inputs
        };
        let are_over = self.staying().all(|worker| worker.life.is_over()) && self.staying().any(has_read);
        if !(self.reads_others_first() && are_over) {
            return;
        }
        self.aims.advance();
        if self.take_first_aim() {
            self.roll(out);
        }
    }

    /// Whether it reads queues that go, before it does what the file says.
    pub(crate) fn reads_others_first(&self) -> bool {
        self.aims.are_several()
    }

    /// Whether it does that with its settings of before, and others are to come.
    pub(crate) fn waits_with_settings(&self) -> bool {
        let now = self.versions_to_come().last().map(|wanted| wanted.with_queues_of(&self.version));
        now.is_some_and(|now| now != *self.version)
    }

    /// What it will do after what it does now.
    pub(crate) fn versions_to_come(&self) -> impl Iterator<Item = &Version> {
        let is_through = self.is_through();
        self.aims.to_come().filter(move |_| !is_through)
    }
}
