//! The queues of a run: which there are, which are wanted, and which have ended or are closed.

use super::effect::{Effect, Effects};
use super::ids::Pool;
use super::recovered::{Label, RecoveredQueue};
use super::stage_state::StageState;
use crate::config;
use crate::queue::{MAX_QUEUES, QueueId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct QueueTable {
    all: Vec<QueueState>,
    /// Where each is in `all`.
    places: BTreeMap<QueueId, usize>,
    /// By the name that the file gives it.
    by_name: BTreeMap<String, QueueId>,
    /// Hidden queues of an earlier run whose stages are not in the file (yet), and the one of standard output, which is no
    /// stage's own.
    inactive: Vec<RecoveredQueue>,
    ids: Pool,
}

#[derive(Clone, Debug)]
pub(super) struct QueueState {
    pub id: QueueId,
    /// What the file says about it.
    pub spec: config::Queue,
    /// It is in the file.
    pub wanted: bool,
    /// It isn't, but it holds items: kept until a file names it again.
    pub retained: bool,
    /// No writer will ever put again.
    pub ended: bool,
    /// No reader will ever take again.
    pub closed: bool,
}

impl QueueState {
    fn new(id: QueueId, spec: config::Queue, wanted: bool) -> QueueState {
        QueueState { id, spec, wanted, retained: false, ended: false, closed: false }
    }

    fn is_unwanted(&self) -> bool {
        !self.wanted && !self.retained
    }
}

/// A change that may wake finished stages up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reopened {
    /// It has a writer again.
    ForReaders(QueueId),
    /// It has a reader again.
    ForWriters(QueueId),
}

impl QueueTable {
    pub(super) fn new() -> QueueTable {
        QueueTable {
            all: Vec::new(),
            places: BTreeMap::new(),
            by_name: BTreeMap::new(),
            inactive: Vec::new(),
            ids: Pool::new(u16::try_from(MAX_QUEUES).unwrap_or(u16::MAX)),
        }
    }

    /// Takes in what an earlier run has left.
    pub(super) fn recover(&mut self, recovered: Vec<RecoveredQueue>) {
        for recovered in recovered {
            if !self.ids.claim(recovered.queue.0) {
                continue;
            }
            match &recovered.label {
                // Never as the file says it: so its bounds are set.
                Label::Queue(name) => {
                    let (ended, closed) = (recovered.ended, recovered.closed);
                    let spec = config::Queue::unbounded(name);
                    self.push(QueueState { ended, closed, ..QueueState::new(recovered.queue, spec, false) });
                }
                Label::Token { .. }
                | Label::Spill(_)
                | Label::Window { .. }
                | Label::Line(_)
                | Label::Held(_)
                | Label::Print => self.inactive.push(recovered),
            }
        }
    }

    fn push(&mut self, queue: QueueState) {
        self.places.insert(queue.id, self.all.len());
        // Of two that an earlier run has left, the first counts.
        self.by_name.entry(queue.spec.name.clone()).or_insert(queue.id);
        self.all.push(queue);
    }

    fn get(&self, id: QueueId) -> Option<&QueueState> {
        self.all.get(*self.places.get(&id)?)
    }

    /// What the file calls a queue.
    pub(super) fn name(&self, id: QueueId) -> Option<&str> {
        self.get(id).map(|queue| queue.spec.name.as_str())
    }

    /// Whether an earlier run has left the hidden queue of this label, to be used again.
    pub(super) fn is_inactive(&self, label: &Label) -> bool {
        self.inactive.iter().any(|recovered| recovered.label == *label)
    }

    /// Whether items are left that no stage of the file will ever see.
    pub(super) fn hold_items(&self) -> bool {
        let hidden = |recovered: &RecoveredQueue| recovered.items > 0 && recovered.label.holds_outputs();
        self.retained().next().is_some() || self.inactive.iter().any(hidden)
    }

    /// Whether there are positions of stages that are not in the file, and have not come to their end.
    pub(super) fn hold_positions(&self) -> bool {
        let is_position =
            |recovered: &RecoveredQueue| matches!(recovered.label, Label::Token { .. }) && !recovered.through;
        self.inactive.iter().any(is_position)
    }

