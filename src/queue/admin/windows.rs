//! Windows of stages that keep an order: what moves on, and what goes with one.

use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{QueueAt, queue};
use crate::queue::transaction::{session::Session, window};

/// There may be room in this queue: what windows hold for it moves on.
pub(super) fn fill(session: &mut Session, queue: QueueAt) -> Result<(), Fault> {
    let mut more = session.memory().load(queue + queue::HELD_UP) != 0;
    while more {
        let mut tx = session.begin()?;
        more = window::fill(&mut tx, queue)?;
        tx.commit()?;
    }
    Ok(())
}

/// What a window holds is thrown away, and its use ends. Returns how many outputs that were.
pub(super) fn remove(session: &mut Session, window: QueueAt) -> Result<u64, Fault> {
    let mut discarded = 0;
    loop {
        let mut tx = session.begin()?;
        window::let_go(&mut tx, window)?;
        let dropped = window::drop_first(&mut tx, window)?;
        discarded += dropped.unwrap_or(0);
        if dropped.is_none() {
            if let Some(input) = QueueAt::linked(tx.get(window + queue::WINDOW_OF))
                && window::of(&tx, input) == Some(window)
            {
                tx.set(input + queue::WINDOW, 0);
            }
            tx.set(window + queue::FLAGS, 0);
            queue::COUNTERS.iter().for_each(|&counter| tx.set(window + counter, 0));
        }
        tx.commit()?;
        if dropped.is_none() {
            // The lock is held still.
            window.places_areas().into_iter().for_each(|area| tx.memory.discard(area));
            return Ok(discarded);
        }
    }
}
