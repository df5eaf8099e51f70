//! An item that failed: tried again, or a dead letter.

use super::desk::{Desk, Pace};
use super::stop::Stop;
use crate::dead_letter::{self, Cause, DeadLetter};
use crate::item::Shown;
use crate::queue::Ending;
use crate::stage::Failure;
use std::time::SystemTime;

/// Why an item failed, and what its program said last.
pub(super) struct Reason<'a> {
    pub text: String,
    pub cause: Cause,
    pub stderr: &'a [String],
}

/// Ends lease `i`, whose item failed: back to the front of its queue, blamed; or, after the last attempt, as a dead
/// letter.
pub(super) fn settle(desk: &mut Desk, i: usize, failure: &Failure, pace: &Pace) -> Result<(), Stop> {
    let text = failure.to_string();
    settle_for(desk, i, Reason { cause: Cause::Error(text.clone()), text, stderr: &[] }, pace)
}

/// The same with all that is known.
pub(super) fn settle_for(desk: &mut Desk, i: usize, reason: Reason<'_>, pace: &Pace) -> Result<(), Stop> {
    let Reason { text: failure, cause, stderr } = reason;
    let lease = desk.port.item(i)?;
    let (item, attempt, attempts) = (Shown(lease.bytes), lease.attempt, pace.tuning.attempts);
    if attempt < attempts {
        log::warn!("`{item}` failed (attempt {attempt} of {attempts}): {failure}");
        return Ok(desk.port.give_back(i, true)?);
    }
    let letter = DeadLetter {
        item: lease.bytes,
        stage: &desk.ticket.stage,
        worker: desk.ticket.worker,
        queue: desk.name_of(lease.queue),
        id: lease.id,
        attempts: attempt,
        cause,
        stderr,
        time: SystemTime::now(),
        run: &desk.ticket.run,
    };
    // Written before the lease ends: a worker killed in between writes it twice, but never loses it.
    match dead_letter::append(&desk.ticket.dead_letters, &letter, desk.port.is_saved()) {
        Ok(()) => {
            log::error!("`{item}` is a dead letter after {attempt} of {attempts} attempts: {failure}");
            Ok(desk.port.bury(i)?)
        }
        Err(error) => {
            log::error!("`{item}` failed (attempt {attempt} of {attempts}): {failure}");
            Err(Stop(Ending::Failed(format!("a dead letter can't be written: {error}"))))
        }
    }
}
