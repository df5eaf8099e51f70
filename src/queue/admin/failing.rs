//! What the supervisor sees of a stage that is failing.

use super::queues::QueueAdmin;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::last_words;
use crate::queue::arena::layout::{SlotAt, StageAt, slot, stage};
use crate::queue::{SlotId, StageId};
use std::time::{Duration, SystemTime};

/// A stage is failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Since this moment.
    pub since: SystemTime,
    /// Why its last item failed; empty: not known any more, as another worker has taken its slot over.
    pub last_words: String,
}

impl QueueAdmin {
    /// Whether a stage is failing: two loads, where it is not.
    ///
    /// # Errors
    /// When there is no such stage.
    pub fn failing(&self, id: StageId) -> Result<Option<Failing>, Fault> {
        let (memory, stage) = (self.session.memory(), StageAt::of(id)?);
        let since = memory.load(stage + stage::SINCE);
        if since == 0 {
            return Ok(None);
        }
        let last =
            memory.load(stage + stage::LAST_SLOT).checked_sub(1).and_then(|last| u16::try_from(last).ok());
        let last = last.and_then(|last| SlotAt::of(SlotId(last)).ok());
        // The worker that was there may be gone, and its slot another stage's.
        let is_its = |slot: &SlotAt| StageAt::named_by(memory.load(*slot + slot::STAGE)) == Some(stage);
        let last_words = last.filter(is_its).map(|slot| last_words::load(memory, slot));
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(since);
        Ok(Some(Failing { since, last_words: last_words.unwrap_or_default() }))
    }

    /// Says why the item failed that a worker died of, before its release.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn set_last_words(&mut self, id: SlotId, why: &str) -> Result<(), Fault> {
        last_words::store(self.session.memory(), SlotAt::of(id)?, why);
        Ok(())
    }
}
