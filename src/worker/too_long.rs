//! What was too long to become an item: a dead letter of its own kind, which is no item of any queue.

use super::spec::WorkerSpec;
use crate::append::UndoLog;
use crate::dead_letter::{self, Cause, DeadLetter};
use crate::queue::{Order, Waiting, WorkerHandle};
use crate::stage::{Failure, Reach, TooLong};
use std::time::{Duration, Instant, SystemTime};

/// How long a letter waits for room on the disk before it is tried again: doubled from the one to the other.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Writes the letter, and counts it. Where the disk is full it waits; an order to finish ends the wait.
pub(super) fn bury(
    queues: &mut WorkerHandle,
    spec: &WorkerSpec,
    counts: &UndoLog,
    max_item: u64,
    what: &TooLong<'_>,
) -> Result<(), Failure> {
    let TooLong { file, offset, length, head } = *what;
    let letter = DeadLetter {
        item: head,
        stage: &spec.stage,
        worker: spec.worker,
        queue: "", // no queue has seen it
        id: 0,
        attempts: 1,
        cause: Cause::TooLong { file: file.to_owned(), offset, length, max_item },
        stderr: &[],
        time: SystemTime::now(),
        run: &spec.run,
    };
    let store = &spec.dead_letters;
    let unwritten =
        |error: &dyn std::fmt::Display| Failure::fatal(format!("a dead letter can't be written: {error}"));
    let line = letter.line(&store.pipeline).map_err(|error| unwritten(&error))?;
    let mut rest = SHORTEST_REST;
    while let Err(error) = dead_letter::append_line(store, line.clone(), queues.is_saved()) {
        if !error.passes() {
            return Err(unwritten(&error));
        }
        if rest == SHORTEST_REST {
            log::error!("a dead letter can't be written, reading waits for that: {error}");
        }
        wait(queues, rest)?;
        rest = (rest * 2).min(LONGEST_REST);
    }
    counts.count(&spec.stage)?;
    log::error!(
        "{file}, byte {offset}: {length} bytes are too long for an item (max_item: {max_item} bytes): \
         left out, as a dead letter"
    );
    Ok(())
}

fn wait(queues: &mut WorkerHandle, rest: Duration) -> Result<(), Failure> {
    let until = Instant::now() + rest;
    loop {
        if queues.order() == Order::Finish {
            let why = "told to finish while a dead letter waited for room";
            return Err(Failure::with_reach(why, Reach::Ordered));
        }
        if queues.pause(until, Waiting::Blocked).map_err(|fault| Failure::fatal(fault.to_string()))? {
            return Ok(());
        }
    }
}
