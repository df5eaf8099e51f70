//! What a worker has for a broker: outputs, in its own memory, until they are a commit.

use super::outputs::NO_LEASE;
use crate::broker::{Output, SharedQueue, Step};
use crate::queue::QueueId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where outputs go to queues of both kinds: leases of which some may be published early, each with a word in the journal.
pub(super) const MOST_MIXED_LEASES: usize = 32;

/// The queues of a stage that lie in a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedQueues {
    /// Where the stage's commits go.
    pub line: QueueId,
    /// Of its inputs and outputs those that are shared.
    pub queues: Vec<(QueueId, SharedQueue)>,
    /// The stage's token, where the broker keeps a copy of it: how it changes is part of the stage's commits.
    #[serde(default)]
    pub token: Option<QueueId>,
}

impl SharedQueues {
    /// What the broker calls a queue, if it lies there.
    pub fn number(&self, q: QueueId) -> Option<SharedQueue> {
        self.queues.iter().find(|(queue, _)| *queue == q).map(|(_, shared)| *shared)
    }
}

/// What a worker of such a stage has for the broker.
pub(super) struct Sharing {
    pub(super) of: SharedQueues,
    /// Items may be another machine's before they are done here, so that nothing of them may be out before.
    pub(super) has_inputs: bool,
    outputs: Vec<Output>,
    /// The lease that each is of.
    owners: Vec<u32>,
    /// How the token changes, and its lease.
    step: Option<(Step, u32)>,
    pub(super) bytes: usize,
    /// The leases of the outputs that no queue of this machine gets.
    alone: Vec<u32>,
    /// The next transaction's commit is the last of what is staged.
    pub(super) is_staged: bool,
}

impl Sharing {
    pub(super) fn new(of: SharedQueues, has_inputs: bool) -> Sharing {
        let (outputs, owners, alone) = (Vec::new(), Vec::new(), Vec::new());
        Sharing { of, has_inputs, outputs, owners, step: None, bytes: 0, alone, is_staged: false }
    }

    /// One output more, for those of `queues` that are shared. `is_alone`: no other gets it.
    pub(super) fn add(&mut self, queues: &[QueueId], item: &Bytes, for_lease: Option<usize>, is_alone: bool) {
        let owner = for_lease.map_or(NO_LEASE, |i| i as u32);
        self.alone.extend(is_alone.then_some(owner));
        for queue in queues.iter().filter_map(|&q| self.of.number(q)) {
            self.bytes += item.len();
            self.owners.push(owner);
            self.outputs.push(Output { queue, item: item.clone() });
        }
    }

    /// The token has changed.
    pub(super) fn note_step(&mut self, step: Step, for_lease: Option<usize>) {
        self.step = Some((step, for_lease.map_or(NO_LEASE, |i| i as u32)));
    }

    pub(super) fn is_token(&self, q: QueueId) -> bool {
        self.of.token == Some(q)
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.outputs.is_empty() || self.step.is_some()
    }

    /// For the next commit. Where it comes to nothing all is thrown away.
    pub(super) fn take_changes(&mut self) -> (Vec<Output>, Option<Step>) {
        self.owners.clear();
        (std::mem::take(&mut self.outputs), self.step.take().map(|(step, _)| step))
    }

    pub(super) fn number(&self, q: QueueId) -> Option<SharedQueue> {
        self.of.number(q)
    }

    pub(super) fn is_shared(&self, q: QueueId) -> bool {
        self.number(q).is_some()
    }

    pub(super) fn line(&self) -> QueueId {
        self.of.line
    }

    /// Outputs that are out with the commit, and in no count of those that are staged.
    pub(super) fn take_alone(&mut self) -> u64 {
        std::mem::take(&mut self.alone).len() as u64
    }

    /// Everything of it is published or thrown away.
    pub(super) fn clear(&mut self) {
        (self.is_staged, self.bytes) = (false, 0);
        self.alone.clear();
        self.outputs.clear();
        self.owners.clear();
        self.step = None;
    }

    pub(super) fn discard_from(&mut self, lease: u32) {
        let kept = |owner: &u32| *owner == NO_LEASE || *owner < lease;
        let mut owners = self.owners.iter();
        self.outputs.retain(|_| owners.next().is_none_or(kept));
        self.owners.retain(kept);
        self.alone.retain(kept);
        self.step.take_if(|(_, owner)| !kept(owner));
        self.bytes = self.outputs.iter().map(|output| output.item.len()).sum();
    }
}
