//! What is done to queues, and to what dead workers held of them.

use super::performer::Performer;
use crate::broker::Commit;
use crate::config;
use crate::model::{Limits, WhenFull};
use crate::numbers::counted;
use crate::queue::{DeadLetterCandidate, FailureAttribution, Fault, QueueId};
use crate::supervisor::machine::effect::{KeptOrder, Release};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::recovery::queue_store::first_token;
use log::{Level, log};

/// A hidden queue for one token, of any size that a stage's state may have.
const TOKEN: Limits =
    Limits { capacity: 1, max_bytes: 1 << 32, max_item: 1 << 30, when_full: WhenFull::Block };

/// A hidden queue for outputs that wait for room: each item of it is all that came of an item, or of a batch.
const SPILL: Limits = Limits { capacity: 1 << 16, ..TOKEN };

/// A hidden queue for a stage's commits: enough to hide the way to the broker, few enough that little is done again where it is
/// another machine's meanwhile.
const LINE: Limits = Limits { capacity: 256, max_bytes: 64 << 20, ..TOKEN };

impl Performer<'_> {
    pub(super) fn release(&mut self, release: &Release) {
        // No item is at its last try here: that is what `write_dead_letter` is for. If one were, it would go back.
        let mut none = |_: DeadLetterCandidate<'_>| Err(std::io::ErrorKind::Other.into());
        if release.attribution == FailureAttribution::Begun {
            let last_words = release.last_words();
            self.admin(|admin| admin.set_last_words(release.slot, &last_words));
        }
        let Some(released) =
            self.admin(|admin| admin.release(release.slot, release.attribution, release.attempts, &mut none))
        else {
            return;
        };
        if released.returned > 0 {
            let (stage, index) = (&release.stage, release.worker.index);
            log!(target: "mprun", Level::Debug, "{stage}[{index}] gave back {}", counted(released.returned, "item"));
        }
        self.look_whether_failing(release.worker.stage);
    }

    pub(super) fn set_queue(&mut self, queue: QueueId, spec: &config::Queue) {
        let is_new = self.names.insert(queue, spec.name.clone()).is_none();
        let labelled = self.store.admin.set_label(queue, &Label::Queue(spec.name.clone()).to_string());
        match labelled.and_then(|()| self.store.admin.set_queue(queue, &spec.limits)) {
            // It keeps its old bounds, and its workers go on.
            Err(full @ Fault::DiskFull(..)) if !is_new => {
                log!(target: "mprun", Level::Error, "queue {} keeps its old bounds until the next reload: {full}", spec.name);
            }
            set => self.made(queue, set),
        }
    }

    pub(super) fn add_hidden(&mut self, queue: QueueId, label: Label) {
        let first = first_token(&label, self.run.registry, self.run.options.retries.is_some());
        let admin = &mut self.store.admin;
        let made = admin.set_label(queue, &label.to_string()).and_then(|()| match label {
            // The stage itself fills it: a worker that has read the stage's inputs to their end looks here too, once.
            Label::Spill(_) => admin.set_queue(queue, &SPILL).and_then(|()| admin.set_ended(queue, true)),
            // It is made when the order begins.
            Label::Window { .. } => Ok(()),
            Label::Line(_) => admin.set_queue(queue, &LINE),
            Label::Token { .. } | Label::Held(_) | Label::Print | Label::Queue(_) => {
                admin.set_queue(queue, &TOKEN).and_then(|()| admin.seed(queue, first))
            }
        });
        self.tokens.insert(queue, label);
        self.made(queue, made);
    }

    /// The link says the last word of a line that has ended, with the number behind its last commit: that is none of a later commit.
    pub(super) fn end_line(&mut self, line: QueueId, ended: bool) {
        let nothing = Commit::default().encode();
        self.admin(|admin| {
            if !ended {
                admin.append(line, &nothing)?;
            }
            admin.set_ended(line, ended)
        });
    }

    /// Whether items of this queue have a mark, as they come from a broker.
    pub(super) fn is_marked(&self, queue: QueueId) -> bool {
        let name = self.names.get(&queue);
        name.is_some_and(|name| self.tokens.values().any(|label| *label == Label::Held(name.clone())))
    }

    /// From now on the order of a queue is kept. What a window of an earlier run holds moves on.
    pub(super) fn begin_order(&mut self, order: &KeptOrder) {
        let KeptOrder { input, outputs, window, most } = order;
        let begun = self.store.admin.begin_order((*input, outputs), *window, *most);
        self.made(*window, begun);
    }

    /// A queue is made, or not for want of room: then no worker may start on it, which would sleep where no order wakes.
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
        if matches!(label, Label::Token { .. }) {
            self.keep_unsettled(queue);
        }
        self.admin(|admin| admin.remove_queue(queue));
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
        self.dead.before += self.admin(|admin| admin.counts(queue)).map_or(0, |counts| counts.dead);
        self.admin(|admin| admin.remove_queue(queue));
        self.names.remove(&queue);
        self.tokens.remove(&queue);
    }

    fn held(&mut self, queue: QueueId) -> u64 {
        let counted = self.admin(|admin| admin.counts(queue));
        let pending = self.admin(|admin| admin.pending(queue)).unwrap_or(0);
        counted.map_or(0, |counts| counts.items() + pending)
    }

    pub(super) fn held_by_name(&mut self) -> Vec<(String, u64)> {
        let names = self.names.clone();
        names.into_iter().map(|(queue, name)| (name, self.held(queue))).collect()
    }
}
