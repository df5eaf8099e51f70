//! Dead letters of dead workers that are not written yet: until then the item stays leased, and its slot is not used again.
//! Nothing else waits for that.

use super::effect::{Effect, Effects, Release};
use super::reason::spoken;
use crate::queue::SlotId;
use log::Level;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From one try to the next: doubled each time.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);
/// A helper that has not written its letter after this is killed, and another one tries.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// What takes longer is shown by `status`.
const REPORTED_AFTER: Duration = Duration::from_secs(2);

/// By the slot that holds the item.
#[derive(Debug, Default)]
pub(super) struct PendingDeadLetters(BTreeMap<SlotId, PendingDeadLetter>);

#[derive(Debug)]
struct PendingDeadLetter {
    release: Release,
    since: Instant,
    delay: Duration,
    next: Attempt,
    /// Why it was not written the last time.
    why: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// It is tried again then.
    Try(Instant),
    /// It is being tried; the helper is killed then.
    End(Instant),
    /// The helper was killed, and is not reaped yet.
    Gone,
}

impl PendingDeadLetters {
    /// All are written.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// One is to be written; that was begun.
    pub(super) fn begin(&mut self, release: Release, now: Instant) {
        let (delay, next) = (FIRST_RETRY_DELAY, Attempt::End(now + WRITE_LIMIT));
        self.0.insert(release.slot, PendingDeadLetter { release, since: now, delay, next, why: None });
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |pending: &PendingDeadLetter| match pending.next {
            Attempt::Try(at) | Attempt::End(at) => Some(at),
            Attempt::Gone => None,
        };
        self.0.values().filter_map(due).min()
    }

    pub(super) fn overdue(&self, now: Instant) -> Vec<String> {
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

    pub(super) fn pass_time(&mut self, out: &mut Effects) {
        for (slot, pending) in &mut self.0 {
            match pending.next {
                Attempt::Try(at) if at <= out.now => {
                    pending.next = Attempt::End(out.now + WRITE_LIMIT);
                    out.push(Effect::WriteDeadLetter(pending.release.clone()));
                }
                Attempt::End(at) if at <= out.now => {
                    let limit = spoken(WRITE_LIMIT);
                    out.log(
                        Level::Error,
                        format!("a dead letter is not written after {limit}: another process tries"),
                    );
                    pending.next = Attempt::Gone;
                    out.push(Effect::KillDeadLetterWriter(*slot));
                }
                Attempt::Try(_) | Attempt::End(_) | Attempt::Gone => {}
            }
        }
    }

    /// The letter is written, and the item has ended. Whether it was waited for.
    pub(super) fn written(&mut self, slot: SlotId) -> bool {
        self.0.remove(&slot).is_some()
    }

    /// The letter is not written: the item stays leased, and it is tried again.
    pub(super) fn failed(&mut self, slot: SlotId, why: String, out: &mut Effects) {
        let Some(pending) = self.0.get_mut(&slot) else { return };
        if pending.why.as_ref() != Some(&why) {
            let stage = &pending.release.stage;
            let text = format!("a dead letter of {stage} can't be written, its item stays leased: {why}");
            out.log(Level::Error, text);
        }
        pending.why = Some(why);
        pending.next = Attempt::Try(out.now + pending.delay);
        pending.delay = (pending.delay * 2).min(MAX_RETRY_DELAY);
    }
}
