//! Standard output that is a regular file: all stages of a run that print share one token, and their workers take turns.
//!
//! A turn ends together with the leases whose lines it has written ([`append::turn`](crate::append)), so each line is in the file
//! once. Where that can't be (another stage or pipeline writes the file too, it can't be read, it is written over) a
//! line is in it at least once.

use crate::append::{self, Appender, Claim, CountedFile, Counts, NO_MARK, Turn, UndoLog, Written};
use crate::queue::QueueId;
use crate::stage::TokenNotes;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// What the file is called in the token.
const NAME: &[u8] = b"standard output";

pub(super) struct Printing {
    /// The queue of the token.
    pub token: QueueId,
    notes: TokenNotes,
    run: String,
    /// [`append::whose`] of the stage.
    whose: u32,
    log: UndoLog,
    path: PathBuf,
    claim: Option<Claim>,
    /// Of a file that no other stage or pipeline writes.
    mark: Option<u64>,
    said_shared: bool,
    /// What is out of the turn at hand, and of its lines: a full disk ends a write in the middle.
    written: Option<Written>,
    out: usize,
}

impl Printing {
    pub(super) fn new(token: QueueId, notes: TokenNotes, run: &str, stage: &str, log: UndoLog) -> Printing {
        let path = std::fs::read_link("/proc/self/fd/1").unwrap_or_default();
        let whose = append::whose(stage);
        let run = run.to_owned();
        let (claim, mark, said_shared, written, out) = (None, None, false, None, 0);
        Printing { token, notes, run, whose, log, path, claim, mark, said_shared, written, out }
    }

    /// What the token is to say before the first line; `None`: it says so already.
    pub(super) fn begin(
        &mut self,
        state: &[u8],
        output: &Appender<impl AsFd>,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut counts = Counts::decode(state).unwrap_or_default();
        append::settle(&self.notes, &counts, Some(output.as_own(&self.path)), &self.log)?;
        if counts.of(NAME).is_some_and(|known| known.file == output.id()) {
            return Ok(None);
        }
        // What was printed into another file is safe before nobody knows of that any more.
        append::sync(&counts)?;
        self.look_for_others(output, NO_MARK)?;
        Ok(Some(self.state(&mut counts, output, output.length()?)))
    }

    /// Writes the lines in this turn. `state`: what the token says; what it is to say comes back. After an error the same
    /// call writes the rest of the lines.
    pub(super) fn write(
        &mut self,
        state: &[u8],
        output: &Appender<impl AsFd>,
        lines: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut counts = Counts::decode(state).unwrap_or_default();
        if self.written.is_none() {
            append::settle(&self.notes, &counts, Some(output.as_own(&self.path)), &self.log)?;
        }
        counts.turn += 1;
        let known =
            counts.of(NAME).filter(|known| known.file == output.id()).map_or(NO_MARK, |known| known.mark);
        let length = if self.written.is_some() || self.is_counted(output, known)? {
            let turn = Turn { number: counts.turn, whose: self.whose };
            let (out, result) =
                output.write_in_turn(turn, &lines[self.out..], &mut self.written, &self.notes);
            self.out += out;
            result?;
            self.out = 0;
            self.written.take().map_or(0, |written| written.end)
        } else {
            output.append(lines)?;
            output.length()?
        };
        Ok(self.state(&mut counts, output, length))
    }

    /// Takes back what is out of a turn that ends without its lines.
    pub(super) fn take_back(&mut self, state: &[u8], output: &Appender<impl AsFd>) -> io::Result<()> {
        (self.written, self.out) = (None, 0);
        let counts = Counts::decode(state).unwrap_or_default();
        append::settle(&self.notes, &counts, Some(output.as_own(&self.path)), &self.log)
    }

    fn state(&self, counts: &mut Counts, output: &Appender<impl AsFd>, length: u64) -> Vec<u8> {
        counts.run = self.run.clone().into_bytes();
        let path = std::os::unix::ffi::OsStrExt::as_bytes(self.path.as_os_str()).to_owned();
        let (file, mark) = (output.id(), self.mark.unwrap_or(NO_MARK));
        counts.set(CountedFile { name: NAME.to_owned(), path, file, length, mark });
        let mut state = Vec::new();
        counts.encode(&mut state);
        state
    }

    fn look_for_others(&mut self, output: &Appender<impl AsFd>, known: u64) -> io::Result<()> {
        if self.claim.is_none() {
            // The same for all stages of the run: they have one token.
            self.claim = output.claim(&[self.run.as_bytes(), NAME].join(&0))?;
        }
        self.mark = output.mark(self.claim.as_ref(), known)?;
        Ok(())
    }

    /// `known`: the mark that the token names.
    fn is_counted(&mut self, output: &Appender<impl AsFd>, known: u64) -> io::Result<bool> {
        self.look_for_others(output, known)?;
        let is_counted = self.mark.is_some() && output.is_at_end()?;
        if !is_counted && !self.said_shared {
            log::info!(
                "standard output is a file that another stage or pipeline writes or has written at the same time, or that \
                 can't be read: after a kill lines may come twice"
            );
        }
        self.said_shared = !is_counted;
        Ok(is_counted)
    }
}
