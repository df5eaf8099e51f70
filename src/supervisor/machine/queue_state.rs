//! The queues of a run: which there are, which are wanted, and which have ended or are closed.

use super::effect::Action;
use super::effects::Outbox;
use super::ids::Pool;
use super::recovered::{Kept, Label};
use super::stage_state::Stage;
use crate::config;
use crate::queue::{MAX_QUEUES, QueueId};

/// All queues.
#[derive(Debug)]
pub struct Queues {
    all: Vec<Queue>,
    /// Hidden queues of an earlier run whose stages are not in the file (yet).
    dormant: Vec<Kept>,
    ids: Pool,
}

/// One queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Which.
    pub id: QueueId,
    /// What the file says about it.
    pub spec: config::Queue,
    /// It is in the file.
    pub wanted: bool,
    /// It isn't, but it holds items: kept until a file names it again.
    pub stranded: bool,
    /// No writer will ever put again.
    pub ended: bool,
    /// No reader will ever take again.
    pub closed: bool,
}

/// A change that may wake finished stages up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopened {
    /// It has a writer again.
    ForReaders(QueueId),
    /// It has a reader again.
    ForWriters(QueueId),
}

impl Queues {
    /// None.
    pub fn new() -> Queues {
        Queues {
            all: Vec::new(),
            dormant: Vec::new(),
            ids: Pool::new(u16::try_from(MAX_QUEUES).unwrap_or(u16::MAX)),
        }
    }

    /// Goes on with what an earlier run has left.
    pub fn inherit(&mut self, kept: Vec<Kept>) {
        for kept in kept {
            if !self.ids.claim(kept.queue.0) {
                continue;
            }
            match &kept.label {
                Label::Queue(name) => self.all.push(Queue {
                    id: kept.queue,
                    // Never as the file says it: so its bounds are set.
                    spec: config::Queue::unbounded(name),
                    wanted: false,
                    stranded: false,
                    ended: kept.ended,
                    closed: kept.closed,
                }),
                Label::Token { .. } | Label::Outbox(_) => self.dormant.push(kept),
            }
        }
    }

    /// The hidden queue of this label that an earlier run has left.
    fn wake(&mut self, label: &Label) -> Option<QueueId> {
        let at = self.dormant.iter().position(|kept| kept.label == *label)?;
        Some(self.dormant.swap_remove(at).queue)
    }

    /// Whether an earlier run has left the hidden queue of this label, to be woken.
    pub fn is_dormant(&self, label: &Label) -> bool {
        self.dormant.iter().any(|kept| kept.label == *label)
    }

    /// Whether items are left that no stage of the file will ever see.
    pub fn leave_items(&self) -> bool {
        let hidden = |kept: &Kept| kept.items > 0 && matches!(kept.label, Label::Outbox(_));
        self.all.iter().any(|queue| queue.stranded) || self.dormant.iter().any(hidden)
    }

    /// Whether there are positions of stages that are not in the file, and have not come to their end.
    pub fn keep_positions(&self) -> bool {
        let is_position = |kept: &Kept| matches!(kept.label, Label::Token { .. }) && !kept.through;
        self.dormant.iter().any(is_position)
    }

    /// All there are.
    pub fn all(&self) -> impl Iterator<Item = &Queue> {
        self.all.iter()
    }

