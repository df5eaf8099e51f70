//! Dead letters of dead workers that are not written yet: until then the item stays leased, and its slot is not used again.
//! Nothing else waits for that.

use super::State;
use crate::queue::SlotId;
use crate::supervisor::machine::effect::{Effect, Release};
use crate::supervisor::machine::effects::Effects;
use crate::supervisor::machine::reason::spoken;
use log::Level;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From one try to the next: doubled each time.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);
/// Whoever has not written a letter after this is ended, and another one tries.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// What takes longer is told by `status`.
const REPORTED_AFTER: Duration = Duration::from_secs(2);

/// By the slot that holds the item.
#[derive(Debug, Default)]
pub(super) struct PendingDeadLetters(BTreeMap<SlotId, PendingDeadLetter>);

#[derive(Debug)]
struct PendingDeadLetter {
    release: Release,
    since: Instant,
    rest: Duration,
    next: Attempt,
    /// Why it was not written the last time.
    why: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// It is tried again then.
    Try(Instant),
    /// It is being tried; whoever does is ended then.
    End(Instant),
    /// Whoever tries it was ended, and is not gone yet.
    Gone,
}

impl PendingDeadLetters {
    /// All are written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// One is to be written; that was begun.
    pub fn begin(&mut self, release: Release, now: Instant) {
        let (rest, next) = (FIRST_RETRY_DELAY, Attempt::End(now + WRITE_LIMIT));
        self.0.insert(release.slot, PendingDeadLetter { release, since: now, rest, next, why: None });
    }

    pub fn deadline(&self) -> Option<Instant> {
        let due = |pending: &PendingDeadLetter| match pending.next {
            Attempt::Try(at) | Attempt::End(at) => Some(at),
            Attempt::Gone => None,
        };
        self.0.values().filter_map(due).min()
    }

    /// For people.
    pub fn overdue(&self, now: Instant) -> Vec<String> {
        let late =
            self.0.values().filter(|pending| now.saturating_duration_since(pending.since) >= REPORTED_AFTER);
        late.map(|pending| {
            let since = spoken(now.saturating_duration_since(pending.since));
            let why = pending.why.as_deref().unwrap_or("the process that writes it has not come back");
            let (stage, index) = (&pending.release.stage, pending.release.worker.index);
            format!("the dead letter of an item of {stage}[{index}] is not written since {since}: {why}")
        })
        .collect()
    }

    fn pass_time(&mut self, out: &mut Effects) {
        for (slot, pending) in &mut self.0 {
            match pending.next {
                Attempt::Try(at) if at <= out.now => {
                    pending.next = Attempt::End(out.now + WRITE_LIMIT);
                    out.act(Effect::WriteDeadLetter(pending.release.clone()));
                }
                Attempt::End(at) if at <= out.now => {
                    let limit = spoken(WRITE_LIMIT);
                    out.say(
                        Level::Error,
                        format!("a dead letter is not written after {limit}: another process tries"),
                    );
                    pending.next = Attempt::Gone;
                    out.act(Effect::KillDeadLetterWriter(*slot));
                }
                Attempt::Try(_) | Attempt::End(_) | Attempt::Gone => {}
            }
        }
    }
}

impl State {
    /// The letter is written, and the item has ended.
    pub(super) fn dead_letter_written(&mut self, slot: SlotId) {
        if self.dead_letters.0.remove(&slot).is_some() {
            self.slots.give(slot.0);
        }
    }

    /// The letter is not written: the item stays leased, and it is tried again.
    pub(super) fn dead_letter_failed(&mut self, slot: SlotId, why: String, out: &mut Effects) {
        let Some(pending) = self.dead_letters.0.get_mut(&slot) else { return };
        if pending.why.as_ref() != Some(&why) {
            let stage = &pending.release.stage;
            out.say(
                Level::Error,
                format!("a dead letter of {stage} can't be written, its item stays leased: {why}"),
            );
        }
        pending.why = Some(why);
        pending.next = Attempt::Try(out.now + pending.rest);
        pending.rest = (pending.rest * 2).min(MAX_RETRY_DELAY);
    }

    pub(super) fn pass_dead_letter_time(&mut self, out: &mut Effects) {
        self.dead_letters.pass_time(out);
    }

    /// A run that ends regardless says what it leaves.
    pub(super) fn report_unwritten(&mut self, out: &mut Effects) {
        if self.dead_letters.is_empty() {
            return;
        }
        self.failed = true;
        let letters = crate::supervisor::closing::summary::count(self.dead_letters.count(), "dead letter");
        let then = if self.keeps {
            "their items stay in the queues"
        } else {
            "their items are lost with the queues"
        };
        out.say(Level::Error, format!("{letters} could not be written: {then}"));
    }
}
