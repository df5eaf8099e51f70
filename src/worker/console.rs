//! Standard output of a stage without outputs: whole lines, never mixed with those of other workers ([`append`](crate::append)).

use crate::append::{Appender, UndoLog};
use crate::queue::{Arena, SlotId, Waiting};
use crate::stage::{Failure, Outlet, Reach};
use crate::sys::worker_timer;
use std::io::{self, Stdout};

/// Lines are collected up to this size before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Console {
    lines: Vec<u8>,
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
    pub(super) fn new(log: UndoLog, arena: Arena, slot: SlotId) -> Console {
        let output = Appender::new(io::stdout(), log);
        let before_item = (0, 0);
        let lines = Vec::new();
        Console { lines, count: 0, before_item, has_failed: false, written: 0, output, arena, slot }
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
        if self.lines.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the lines collected so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        // Its reader may be slow.
        self.arena.begin_wait(self.slot, Waiting::Blocked);
        let result = worker_timer::not_counting(|| self.write());
        self.arena.end_wait(self.slot, Waiting::Blocked);
        let count = self.count;
        self.discard_all();
        self.has_failed |= result.as_ref().is_err_and(|failure| failure.reach() != Reach::OutputClosed);
        result.map(|()| self.written += count)
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
        let failure = |error: &io::Error| match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Failure::with_reach("nobody reads standard output any more", Reach::OutputClosed)
            }
            _ => Failure::fatal(format!("can't write to standard output: {error}")),
        };
        let output = self.output.as_ref().map_err(failure)?;
        output.append(&self.lines).map_err(|error| failure(&error))
    }
}

impl Outlet for Console {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.lines.extend_from_slice(item);
        self.lines.push(b'\n');
        self.count += 1;
        if self.lines.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }
}
