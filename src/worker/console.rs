//! Standard output of a stage without outputs: whole lines, never mixed with those of other workers ([`append`](crate::append)).

use super::printing::Printing;
use super::spec::WorkerSpec;
use crate::append::{Appender, UndoLog};
use crate::queue::{Arena, QueueId, SlotId, Waiting};
use crate::stage::{Failure, Outlet, Reach, TokenNotes};
use crate::sys::worker_timer;
use nix::errno::Errno;
use std::io::{self, Stdout};

/// Lines are collected up to this size before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Console {
    /// What it takes to write by turns, where that is to be.
    printing: Option<Printing>,
    lines: Vec<u8>,
    /// What follows each item: a line end, or nothing.
    end: &'static [u8],
    /// How many items they are.
    count: u64,
    /// Bytes and items before the item at hand.
    before_item: (usize, u64),
    /// Lines were lost: what writes them may be able to make them again.
    has_failed: bool,
    /// Items written and not yet told.
    written: u64,
    /// Or why there is none.
    output: io::Result<Appender<Stdout>>,
    /// Keeps the time of waits.
    arena: Arena,
    slot: SlotId,
}

impl Console {
    pub(super) fn new(log: UndoLog, arena: Arena, spec: &WorkerSpec) -> Console {
        let slot = SlotId(spec.slot);
        let output = Appender::new(io::stdout(), log.clone());
        let is_file = output.as_ref().is_ok_and(Appender::is_file);
        let printing = spec.print_token.map(QueueId).filter(|_| is_file).map(|token| {
            Printing::new(token, TokenNotes::new(arena.clone(), token), &spec.run, &spec.stage, log)
        });
        let before_item = (0, 0);
        let lines = Vec::new();
        let end = b"\n";
        Console {
            printing,
            lines,
            end,
            count: 0,
            before_item,
            has_failed: false,
            written: 0,
            output,
            arena,
            slot,
        }
    }

    /// Items are printed as they are.
    pub(super) fn leave_out_line_ends(&mut self) {
        self.end = b"";
    }

    /// The token under which lines are written, if they are under any.
    pub(super) fn takes_turns(&self) -> Option<QueueId> {
        self.printing.as_ref().map(|printing| printing.token)
    }

    /// What the token is to say before the first line; `None`: it says so already.
    pub(super) fn begin_file(&mut self, state: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        match (&mut self.printing, &self.output) {
            (Some(printing), Ok(output)) => {
                printing.begin(state, output).map_err(|error| file_failure(&error))
            }
            _ => Ok(None),
        }
    }

    /// The token under which the lines collected so far are to be written; `None`: under none.
    pub(super) fn needs_turn(&self) -> Option<QueueId> {
        self.takes_turns().filter(|_| !self.lines.is_empty())
    }

    /// Whether it is time to commit the items at hand: lines that go out in a turn can't go out before.
    pub(super) fn is_full(&self) -> bool {
        self.printing.is_some() && self.lines.len() >= BUFFER_BYTES
    }

    /// The lines that follow are those of another item.
    #[inline]
    pub(super) fn begin_item(&mut self) {
        self.before_item = (self.lines.len(), self.count);
    }

    /// The item failed: its lines, as far as they aren't out, don't count.
    pub(super) fn discard_item(&mut self) {
        self.lines.truncate(self.before_item.0);
        self.count = self.before_item.1;
    }

    /// Nothing that isn't out counts.
    pub(super) fn discard_all(&mut self) {
        self.lines.clear();
        (self.count, self.before_item) = (0, (0, 0));
    }

    /// Takes an output that is more than a line: it goes out as it is, its last line perhaps without an end.
    pub(super) fn put_as_it_is(&mut self, output: &[u8]) -> Result<(), Failure> {
        self.lines.extend_from_slice(output);
        self.count += 1;
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<(), Failure> {
        if self.printing.is_none() && self.lines.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the lines collected so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() { Ok(()) } else { self.out(|console| console.write()) }
    }

    /// The same in a turn. `state`: what its token says; what it is to say comes back. What can't be written yet
    /// ([`Reach::NotYet`]) stays, for another call or [`Console::give_up_turn`].
    pub(super) fn flush_in_turn(&mut self, state: &[u8]) -> Result<Vec<u8>, Failure> {
        self.out(|console| match (&mut console.printing, &console.output) {
            (Some(printing), Ok(output)) => {
                printing.write(state, output, &console.lines).map_err(|error| file_failure(&error))
            }
            _ => console.write().map(|()| state.to_vec()),
        })
    }

    /// The turn ends though its lines could not be written: what is out of them is taken back.
    pub(super) fn give_up_turn(&mut self, state: &[u8]) {
        self.discard_all();
        self.has_failed = true;
        if let (Some(printing), Ok(output)) = (&mut self.printing, &self.output)
            && let Err(why) = printing.take_back(state, output)
        {
            log::debug!("{why}"); // the next holder of the token does it
        }
    }

    fn out<T>(&mut self, write: impl FnOnce(&mut Console) -> Result<T, Failure>) -> Result<T, Failure> {
        // Its reader may be slow.
        self.arena.begin_wait(self.slot, Waiting::Blocked);
        let result = worker_timer::not_counting(|| write(self));
        self.arena.end_wait(self.slot, Waiting::Blocked);
        if result.as_ref().is_err_and(|failure| failure.reach() == Reach::NotYet) {
            return result;
        }
        let count = self.count;
        self.discard_all();
        self.has_failed |= result.as_ref().is_err_and(|failure| failure.reach() != Reach::OutputClosed);
        self.written += if result.is_ok() { count } else { 0 };
        result
    }

    /// Whether lines could not be written though somebody may want them.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Items written since the last call.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    fn write(&self) -> Result<(), Failure> {
        let output = self.output.as_ref().map_err(failure)?;
        output.append(&self.lines).map_err(|error| failure(&error))
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Failure::with_reach("the reader of standard output is gone", Reach::OutputClosed)
        }
        _ => Failure::fatal(format!("can't write to standard output: {error}")),
    }
}

/// Of a regular file: without room it can't be written yet.
fn file_failure(error: &io::Error) -> Failure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::EIO) => {
            Failure::not_yet(format!("can't write to standard output: {error}"))
        }
        _ => failure(error),
    }
}

impl Outlet for Console {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.lines.extend_from_slice(item);
        self.lines.extend_from_slice(self.end);
        self.count += 1;
        self.flush_if_full()
    }
}
