//! What was too long to become an item: a dead letter of its own kind, which is no item of any queue.

use super::desk::Desk;
use super::ticket::Ticket;
use crate::append::UndoLog;
use crate::dead_letter::{self, Cause, DeadLetter};
use crate::queue::{Order, Port, Waiting};
use crate::stage::{Failure, Outlet, Reach, TooLong};
use std::time::{Duration, Instant, SystemTime};

/// How long a letter waits for room on the disk before it is tried again: doubled from the one to the other.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Bytes of the longest item that is printed: an item is wholly in memory.
const LONGEST_PRINTED: u64 = 64 << 20;

/// Writes the letter, and counts it. Where the disk is full it waits; an order to finish ends the wait.
pub(super) fn bury(
    port: &mut Port,
    ticket: &Ticket,
    counts: &UndoLog,
    max_item: u64,
    what: &TooLong<'_>,
) -> Result<(), Failure> {
    let TooLong { file, offset, length, head } = *what;
    let letter = DeadLetter {
        item: head,
        stage: &ticket.stage,
        worker: ticket.worker,
        queue: "", // no queue has seen it
        id: 0,
        attempts: 1,
        cause: Cause::TooLong { file: file.to_owned(), offset, length, max_item },
        stderr: &[],
        time: SystemTime::now(),
        run: &ticket.run,
    };
    let store = &ticket.dead_letters;
    let unwritten =
        |error: &dyn std::fmt::Display| Failure::fatal(format!("a dead letter can't be written: {error}"));
    let line = letter.line(&store.pipeline).map_err(|error| unwritten(&error))?;
    let mut rest = SHORTEST_REST;
    while let Err(error) = dead_letter::append_line(store, line.clone(), port.is_saved()) {
        if !error.passes() {
            return Err(unwritten(&error));
        }
        if rest == SHORTEST_REST {
            log::error!("a dead letter can't be written, reading waits for that: {error}");
        }
        wait(port, rest)?;
        rest = (rest * 2).min(LONGEST_REST);
    }
    counts.count(&ticket.stage)?;
    log::error!(
        "{file}, byte {offset}: {length} bytes are too long for an item (max_item: {max_item} bytes): \
         left out, as a dead letter"
    );
    Ok(())
}

fn wait(port: &mut Port, rest: Duration) -> Result<(), Failure> {
    let until = Instant::now() + rest;
    loop {
        if port.order() == Order::Finish {
            let why = "told to finish while a dead letter waited for room";
            return Err(Failure::with_reach(why, Reach::Ordered));
        }
        if port.pause(until, Waiting::Blocked).map_err(|fault| Failure::fatal(fault.to_string()))? {
            return Ok(());
        }
    }
}

/// Standard output, for a stage without outputs.
pub(super) struct ToConsole<'a>(pub &'a mut Desk);

impl Outlet for ToConsole<'_> {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.0.console.put(item)
    }

    fn longest(&self) -> u64 {
        LONGEST_PRINTED
    }

    fn too_long(&mut self, what: &TooLong<'_>) -> Result<(), Failure> {
        let most = self.longest();
        let Desk { port, ticket, counts, .. } = &mut *self.0;
        bury(port, ticket, counts, most, what)
    }
}
