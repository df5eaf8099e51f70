//! Dead letters on behalf of dead workers: begun here, and settled when their helper has ended.

use super::performer::Performer;
use crate::broker::{Commit, End, Sequence, SharedQueue};
use crate::config::DeadLetters;
use crate::dead_letter;
use crate::numbers::counted;
use crate::queue::{DeadLetterCandidate, QueueId, SlotId};
use crate::supervisor::machine::effect::Release;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::reason;
use crate::supervisor::runtime::children::Auxiliary;
use crate::supervisor::runtime::{dead_letter_writer, letters};
use crate::sys::group;
use log::{Level, log};
use nix::sys::signal::Signal;

impl Performer<'_> {
    /// What the worker had only fetched goes back at once; the item that it died of stays leased until the letter is there.
    pub(super) fn write_dead_letter(&mut self, release: &Release) {
        let slot = release.slot;
        if self.admin(|admin| admin.release_others(slot)).is_none() {
            return;
        }
        let candidate = match self.store.admin.dead_letter_candidate(slot, release.attempts) {
            Ok(Some(candidate)) => candidate,
            other => {
                let none = other.map(|_| ());
                if self.unless_damaged(none).is_some() {
                    self.release(release);
                    self.events.push_back(Event::DeadLetterWritten(slot));
                }
                return;
            }
        };
        if let Some(shared) = release.shared.clone()
            && let Some(queue) = shared.number(candidate.queue)
        {
            let letter = letter_for_broker(queue, &candidate, &release.end);
            return self.give_to_broker(release, shared.line, letter);
        }
        match dead_letter_writer::begin(&candidate, release, &self.names, &self.launcher) {
            Ok(writer) => {
                self.children.add_auxiliary(writer.pid, Auxiliary::DeadLetterWriter(slot));
                self.dead_letter_writers.insert(slot, writer);
            }
            Err(error) => self.events.push_back(Event::DeadLetterFailed(slot, error.to_string())),
        }
    }

    /// The letter of an item that lies in a broker goes there with the stage's commits, in the step that ends it.
    fn give_to_broker(&mut self, release: &Release, line: QueueId, letter: Option<Vec<u8>>) {
        let slot = release.slot;
        // Without a mark it is no item of the broker's: then there is nothing to tell there.
        let released = match letter {
            Some(letter) => self.admin(|admin| admin.release_dead_into(slot, line, &letter)),
            None => self.admin(|admin| admin.release_dead(slot)),
        };
        let Some(released) = released else { return };
        *self.dead.by_stage.entry(release.stage.clone()).or_default() += released.dead;
        let (stage, index) = (&release.stage, release.worker.index);
        log!(target: "mprun", Level::Warn, "an item is a dead letter: {stage}[{index}] {}", release.end);
        self.events.push_back(Event::DeadLetterWritten(slot));
    }

    /// Workers that start from now on obey it. A file that there was not is found now.
    pub(super) fn limit_dead_letters(&mut self, bounds: DeadLetters) {
        let store = &mut self.launcher.dead_letters;
        if store.keeps != bounds.keep {
            *store = letters::store(self.run.options, &self.launcher.pipeline, bounds);
            self.identity.dead_letter_file = store.path.display().to_string();
        }
        store.max_size = bounds.max_size;
        store.when_full = bounds.when_full;
    }

    /// Its end comes as any child's.
    pub(super) fn kill_dead_letter_writer(&mut self, slot: SlotId) {
        if let Some(writer) = self.dead_letter_writers.get(&slot) {
            let _ = group::signal_process(writer.pid, Signal::SIGKILL);
        }
    }

    pub(super) fn dead_letter_writer_ended(&mut self, slot: SlotId) {
        let Some(writer) = self.dead_letter_writers.remove(&slot) else { return };
        let dropped = match writer.outcome() {
            Ok(appended) => appended.dropped,
            Err(why) => return self.events.push_back(Event::DeadLetterFailed(slot, why)),
        };
        let release = &writer.release;
        let Some(released) = self.admin(|admin| admin.release_dead(slot)) else { return };
        *self.dead.by_stage.entry(release.stage.clone()).or_default() += released.dead;
        let ((id, queue, attempts), stage, index) = (&writer.item, &release.stage, release.worker.index);
        log!(
            target: "mprun",
            Level::Warn,
            "item {id} of {queue} is a dead letter after {}: {stage}[{index}] {}",
            counted(u64::from(*attempts), "attempt"),
            release.end
        );
        if dropped > 0 {
            let most = self.launcher.dead_letters.max_size;
            log!(target: "mprun", Level::Warn, "{}", dead_letter::dropped_text(dropped, most));
        }
        self.events.push_back(Event::DeadLetterWritten(slot));
    }
}

/// The commit that makes an item a dead letter of its queue in the broker; `None`: it has no mark.
fn letter_for_broker(
    queue: SharedQueue,
    candidate: &DeadLetterCandidate<'_>,
    end: &reason::End,
) -> Option<Vec<u8>> {
    let (sequence, _) = Sequence::split_mark(candidate.item)?;
    let dead = Some((end.to_string(), candidate.attempts));
    Some(Commit { ends: vec![End { queue, sequence, dead }], ..Commit::default() }.encode())
}
