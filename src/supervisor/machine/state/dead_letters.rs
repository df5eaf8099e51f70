//! Dead letters of dead workers that are not written yet: until then the item stays leased, and its slot is not used again.
//! Nothing else waits for that.

use super::State;
use crate::queue::SlotId;
use crate::supervisor::machine::effect::{Action, Release};
use crate::supervisor::machine::effects::Outbox;
use crate::supervisor::machine::reason::spoken;
use log::Level;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From one try to the next: doubled each time.
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Whoever has not written a letter after this is ended, and another one tries.
const PATIENCE: Duration = Duration::from_secs(30);
/// What takes longer is told by `status`.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// By the slot that holds the item.
#[derive(Debug, Default)]
pub(super) struct Burials(BTreeMap<SlotId, Burial>);

#[derive(Debug)]
struct Burial {
    release: Release,
    since: Instant,
    rest: Duration,
    next: Next,
    /// Why it was not written the last time.
    why: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// It is tried again then.
    Try(Instant),
    /// It is being tried; whoever does is ended then.
    End(Instant),
    /// Whoever tries it was ended, and is not gone yet.
    Gone,
}

impl Burials {
    /// All are written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// One is to be written; that was begun.
    pub fn begin(&mut self, release: Release, now: Instant) {
        let (rest, next) = (SHORTEST_REST, Next::End(now + PATIENCE));
        self.0.insert(release.slot, Burial { release, since: now, rest, next, why: None });
    }

    pub fn deadline(&self) -> Option<Instant> {
        let due = |burial: &Burial| match burial.next {
            Next::Try(at) | Next::End(at) => Some(at),
            Next::Gone => None,
        };
        self.0.values().filter_map(due).min()
    }

    /// For people.
    pub fn told(&self, now: Instant) -> Vec<String> {
        let late =
            self.0.values().filter(|burial| now.saturating_duration_since(burial.since) >= WORTH_TELLING);
        late.map(|burial| {
            let since = spoken(now.saturating_duration_since(burial.since));
            let why = burial.why.as_deref().unwrap_or("the process that writes it has not come back");
            let (stage, index) = (&burial.release.stage, burial.release.worker.index);
            format!("the dead letter of an item of {stage}[{index}] is not written since {since}: {why}")
        })
        .collect()
    }

    fn pass_time(&mut self, out: &mut Outbox) {
        for (slot, burial) in &mut self.0 {
            match burial.next {
                Next::Try(at) if at <= out.now => {
                    burial.next = Next::End(out.now + PATIENCE);
                    out.act(Action::Bury(burial.release.clone()));
                }
                Next::End(at) if at <= out.now => {
                    let patience = spoken(PATIENCE);
                    out.say(
                        Level::Error,
                        format!("a dead letter is not written after {patience}: another process tries"),
                    );
                    burial.next = Next::Gone;
                    out.act(Action::EndBurial(*slot));
                }
                Next::Try(_) | Next::End(_) | Next::Gone => {}
            }
        }
    }
}

impl State {
    /// The letter is written, and the item has ended.
    pub(super) fn buried(&mut self, slot: SlotId) {
        if self.burials.0.remove(&slot).is_some() {
            self.slots.give(slot.0);
        }
    }

    /// The letter is not written: the item stays leased, and it is tried again.
    pub(super) fn not_buried(&mut self, slot: SlotId, why: String, out: &mut Outbox) {
        let Some(burial) = self.burials.0.get_mut(&slot) else { return };
        if burial.why.as_ref() != Some(&why) {
            let stage = &burial.release.stage;
            out.say(
                Level::Error,
                format!("a dead letter of {stage} can't be written, its item stays leased: {why}"),
            );
        }
        burial.why = Some(why);
        burial.next = Next::Try(out.now + burial.rest);
        burial.rest = (burial.rest * 2).min(LONGEST_REST);
    }

    pub(super) fn pass_burial_time(&mut self, out: &mut Outbox) {
        self.burials.pass_time(out);
    }

    /// A run that ends regardless says what it leaves.
    pub(super) fn leave_unburied(&mut self, out: &mut Outbox) {
        if self.burials.is_empty() {
            return;
        }
        self.failed = true;
        let letters = crate::supervisor::closing::summary::count(self.burials.count(), "dead letter");
        let then = if self.keeps {
            "their items stay in the queues"
        } else {
            "their items are lost with the queues"
        };
        out.say(Level::Error, format!("{letters} could not be written: {then}"));
    }
}