    /// All there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &QueueState> {
        self.all.iter()
    }

    /// Whether a queue lies in a broker.
    pub(super) fn is_shared(&self, id: QueueId) -> bool {
        self.get(id).is_some_and(|queue| queue.spec.shared)
    }

    /// How many more there may be.
    pub(super) fn available(&self) -> usize {
        self.ids.available()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The queue of this name.
    pub(super) fn id(&self, name: &str) -> Option<QueueId> {
        self.by_name.get(name).copied()
    }

    /// Makes the queues of `wanted`, gives the others new limits, and marks those that have to go.
    pub(super) fn want(&mut self, wanted: &[config::Queue], out: &mut Effects) {
        let named: BTreeSet<&str> = wanted.iter().map(|spec| spec.name.as_str()).collect();
        for queue in &mut self.all {
            queue.wanted = named.contains(queue.spec.name.as_str());
            queue.retained &= !queue.wanted;
        }
        for spec in wanted {
            let place = self.id(&spec.name).and_then(|id| self.places.get(&id).copied());
            match place.and_then(|place| self.all.get_mut(place)) {
                Some(queue) if queue.spec == *spec => {}
                Some(queue) => {
                    queue.spec = spec.clone();
                    out.push(Effect::SetQueue(queue.id, spec.clone()));
                }
                None => self.add(spec, out),
            }
        }
    }

    fn add(&mut self, spec: &config::Queue, out: &mut Effects) {
        // The room was checked before anything was changed.
        let Some(id) = self.ids.take().map(QueueId) else { return };
        self.push(QueueState::new(id, spec.clone(), true));
        out.push(Effect::SetQueue(id, spec.clone()));
    }

    /// The hidden queue of this label: the one that an earlier run has left, or a new one.
    pub(super) fn hidden(&mut self, label: Label, out: &mut Effects) -> Option<QueueId> {
        if let Some(at) = self.inactive.iter().position(|recovered| recovered.label == label) {
            return Some(self.inactive.swap_remove(at).queue);
        }
        let id = QueueId(self.ids.take()?);
        out.push(Effect::AddHidden(id, label));
        Some(id)
    }

    /// A hidden queue that its stage needs no more holds something: it stays as it is until a stage needs it again.
    pub(super) fn set_aside(&mut self, queue: QueueId, label: Label, items: u64) {
        let (ended, closed, through) = (false, false, false);
        self.inactive.push(RecoveredQueue { queue, label, items, ended, closed, through });
    }

    /// The hidden queue of this label, which stays as long as the run: the token of standard output, and what the link to a
    /// broker needs.
    pub(super) fn kept(&mut self, label: Label, out: &mut Effects) -> Option<QueueId> {
        if let Some(known) = self.known(&label) {
            return Some(known);
        }
        let queue = self.hidden(label.clone(), out)?;
        let (items, ended, closed, through) = (1, false, false, false);
        self.inactive.push(RecoveredQueue { queue, label, items, ended, closed, through });
        Some(queue)
    }

    /// The same, if it is there.
    pub(super) fn known(&self, label: &Label) -> Option<QueueId> {
        self.inactive.iter().find(|known| known.label == *label).map(|known| known.queue)
    }

    /// Notes that a line has ended, or that its stage has begun anew.
    pub(super) fn set_line_ended(&mut self, line: QueueId, ended: bool, out: &mut Effects) {
        let known = self.inactive.iter_mut().find(|known| known.queue == line && known.ended != ended);
        if let Some(known) = known {
            known.ended = ended;
            out.push(Effect::EndLine(line, ended));
        }
    }

    /// Gives up a hidden queue, whatever it holds.
    pub(super) fn drop_token(&mut self, id: QueueId, out: &mut Effects) {
        out.push(Effect::DropToken(id));
        self.ids.give(id.0);
    }

    /// The queues that have to go.
    pub(super) fn unwanted(&self) -> impl Iterator<Item = &QueueState> {
        self.all.iter().filter(|queue| queue.is_unwanted())
    }

    /// Whether this queue has to go.
    pub(super) fn is_unwanted(&self, id: QueueId) -> bool {
        self.get(id).is_some_and(QueueState::is_unwanted)
    }

    /// Whether it has no reader, and gets none.
    pub(super) fn is_closed(&self, id: QueueId) -> bool {
        self.get(id).is_some_and(|queue| queue.closed)
    }

    /// Whether it has a reader.
    pub(super) fn is_open(&self, id: QueueId) -> bool {
        self.get(id).is_some_and(|queue| !queue.closed)
    }

    /// It has to go, but can't without losing items.
    pub(super) fn retain(&mut self, id: QueueId) {
        self.all.iter_mut().filter(|queue| queue.id == id).for_each(|queue| queue.retained = true);
    }

    /// Those that stay for their items alone, by name.
    pub(super) fn retained(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter(|queue| queue.retained).map(|queue| queue.spec.name.as_str())
    }

    /// A queue of the file or a hidden one is gone.
    pub(super) fn removed(&mut self, id: QueueId) {
        if let Some(place) = self.places.remove(&id) {
            let gone = self.all.remove(place);
            self.places.values_mut().filter(|other| **other > place).for_each(|other| *other -= 1);
            self.by_name.retain(|name, of| *name != gone.spec.name || *of != id);
        }
        self.ids.give(id.0);
    }

    /// Marks the queues that have ended or are closed, as far as that has changed.
    ///
    /// A broker says when a shared queue ends, and its readers may be on other machines; but for this one it ends when it is
    /// `stopping`.
    ///
    /// A queue that has to go is never closed: its writers are about to get other outputs, and must not take
    /// that for the end of their work.
    pub(super) fn settle(
        &mut self,
        stages: &[StageState],
        (is_retrying, stopping): (bool, bool),
        out: &mut Effects,
    ) -> Vec<Reopened> {
        let mut reopened = Vec::new();
        let live = || stages.iter().flat_map(|stage| stage.live_versions().chain(stage.versions_to_come()));
        let written: BTreeSet<QueueId> = live().flat_map(|version| &version.outputs).copied().collect();
        let read: BTreeSet<QueueId> = live().flat_map(|version| &version.inputs).copied().collect();
        for queue in &mut self.all {
            let (ended, closed) = match queue.spec.shared {
                true => (stopping, false),
                false => {
                    (!is_retrying && !written.contains(&queue.id), queue.wanted && !read.contains(&queue.id))
                }
            };
            if queue.ended != ended {
                out.push(Effect::SetEnded(queue.id, ended));
                reopened.extend((!ended).then_some(Reopened::ForReaders(queue.id)));
            }
            if queue.closed != closed {
                out.push(Effect::SetClosed(queue.id, closed));
                reopened.extend((!closed).then_some(Reopened::ForWriters(queue.id)));
            }
            (queue.ended, queue.closed) = (ended, closed);
        }
        reopened
    }
}
