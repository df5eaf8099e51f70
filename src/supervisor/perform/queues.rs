//! What is done to queues, and to what dead workers held of them.

use super::Performer;
use crate::config;
use crate::queue::{Doomed, QueueId};
use crate::supervisor::action::Release;
use crate::supervisor::event::Event;
use crate::supervisor::{burial, settings};
use log::{Level, log};

impl Performer<'_> {
    pub(super) fn release(&mut self, release: &Release) {
        let (names, launcher) = (&self.names, &self.launcher);
        let mut bury = |doomed: Doomed<'_>| burial::bury(&doomed, release, names, launcher);
        let released = self.steward.release(release.slot, release.blame, release.attempts, &mut bury);
        if let Some(released) = self.unless_damaged(released)
            && released.returned > 0
        {
            let (stage, index) = (&release.stage, release.worker.index);
            log!(target: "mprun", Level::Debug, "{stage}[{index}] gave back {} items", released.returned);
        }
    }

    pub(super) fn set_queue(&mut self, queue: QueueId, spec: &config::Queue) {
        self.names.insert(queue, spec.name.clone());
        let set = self.steward.set_queue(queue, &settings::limits(spec));
        self.unless_damaged(set);
    }

    pub(super) fn add_token(&mut self, queue: QueueId, stage: String) {
        self.tokens.insert(queue, stage);
        let seeded =
            self.steward.set_queue(queue, &settings::TOKEN).and_then(|()| self.steward.seed(queue, b""));
        self.unless_damaged(seeded);
    }

    pub(super) fn add_outbox(&mut self, queue: QueueId, stage: String) {
        self.tokens.insert(queue, stage);
        // The stage itself fills it: who has read the stage's inputs to their end looks here too, once.
        let set = self.steward.set_queue(queue, &settings::OUTBOX);
        let ended = set.and_then(|()| self.steward.set_ended(queue, true));
        self.unless_damaged(ended);
    }

    /// The stage whose token it was.
    pub(super) fn drop_token(&mut self, queue: QueueId) -> Option<String> {
        let stage = self.tokens.remove(&queue)?;
        let removed = self.steward.remove_queue(queue);
        self.unless_damaged(removed);
        Some(stage)
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
