//! A lease whose item has failed: it is tried again, or is to become a dead letter. And whether its stage is failing.

use super::handle::WorkerHandle;
use crate::model::Tuning;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::last_words;
use crate::queue::arena::layout::{entry, queue};
use crate::queue::transaction::delayed::Delay;
use crate::queue::transaction::outage::Verdict;
use crate::queue::transaction::{failing, holdings};

/// What becomes of an item that has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failed {
    /// Its lease has ended: it is tried again.
    Again {
        /// After this, unless at once.
        delay: Option<Delay>,
        /// Whether it was charged an attempt.
        charged: bool,
        /// The stage is failing.
        failing: bool,
    },
    /// It is leased still: its letter is to be written now, and then [`WorkerHandle::dead_letter`] ends it.
    Dead,
}

impl WorkerHandle {
    /// Lease `i` has failed. `is_charged`: an attempt of it is used up, if the failure turns out to be its own. `why`: for
    /// those who look at a stage that is failing.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn fail(&mut self, i: usize, is_charged: bool, tuning: &Tuning, why: &str) -> Result<Failed, Fault> {
        self.isolate(i)?;
        last_words::store(self.session.memory(), self.slot, why);
        let WorkerHandle { session, slot, leases, place, .. } = self;
        let (index, mut tx) = (leases[i].entry, session.begin()?);
        let at = slot.entry(index);
        let (meta, put_off) = (tx.memory.meta(at), tx.memory.load(at + entry::PUT_OFF) as u32);
        let failed = match place {
            Some(place) => place.failed(&mut tx, at, is_charged, tuning),
            None => failing::failed_alone(meta, is_charged, tuning),
        };
        if failed.verdict == Verdict::Dead {
            return Ok(Failed::Dead);
        }
        let id = tx.memory.load(at + entry::SEQUENCE);
        let delay = failed.delay(tuning.retry, put_off, id);
        let change = |meta: Meta| meta.failed(failed.failures.into());
        let queue = holdings::give_back(&mut tx, *slot, index, (delay, Some(failed.record)), change)?;
        holdings::clear(&mut tx, *slot, index);
        tx.commit()?;
        leases.remove(i);
        tx.notify(queue + queue::NOT_EMPTY);
        drop(tx);
        if failed.verdict == Verdict::BeginsToFail {
            self.tell();
        }
        let charged = failed.failures > meta.failures();
        Ok(Failed::Again { delay, charged, failing: failed.is_failing })
    }
}
