//! What is done to queues, and to what dead workers held of them.

use super::Performer;
use crate::config;
use crate::queue::{DeadLetterCandidate, Fault, QueueId};
use crate::supervisor::action::Release;
use crate::supervisor::event::Event;
use crate::supervisor::inheritance::Label;
use crate::supervisor::settings;
use log::{Level, log};

impl Performer<'_> {
    pub(super) fn release(&mut self, release: &Release) {
        // No item is at its last try here: that is what `bury` is for. If one were, it would go back.
        let mut none = |_: DeadLetterCandidate<'_>| Err(std::io::ErrorKind::Other.into());
        let released = self.steward.release(release.slot, release.blame, release.attempts, &mut none);
        let Some(released) = self.unless_damaged(released) else { return };
        if released.returned > 0 {
            let (stage, index) = (&release.stage, release.worker.index);
            log!(target: "mprun", Level::Debug, "{stage}[{index}] gave back {} items", released.returned);
        }
    }

    pub(super) fn set_queue(&mut self, queue: QueueId, spec: &config::Queue) {
        let is_new = self.names.insert(queue, spec.name.clone()).is_none();
        let labelled = self.steward.set_label(queue, &Label::Queue(spec.name.clone()).to_string());
        match labelled.and_then(|()| self.steward.set_queue(queue, &spec.limits)) {
            // It has its old bounds, and whoever uses it goes on.
            Err(full @ Fault::DiskFull(..)) if !is_new => {
                log!(target: "mprun", Level::Error, "queue {} keeps its bounds: {full}", spec.name);
            }
            set => self.made(queue, set),
        }
    }

    pub(super) fn add_token(&mut self, queue: QueueId, label: Label) {
        let labelled = self.steward.set_label(queue, &label.to_string());
        let set = labelled.and_then(|()| self.steward.set_queue(queue, &settings::TOKEN));
        let seeded = set.and_then(|()| self.steward.seed(queue, b""));
        self.tokens.insert(queue, label);
        self.made(queue, seeded);
    }

    pub(super) fn add_outbox(&mut self, queue: QueueId, stage: String) {
        let label = Label::Outbox(stage);
        let labelled = self.steward.set_label(queue, &label.to_string());
        self.tokens.insert(queue, label);
        // The stage itself fills it: who has read the stage's inputs to their end looks here too, once.
        let set = labelled.and_then(|()| self.steward.set_queue(queue, &settings::OUTBOX));
        let ended = set.and_then(|()| self.steward.set_ended(queue, true));
        self.made(queue, ended);
    }

    /// A queue is there, or not for want of room: then nobody may start to work on it, who would sleep where no order wakes.
    fn made(&mut self, queue: QueueId, result: Result<(), Fault>) {
        match &result {
            Err(Fault::DiskFull(..)) => self.unmade.insert(queue),
            _ => self.unmade.remove(&queue),
        };
        self.unless_damaged(result);
    }

    /// What it was for.
    pub(super) fn drop_token(&mut self, queue: QueueId) -> Option<Label> {
        let label = self.tokens.remove(&queue)?;
        let removed = self.steward.remove_queue(queue);
        self.unless_damaged(removed);
        Some(label)
    }

    /// All of them or none.
    pub(super) fn remove_queues(&mut self, queues: Vec<QueueId>) {
        for &queue in &queues {
            let held = self.held(queue);
            if held > 0 {
                return self.events.push_back(Event::QueueHolds(queue, held));
            }
        }
        queues.iter().for_each(|&queue| self.drop_queue(queue));
        self.events.push_back(Event::QueuesRemoved(queues));
    }

    fn drop_queue(&mut self, queue: QueueId) {
        let counts = self.steward.counts(queue);
        self.dead_before += self.unless_damaged(counts).map_or(0, |counts| counts.dead);
        let removed = self.steward.remove_queue(queue);
        self.unless_damaged(removed);
        self.names.remove(&queue);
        self.tokens.remove(&queue);
    }

    fn held(&mut self, queue: QueueId) -> u64 {
        let counts = self.steward.counts(queue);
        self.unless_damaged(counts).map_or(0, |counts| counts.waiting + counts.leased)
    }

    pub(super) fn held_by_name(&mut self) -> Vec<(String, u64)> {
        let names = self.names.clone();
        names.into_iter().map(|(queue, name)| (name, self.held(queue))).collect()
    }
}
