//! What a stage does, one after the other; the last is what the file says.

use super::wanted::Version;
use crate::queue::QueueId;
use std::rc::Rc;

#[derive(Debug)]
pub(super) struct Aims(Vec<Rc<Version>>);

impl Aims {
    pub(super) fn new(version: Rc<Version>) -> Aims {
        Aims(vec![version])
    }

    /// What is to be done now.
    pub(super) fn first(&self) -> Option<&Rc<Version>> {
        self.0.first()
    }

    /// Whether something comes before what the file says.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// What comes after what is done now.
    pub(super) fn to_come(&self) -> impl Iterator<Item = &Version> {
        self.0.iter().skip(1).map(Rc::as_ref)
    }

    /// What was done until now has come to its end.
    pub(super) fn advance(&mut self) {
        if self.are_several() {
            self.0.remove(0);
        }
    }

    /// The file says `wanted` now. What reads only queues that go, those of `goes`, reads them first, with the settings of now. One that
    /// `is_ordered` and has written elsewhere does so as before: outputs of one order stay in one queue.
    pub(super) fn set(
        &mut self,
        wanted: Version,
        is_ordered: impl Fn(&Version) -> bool,
        goes: impl Fn(QueueId) -> bool,
    ) {
        let wanted = Rc::new(wanted);
        let comes_first = |old: &Rc<Version>| old.reads_only(&goes) && old.inputs != wanted.inputs;
        let of_now = |old: Rc<Version>| match is_ordered(&old) && old.outputs != wanted.outputs {
            true => old,
            false => Rc::new(wanted.with_inputs_of(&old)),
        };
        let before = std::mem::take(&mut self.0).into_iter().filter(comes_first);
        self.0 = before.map(of_now).collect();
        self.0.push(wanted);
    }
}
