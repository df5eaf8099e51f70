//! A lease whose item has failed: it is tried again, or is to become a dead letter. And whether its stage is failing.
//!
//! The outputs of a failed item may count all the same: then its lease is *marked as dead*, and the transaction that publishes
//! them ends it as a dead letter.

use super::handle::WorkerHandle;
use super::leases::DeadLease;
use crate::model::Tuning;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::last_words;
use crate::queue::arena::layout::{entry, queue};
use crate::queue::transaction::delayed::{self, Delay, SHORTEST_DELAY};
use crate::queue::transaction::outage::{Charge, Verdict};
use crate::queue::transaction::{failing, holdings};
use std::time::Duration;

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
    /// It is leased still: its letter is to be written now, and then [`WorkerHandle::dead_letter`] ends it, or a commit after
    /// [`WorkerHandle::mark_dead`].
    Dead,
}

impl WorkerHandle {
    /// Lease `i` has failed. `is_charged`: an attempt of it is used up, if the failure turns out to be its own. `why`: for
    /// those who look at a stage that is failing.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn fail(&mut self, i: usize, is_charged: bool, tuning: &Tuning, why: &str) -> Result<Failed, Fault> {
        let charge = if is_charged { Charge::Attempt } else { Charge::Nothing };
        self.fail_for(i, charge, tuning, why, |failed, put_off, id| failed.delay(tuning.retry, put_off, id))
    }

    /// Lease `i` can't be done now, for a reason outside: no attempt of it is used up, and where that happens to different items
    /// one after the other, its stage is failing. It waits longer each time, and at least for `least`, as far as `retry.max` lets
    /// it.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn not_now(
        &mut self,
        i: usize,
        least: Duration,
        tuning: &Tuning,
        why: &str,
    ) -> Result<Failed, Fault> {
        let (retry, least) = (tuning.retry, least.min(tuning.retry.max));
        self.fail_for(i, Charge::NotNow, tuning, why, |failed, put_off, id| {
            let put_off = put_off.saturating_add(1);
            let usual = Delay::new(retry, failed.failures, put_off, id);
            let time = usual.map_or(SHORTEST_DELAY, |delay| delay.time).max(SHORTEST_DELAY).max(least);
            Some(Delay { time, most: delayed::longest(retry), put_off })
        })
    }

    /// Lease `i` becomes the first one, and the next [`WorkerHandle::commit`] of it ends it as a dead letter. In a queue
    /// of a broker `cause` is part of the letter; for any other the letter must be written already.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn mark_dead(&mut self, i: usize, cause: &str) -> Result<(), Fault> {
        self.isolate(i)?;
        self.leases[..=i].rotate_right(1);
        self.dead_lease = Some(DeadLease { entry: self.leases[0].entry, cause: cause.to_owned() });
        Ok(())
    }

    /// Whether a lease is about to end as a dead letter.
    pub fn has_dead_lease(&self) -> bool {
        self.dead_lease.is_some()
    }

    fn fail_for(
        &mut self,
        i: usize,
        charge: Charge,
        tuning: &Tuning,
        why: &str,
        delay: impl FnOnce(&failing::Failed, u32, u64) -> Option<Delay>,
    ) -> Result<Failed, Fault> {
        self.isolate(i)?;
        last_words::store(self.session.memory(), self.slot, why);
        let WorkerHandle { session, slot, leases, place, .. } = self;
        let (index, mut tx) = (leases[i].entry, session.begin()?);
        let at = slot.entry(index);
        let (meta, put_off) = (tx.memory.meta(at), tx.memory.load(at + entry::PUT_OFF) as u32);
        let failed = match place {
            Some(place) => place.failed(&mut tx, at, charge, tuning),
            None => failing::failed_alone(meta, charge, tuning),
        };
        if failed.verdict == Verdict::Dead {
            return Ok(Failed::Dead);
        }
        let delay = delay(&failed, put_off, tx.memory.load(at + entry::SEQUENCE));
        let change = |meta: Meta| meta.failed(failed.failures.into());
        let queue = holdings::give_back(&mut tx, *slot, index, (delay, Some(failed.record)), change)?;
        holdings::clear(&mut tx, *slot, index);
        tx.commit()?;
        leases.remove(i);
        tx.notify(queue + queue::NOT_EMPTY);
        if let Some(place) = place.as_ref().filter(|_| failed.has_recovered) {
            tx.notify_all(place.event());
        }
        drop(tx);
        if failed.verdict == Verdict::BeginsToFail || failed.has_recovered {
            self.tell();
        }
        let charged = failed.failures > meta.failures();
        Ok(Failed::Again { delay, charged, failing: failed.is_failing })
    }
}