    /// How many more there may be.
    pub fn left(&self) -> usize {
        self.ids.left()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The queue of this name.
    pub fn id(&self, name: &str) -> Option<QueueId> {
        self.all.iter().find(|queue| queue.spec.name == name).map(|queue| queue.id)
    }

    /// Makes the queues of `wanted`, gives the others new limits, and marks those that have to go.
    pub fn want(&mut self, wanted: &[config::Queue], out: &mut Outbox) {
        for queue in &mut self.all {
            queue.wanted = wanted.iter().any(|spec| spec.name == queue.spec.name);
            queue.stranded &= !queue.wanted;
        }
        for spec in wanted {
            match self.all.iter_mut().find(|queue| queue.spec.name == spec.name) {
                Some(queue) if queue.spec == *spec => {}
                Some(queue) => {
                    queue.spec = spec.clone();
                    out.act(Action::SetQueue(queue.id, spec.clone()));
                }
                None => self.add(spec, out),
            }
        }
    }

    fn add(&mut self, spec: &config::Queue, out: &mut Outbox) {
        // The room was checked before anything was changed.
        let Some(id) = self.ids.take().map(QueueId) else { return };
        self.all.push(Queue {
            id,
            spec: spec.clone(),
            wanted: true,
            stranded: false,
            ended: false,
            closed: false,
        });
        out.act(Action::SetQueue(id, spec.clone()));
    }

    /// A hidden queue with one token in it.
    pub fn add_token(&mut self, stage: &str, uses: &str, out: &mut Outbox) -> Option<QueueId> {
        let label = Label::Token { stage: stage.to_owned(), uses: uses.to_owned() };
        if let Some(kept) = self.wake(&label) {
            return Some(kept);
        }
        let id = QueueId(self.ids.take()?);
        out.act(Action::AddToken(id, label));
        Some(id)
    }

    /// A hidden queue for outputs that wait for room.
    pub fn add_outbox(&mut self, stage: &str, out: &mut Outbox) -> Option<QueueId> {
        if let Some(kept) = self.wake(&Label::Outbox(stage.to_owned())) {
            return Some(kept);
        }
        let id = QueueId(self.ids.take()?);
        out.act(Action::AddOutbox(id, stage.to_owned()));
        Some(id)
    }

    /// A hidden queue is gone.
    pub fn removed_outbox(&mut self, id: QueueId) {
        self.ids.give(id.0);
    }

    /// Gives up a hidden queue, whatever it holds.
    pub fn drop_token(&mut self, id: QueueId, out: &mut Outbox) {
        out.act(Action::DropToken(id));
        self.ids.give(id.0);
    }

    /// The queues that have to go.
    pub fn unwanted(&self) -> impl Iterator<Item = &Queue> {
        self.all.iter().filter(|queue| !queue.wanted && !queue.stranded)
    }

    /// Whether this queue has to go.
    pub fn is_unwanted(&self, id: QueueId) -> bool {
        self.unwanted().any(|queue| queue.id == id)
    }

    /// Whether nobody will ever read it.
    pub fn is_closed(&self, id: QueueId) -> bool {
        self.all.iter().any(|queue| queue.id == id && queue.closed)
    }

    /// Whether somebody reads it.
    pub fn is_open(&self, id: QueueId) -> bool {
        self.all.iter().any(|queue| queue.id == id && !queue.closed)
    }

    /// It has to go, but can't without losing items.
    pub fn strand(&mut self, id: QueueId) {
        self.all.iter_mut().filter(|queue| queue.id == id).for_each(|queue| queue.stranded = true);
    }

    /// It is gone.
    pub fn removed(&mut self, id: QueueId) {
        if let Some(i) = self.all.iter().position(|queue| queue.id == id) {
            self.all.remove(i);
            self.ids.give(id.0);
        }
    }

    /// Says which queues have ended and which are closed, as far as that has changed.
    ///
    /// `is_fed`: items come from elsewhere than from its stages.
    ///
    /// A queue that has to go is never closed: its writers are about to be told what else to write, and must not take
    /// that for the end of their work.
    pub fn settle(&mut self, stages: &[Stage], is_fed: bool, out: &mut Outbox) -> Vec<Reopened> {
        let mut reopened = Vec::new();
        for queue in &mut self.all {
            let ended = !is_fed && !stages.iter().any(|stage| stage.writes(queue.id));
            let closed = queue.wanted && !stages.iter().any(|stage| stage.reads(queue.id));
            if queue.ended != ended {
                out.act(Action::SetEnded(queue.id, ended));
                reopened.extend((!ended).then_some(Reopened::ForReaders(queue.id)));
            }
            if queue.closed != closed {
                out.act(Action::SetClosed(queue.id, closed));
                reopened.extend((!closed).then_some(Reopened::ForWriters(queue.id)));
            }
            (queue.ended, queue.closed) = (ended, closed);
        }
        reopened
    }
}
