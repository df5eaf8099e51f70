//! What the workers of a stage are to do: what the file says, once the queues are read to their end that went before.
//!
//! A queue that goes may hold items, and more come until its writers write elsewhere. So a stage of which all input queues go reads
//! these to their end first, and then those that another file has named meanwhile, in this order, with the settings of now. A stage that
//! keeps the order of its input does so with its settings of before: its outputs stay in one queue.

use super::StageState;
use crate::queue::QueueId;
use crate::supervisor::machine::wanted::Version;
use crate::supervisor::machine::worker_state::{Life, Over};
use std::rc::Rc;

/// What a stage does, one after the other; the last is what the file says.
#[derive(Debug)]
pub(super) struct Aims(Vec<Rc<Version>>);

impl Aims {
    pub(super) fn new(version: Rc<Version>) -> Aims {
        Aims(vec![version])
    }
}

impl StageState {
    /// The file says `wanted` now. `goes`: whether a queue is no longer in the file. True: its workers are to do something else.
    pub(crate) fn aim_at(&mut self, wanted: Version, goes: impl Fn(QueueId) -> bool) -> bool {
        let keeps_settings = self.spec.window().is_some();
        let is_over = self.is_over();
        let comes_first =
            |old: &Rc<Version>| !is_over && old.reads_only(&goes) && old.inputs != wanted.inputs;
        let of_now =
            |old: Rc<Version>| if keeps_settings { old } else { Rc::new(wanted.with_inputs_of(&old)) };
        let before = std::mem::take(&mut self.aims.0).into_iter().filter(comes_first);
        let mut aims: Vec<Rc<Version>> = before.map(of_now).collect();
        aims.push(Rc::new(wanted.clone()));
        self.aims = Aims(aims);
        self.take_first_aim()
    }

    fn take_first_aim(&mut self) -> bool {
        let Some(first) = self.aims.0.first() else { return false };
        let is_other = self.version != *first;
        if is_other {
            self.version = Rc::clone(first);
        }
        is_other
    }

    /// What it reads first is read to its end: on to what comes next. True: its workers are to do something else.
    pub(crate) fn advance(&mut self) -> bool {
        let has_read = |worker: &super::Worker| {
            worker.life == Life::Over(Over::InputEnded) && worker.version.inputs == self.version.inputs
        };
        if !self.reads_others_first() || self.workers.is_empty() || !self.staying().all(has_read) {
            return false;
        }
        self.aims.0.remove(0);
        self.take_first_aim()
    }

    /// Whether it reads queues that go, before it does what the file says.
    pub(crate) fn reads_others_first(&self) -> bool {
        self.aims.0.len() > 1
    }

    /// What it will do after what it does now.
    pub(crate) fn versions_to_come(&self) -> impl Iterator<Item = &Version> {
        let comes = if self.is_over() { 0 } else { self.aims.0.len() };
        self.aims.0.iter().take(comes).skip(1).map(Rc::as_ref)
    }
}
