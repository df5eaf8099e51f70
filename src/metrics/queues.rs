//! What concerns one queue each: its ledger, and how full it is.

use super::family::Families;
use crate::status::{QueueStatus, Snapshot};
use std::fmt;

pub(super) fn encode(seen: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    out.counter("queue_items_put", "Items put, the dropped ones included", each(seen, |queue| queue.put))?;
    out.counter("queue_items_done", "Items that ended well", each(seen, |queue| queue.done))?;
    out.counter(
        "queue_items_dropped",
        "Items dropped because the queue was full",
        each(seen, |queue| queue.dropped),
    )?;
    out.counter("queue_items_dead", "Items that became dead letters", each(seen, |queue| queue.dead))?;
    out.gauge("queue_waiting_items", "Items that wait", each(seen, |queue| signed(queue.waiting)))?;
    let delayed = "Items that have failed and wait for their next try";
    out.gauge("queue_delayed_items", delayed, each(seen, |queue| signed(queue.delayed)))?;
    out.gauge("queue_leased_items", "Items that workers have", each(seen, |queue| signed(queue.leased)))?;
    out.gauge("queue_capacity_items", "Items that may wait", each(seen, |queue| signed(queue.capacity)))?;
    let bytes = "Bytes of items longer than 8 bytes, rounded up to powers of two";
    out.gauge("queue_used_bytes", bytes, each(seen, |queue| signed(queue.bytes)))?;
    out.gauge(
        "queue_capacity_bytes",
        "Bytes that items may take",
        each(seen, |queue| signed(queue.max_bytes)),
    )
}

fn each<'a, V>(
    seen: &'a Snapshot,
    value: impl Fn(&'a QueueStatus) -> V,
) -> impl Iterator<Item = ([(&'a str, &'a str); 1], V)> {
    seen.queues.iter().map(move |queue| ([("queue", queue.name.as_str())], value(queue)))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
