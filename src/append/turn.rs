//! Writing to a file in a turn: what is written counts once the turn's token is committed, and is cut off if it never is.
//!
//! # Crash table
//!
//! | killed … | left behind | what the next holder of the token does |
//! |---|---|---|
//! | before the note | the file as it counts | – |
//! | after the note, before the write | the same, and a note | finds nothing behind the start |
//! | in the write | a note, and a beginning of the piece | cuts it off |
//! | between two pieces of a turn, or noting the second | the first one's note, and whole pieces | cuts them off |
//! | after the write, before the token is committed | a note, and all of the turn | cuts it off: the items come again |
//! | after that | a note of a turn that the token knows | nothing |
//! | cutting off | the same note, the file shorter or not | cuts it off |
//! | after that, before the note is gone | a note, and nothing behind the start | – |
//! | anywhere, with bytes of another program behind the start | a note, and both | leaves both, and says so: the items come twice |
//! | all processes | any of these, in an arena that is kept | the same: the note is kept with the token |

use super::appender::{Appender, Kind};
use super::note::{NOTE_WORDS, Note, PIECE_BYTES, Settlement, Turn};
use super::write::{self, pieces};
use crate::sys::fd;
use crc32fast::Hasher;
use nix::unistd::{Whence, ftruncate, lseek};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Where notes are kept: with the token. There are two places, so that one note stays while the next is written.
pub(crate) trait Notes {
    fn load(&self, second: bool) -> io::Result<Option<[u64; NOTE_WORDS]>>;
    fn store(&self, second: bool, words: &[u64; NOTE_WORDS]) -> io::Result<()>;
    fn clear(&self) -> io::Result<()>;

    /// The note of the last piece that was to be written, if its turn comes after `turn`, the last that was committed.
    fn open(&self, turn: u64) -> io::Result<Option<Note>> {
        let notes = [self.load(false)?, self.load(true)?];
        let open =
            notes.into_iter().flatten().map(|words| Note::of_words(&words)).filter(|note| note.turn > turn);
        Ok(open.max_by_key(|note| (note.turn, note.piece)))
    }
}

/// What a turn has written so far.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where it began.
    start: u64,
    /// Where it has come to.
    pub end: u64,
    sum: Hasher,
    /// Where the next note goes.
    second: bool,
    /// Other bytes stand among its own.
    is_mixed: bool,
    /// Half a line of its own is in the file, and something behind it.
    ends_in_a_line: bool,
}

impl<F: AsFd> Appender<F> {
    /// Writes `lines` as a part of a turn; how many of their bytes are out comes first. What a full disk has taken of the
    /// piece that failed is cut off.
    pub(crate) fn write_in_turn(
        &self,
        turn: Turn,
        lines: &[u8],
        written: &mut Option<Written>,
        notes: &dyn Notes,
    ) -> (usize, io::Result<()>) {
        let mut out = 0;
        for piece in pieces(lines, PIECE_BYTES) {
            if let Err(error) = self.write_piece(turn, piece, written, notes) {
                return (out, Err(error));
            }
            out += piece.len();
        }
        (out, Ok(()))
    }

    fn write_piece(
        &self,
        turn: Turn,
        piece: &[u8],
        written: &mut Option<Written>,
        notes: &dyn Notes,
    ) -> io::Result<()> {
        let here = self.place()?;
        let written = written.get_or_insert_with(|| Written {
            start: here,
            end: here,
            sum: Hasher::new(),
            second: false,
            is_mixed: false,
            ends_in_a_line: false,
        });
        written.is_mixed |= written.end != here;
        if std::mem::take(&mut written.ends_in_a_line) && !self.ends_a_line()? {
            write::all(self.target(), b"\n")?;
        }
        let here = self.place()?;
        let mut note = Note::new(turn, self.id(), written.start, here, piece, written.sum.clone().finalize());
        note.is_mixed = written.is_mixed;
        notes.store(written.second, &note.words())?;
        written.second = !written.second;
        let (bytes, result) = put(self.target(), piece);
        written.end = self.position()?;
        written.is_mixed |= written.end != here + bytes as u64;
        match result {
            Ok(()) => written.sum.update(piece),
            Err(_) if bytes > 0 => self.undo(here, bytes, written)?,
            Err(_) => {}
        }
        result.map_err(io::Error::from)
    }

    /// A full disk has taken a part of a piece.
    fn undo(&self, piece: u64, bytes: usize, written: &mut Written) -> io::Result<()> {
        if written.is_mixed || self.length()? != piece + bytes as u64 {
            (written.is_mixed, written.ends_in_a_line) = (true, true);
            return Ok(());
        }
        self.cut_to(piece)?;
        written.end = piece;
        Ok(())
    }

    /// Settles a turn that was not committed; what was behind its start, and what became of that. `reader`: the same file.
    pub(crate) fn settle(&self, note: &Note, reader: &File) -> io::Result<(u64, Settlement)> {
        let length = self.length()?;
        let mut settlement = note.settlement(length, |from, to| {
            let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
            reader.read_exact_at(&mut bytes, from).map(|()| bytes)
        })?;
        // Our own log may go to the same file, and waits for that. The system can't cut a file only if no other process has just
        // written to it: this moment, after a kill, is the one in which a line of another program may be lost.
        fd::exclusively(self.target(), || {
            if settlement == Settlement::Cut && self.length()? != length {
                settlement = Settlement::Keep;
            }
            match settlement {
                Settlement::Cut => self.cut_to(note.start),
                Settlement::Keep if !self.ends_a_line()? => Ok(write::all(self.target(), b"\n")?),
                Settlement::Keep | Settlement::Nothing => Ok(()),
            }
        })?;
        Ok((length.saturating_sub(note.start), settlement))
    }

    /// The position first: killed between the two steps, the next one finds the bytes and does it again.
    pub(super) fn cut_to(&self, length: u64) -> io::Result<()> {
        if self.kind == Kind::FileAtPosition {
            lseek(self.target(), super::undo_log::offset(length), Whence::SeekSet)?;
        }
        Ok(ftruncate(self.target(), super::undo_log::offset(length))?)
    }

    /// Where the next write goes to.
    fn place(&self) -> io::Result<u64> {
        if self.kind == Kind::File { self.length() } else { self.position() }
    }
}

#[cfg(not(test))]
fn put(target: impl AsFd, piece: &[u8]) -> (usize, nix::Result<()>) {
    write::all_unless(target, piece, &|| false)
}

/// In a test each page is a place to die.
#[cfg(test)]
fn put(target: impl AsFd, piece: &[u8]) -> (usize, nix::Result<()>) {
    let mut out = 0;
    while out < piece.len() {
        death::step();
        let file = File::from(target.as_fd().try_clone_to_owned().unwrap());
        let at = file.metadata().unwrap().len();
        let page = (super::note::PAGE - at % super::note::PAGE) as usize;
        let part = &piece[out..piece.len().min(out + page)];
        write::all(&target, part).unwrap();
        out += part.len();
    }
    death::step();
    (out, Ok(()))
}

/// Where a test lets the writer die.
#[cfg(test)]
pub(crate) mod death {
    use std::cell::RefCell;

    type Step = Box<dyn Fn()>;

    thread_local! {
        static STEP: RefCell<Option<Step>> = const { RefCell::new(None) };
    }

    /// Is called at each of them.
    pub(crate) fn at_each_step(step: impl Fn() + 'static) {
        STEP.set(Some(Box::new(step)));
    }

    pub(super) fn step() {
        STEP.with_borrow(|step| step.iter().for_each(|step| step()));
    }
}

#[cfg(test)]
mod tests;
