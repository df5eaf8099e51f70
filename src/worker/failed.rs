//! An item that failed: tried again, or a dead letter.

use super::desk::{Desk, Pace};
use super::stop::Stop;
use crate::dead_letter::{self, Appended, Cause, DeadLetter};
use crate::item::Shown;
use crate::queue::{Ending, Waiting};
use crate::stage::Failure;
use std::time::{Duration, Instant, SystemTime};

/// How long a letter that can't be written rests before the next try: doubled from the one to the other.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// That it still waits is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

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
    let line = letter.line(&desk.ticket.dead_letters.pipeline);
    let line = line.map_err(|error| unwritten(&error))?;
    let said = format!("`{item}` is a dead letter after {attempt} of {attempts} attempts: {failure}");
    // Written before the lease ends: a worker killed in between writes it twice, but never loses it.
    write(desk, i, &line)?;
    log::error!("{said}");
    Ok(desk.port.bury(i)?)
}

/// Writes the letter of lease `i`. Where that has to wait for people (a full disk, too many letters, a lock that is not
/// let go), it waits, and the lease stays; an order to finish ends the wait, and the item goes back unblamed.
fn write(desk: &mut Desk, i: usize, line: &[u8]) -> Result<(), Stop> {
    let mut rest = SHORTEST_REST;
    let mut said: Option<Instant> = None;
    loop {
        let store = &desk.ticket.dead_letters;
        match dead_letter::append_line(store, line.to_vec(), desk.port.is_saved()) {
            Ok(Appended { dropped: 0 }) => return Ok(()),
            Ok(Appended { dropped }) => {
                let most = store.max_size;
                log::warn!(
                    "the {dropped} oldest dead letters are dropped: [dead_letters] max_size is {most}"
                );
                return Ok(());
            }
            Err(error) if !error.passes() => return Err(unwritten(&error)),
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
                    log::error!("a dead letter can't be written, its item waits: {error}");
                    said = Some(Instant::now());
                }
                wait(desk, i, rest)?;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

fn wait(desk: &mut Desk, i: usize, rest: Duration) -> Result<(), Stop> {
    let until = Instant::now() + rest;
    loop {
        let pace = desk.look();
        if pace.must_finish {
            desk.port.give_back(i, false)?;
            return Err(Stop(Ending::Ordered));
        }
        if pace.must_pause {
            desk.come_to_rest();
        }
        if desk.port.pause(until, Waiting::Blocked)? {
            return Ok(());
        }
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> Stop {
    Stop(Ending::Failed(format!("a dead letter can't be written: {error}")))
}
