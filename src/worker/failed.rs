//! An item that failed: tried again, or a dead letter.

use super::context::{Pace, WorkerContext};
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
pub(super) fn settle(
    worker: &mut WorkerContext,
    i: usize,
    failure: &Failure,
    pace: &Pace,
) -> Result<(), Stop> {
    let text = failure.to_string();
    settle_for(worker, i, Reason { cause: Cause::Error(text.clone()), text, stderr: &[] }, pace)
}

/// The same with all that is known.
pub(super) fn settle_for(
    worker: &mut WorkerContext,
    i: usize,
    reason: Reason<'_>,
    pace: &Pace,
) -> Result<(), Stop> {
    let Reason { text: failure, cause, stderr } = reason;
    let lease = worker.queues.item(i)?;
    let (item, attempt, attempts) = (Shown(lease.bytes), lease.attempt, pace.tuning.attempts);
    if attempt < attempts {
        log::warn!("`{item}` failed (attempt {attempt} of {attempts}): {failure}");
        return Ok(worker.queues.give_back(i, true)?);
    }
    let letter = DeadLetter {
        item: lease.bytes,
        stage: &worker.spec.stage,
        worker: worker.spec.worker,
        queue: worker.name_of(lease.queue),
        id: lease.id,
        attempts: attempt,
        cause,
        stderr,
        time: SystemTime::now(),
        run: &worker.spec.run,
    };
    let line = letter.line(&worker.spec.dead_letters.pipeline);
    let line = line.map_err(|error| unwritten(&error))?;
    let said = format!("`{item}` is a dead letter after {attempt} of {attempts} attempts: {failure}");
    // Written before the lease ends: a worker killed in between writes it twice, but never loses it.
    write(worker, i, &line)?;
    log::error!("{said}");
    Ok(worker.queues.dead_letter(i)?)
}

/// Writes the letter of lease `i`. Where that has to wait for people (a full disk, too many letters, a lock that is not
/// let go), it waits, and the lease stays; an order to finish ends the wait, and the item goes back unblamed.
fn write(worker: &mut WorkerContext, i: usize, line: &[u8]) -> Result<(), Stop> {
    let mut rest = SHORTEST_REST;
    let mut said: Option<Instant> = None;
    loop {
        let store = &worker.spec.dead_letters;
        match dead_letter::append_line(store, line.to_vec(), worker.queues.is_saved()) {
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
                wait(worker, i, rest)?;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

fn wait(worker: &mut WorkerContext, i: usize, rest: Duration) -> Result<(), Stop> {
    let until = Instant::now() + rest;
    loop {
        let pace = worker.look();
        if pace.must_finish {
            worker.queues.give_back(i, false)?;
            return Err(Stop(Ending::Ordered));
        }
        if pace.must_pause {
            worker.come_to_rest();
        }
        if worker.queues.pause(until, Waiting::Blocked)? {
            return Ok(());
        }
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> Stop {
    Stop(Ending::Failed(format!("a dead letter can't be written: {error}")))
}
