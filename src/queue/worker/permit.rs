//! Whether a worker may take items: of a stage that is failing, one worker takes one at a time.

use super::leases::Held;
use crate::queue::QueueId;
use crate::queue::arena::layout::{QueueAt, SlotAt};
use crate::queue::transaction::delayed::clock;
use crate::queue::transaction::failing::Place;
use crate::queue::transaction::holdings::EndedQueues;
use crate::queue::transaction::{outage::Gate, tx::Tx};
use std::time::{Duration, Instant};

pub(super) struct Permit<'a> {
    gate: Gate,
    place: Option<&'a Place>,
}

impl<'a> Permit<'a> {
    /// `place`: that of a stage in which something has failed.
    pub(super) fn of(
        tx: &mut Tx<'_>,
        place: Option<&'a Place>,
        slot: SlotAt,
        (leases, hidden): (&[Held], &[QueueId]),
        ended: &mut EndedQueues,
    ) -> Permit<'a> {
        let Some(place) = place else { return Permit { gate: Gate::Open, place } };
        let queue = |held: &Held| QueueAt::of(tx.memory.meta(slot.entry(held.entry)).queue());
        let is_item = |held: &Held| queue(held).is_ok_and(|queue| place.is_input(queue));
        let is_hidden = |held: &Held| queue(held).is_ok_and(|queue| hidden.contains(&queue.id()));
        let is_idle = !leases.iter().any(is_item);
        let has_token = leases.first().is_some_and(is_hidden);
        Permit { gate: place.gate(tx, is_idle, has_token, ended), place: Some(place) }
    }

    /// Whether items of this queue may be taken, as many as are wanted.
    pub(super) fn is_open(&self, queue: QueueAt) -> bool {
        self.gate == Gate::Open || self.place.is_none_or(|place| !place.is_input(queue))
    }

    /// Whether one may be taken by way of trial: a fresh one, or one that has failed.
    pub(super) fn probes(&self) -> Option<bool> {
        if let Gate::Probe { fresh } = self.gate { Some(fresh) } else { None }
    }

    /// Whether an item that comes into this queue is news for the worker.
    pub(super) fn listens(&self, queue: QueueAt) -> bool {
        !matches!(self.gate, Gate::Shut { .. }) || self.is_open(queue)
    }

    /// When to ask again, though nothing tells of it.
    pub(super) fn opens_at(&self) -> Option<Instant> {
        let Gate::Shut { until: Some(until) } = self.gate else { return None };
        Some(Instant::now() + Duration::from_millis(until.saturating_sub(clock::now())))
    }
}
