//! One file that is followed, whatever it is called by now.
//!
//! It is known by what was read of it ([`Fingerprint`]). After each read, and before a line of it is emitted, the file is
//! looked at once more: only if what stood before the read still stands there, what was read belongs to it. So lines
//! are never put together from what two programs wrote, and a file that was written anew within a moment is noticed.

use super::fingerprint::{Fingerprint, Known, SPAN, born, bytes_at, hash};
use super::once::Shown;
use super::saved::Saved;
use crate::framing::{Framing, Skip};
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next};
use crate::sys::lease;
use std::cell::{Cell, RefCell};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that has lost its name is not followed for longer, though a program has it open.
const MAX_UNLINKED_TIME: Duration = Duration::from_secs(24 * 3600);
/// Between two checks of one that a program has open.
const WRITER_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// By what a file is found again. It is the same for certain only as long as the file is open: inodes are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    pub(super) fn of(about: &Metadata) -> Identity {
        Identity { device: about.dev(), inode: about.ino() }
    }
}

/// Opens without waiting, should it be a pipe.
pub(super) fn open(place: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(place)
}

/// Whether its lines may be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing of it was emitted, and it was not compared with the others: it may be a copy.
    New,
    /// So far it reads like another one: as a copy does, or will when it is complete.
    Held {
        /// Since it grew, or since all of the other is in it.
        since: Instant,
        /// Its length then.
        length: u64,
        is_complete: bool,
    },
    Known,
}

/// A file that has lost its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// When it was seen to have lost it.
    since: Instant,
    /// When something was read of it last.
    quiet: Instant,
    /// When to look at it next.
    pub due: Instant,
    /// Its last line may go without its end.
    is_over: bool,
}

/// What emitting came to.
pub(super) enum Emitted {
    /// There may be more.
    Item(Next),
    /// What was read is emitted.
    All,
    /// It is done with: it lost its name, and all of it was emitted.
    Done,
}

/// What a read came to.
pub(super) enum Filled {
    More,
    /// For now there is no more.
    Nothing,
    /// What was read before is not in it any more. It is at its start now.
    Cut(Lost),
    /// The system gives its size as 0 although there is something in it.
    NoSize,
}

/// What was known of a file that is cut or gone.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub path: PathBuf,
    /// `None`: a position from before there were hashes.
    pub print: Option<Fingerprint>,
    pub position: u64,
    /// Its first bytes, if they are known.
    pub head: Option<Vec<u8>>,
    /// Its length when it was last seen, if it was.
    pub length: Option<u64>,
    /// What was skipped at the position.
    pub skip: Option<Skip>,
    pub how: HowLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HowLost {
    /// It is there, and was written anew.
    Cut,
    /// It is not there.
    Gone,
}

/// One file, open at a position.
pub(super) struct Tracked {
    /// The name by which it is followed.
    pub path: PathBuf,
    /// Where it is, without links.
    pub place: PathBuf,
    pub identity: Identity,
    pub standing: Standing,
    pub leaving: Option<Leaving>,
    /// The look that found it.
    pub scan: u64,
    born: u64,
    file: File,
    framing: Framing,
    reader: Lines,
    /// The first bytes that were read.
    head: Vec<u8>,
    /// The bytes before the reader's end, from a span before its position on.
    window: Vec<u8>,
    /// Its length at the last look.
    length: u64,
    /// As it is saved; empty: it has changed since.
    encoded: RefCell<Vec<u8>>,
    /// The hash of a head that is complete.
    head_hash: Cell<Option<u64>>,
}

impl Tracked {
    /// From the start.
    pub(super) fn new(path: PathBuf, place: PathBuf, file: File, framing: Framing) -> io::Result<Tracked> {
        let about = file.metadata()?;
        Ok(Tracked {
            path,
            place,
            identity: Identity::of(&about),
            standing: Standing::New,
            leaving: None,
            scan: 0,
            born: born(&about),
            file,
            framing,
            reader: Lines::new(framing),
            head: Vec::new(),
            window: Vec::new(),
            length: about.len(),
            encoded: RefCell::default(),
            head_hash: Cell::new(None),
        })
    }

    pub(super) fn position(&self) -> u64 {
        self.reader.position()
    }

    /// What is skipped at the position.
    pub(super) fn skipping(&self) -> Option<&Skip> {
        self.reader.skipping()
    }

    pub(super) fn inode(&self) -> (u64, u64) {
        (self.identity.inode, self.born)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether no name leads to it any more.
    pub(super) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.nlink() == 0)
    }

    /// Continues at a position of which this is known.
    pub(super) fn go_on_at(&mut self, position: u64, skip: Option<Skip>, known: Known) {
        self.reader = Lines::at(self.framing, position, skip);
        (self.head, self.window) = (known.head, known.tail);
        self.head_hash.set(None);
        self.encoded.get_mut().clear();
        self.standing = Standing::Known;
        self.length = self.length.max(position);
    }

    /// Its name leads to this file now, which holds all that was read of it, and more.
    pub(super) fn move_to(&mut self, place: PathBuf, file: File) -> io::Result<()> {
        let about = file.metadata()?;
        (self.identity, self.born, self.place, self.file) = (Identity::of(&about), born(&about), place, file);
        self.length = about.len();
        self.leaving = None;
        self.encoded.get_mut().clear();
        Ok(())
    }

    pub(super) fn rename(&mut self, path: PathBuf, place: PathBuf) {
        if self.path != path || self.place != place {
            (self.path, self.place) = (path, place);
            self.encoded.get_mut().clear();
        }
    }

    /// It has lost its name.
    pub(super) fn leave(&mut self, now: Instant, place: Option<PathBuf>) {
        self.leaving = Some(Leaving { since: now, quiet: now, due: now, is_over: false });
        if let Some(place) = place {
            self.rename(self.path.clone(), place);
        }
    }

    /// Emits the next line, if one was read.
    pub(super) fn emit(&mut self, out: &mut Emitter<'_>) -> Result<Emitted, Failure> {
        let is_over = self.leaving.is_some_and(|leaving| leaving.is_over);
        match self.reader.step(&Shown(&self.path), is_over, out)? {
            Some(next) => {
                self.encoded.get_mut().clear();
                Ok(Emitted::Item(next))
            }
            None if is_over => Ok(Emitted::Done),
            None => Ok(Emitted::All),
        }
    }

    /// Reads on. At its end, one that has lost its name may be over.
    pub(super) fn read(&mut self, rotate_wait: Duration) -> Result<Filled, Failure> {
        match self.fill()? {
            Filled::Nothing => {
                self.shrink();
                if !self.may_end(rotate_wait) {
                    return Ok(Filled::Nothing);
                }
                // What its last writer wrote before it closed the file, and after the read before that look.
                let filled = self.fill()?;
                if let (Filled::Nothing, Some(leaving)) = (&filled, &mut self.leaving) {
                    leaving.is_over = true;
                    return Ok(Filled::More);
                }
                Ok(filled)
            }
            filled => Ok(filled),
        }
    }

    /// Reads on, and looks whether it is the same file still.
    fn fill(&mut self) -> Result<Filled, Failure> {
        let (position, end) = (self.reader.position(), self.reader.end());
        let file = &self.file;
        let read = self.reader.fill(|into| file.read_at(into, end)).map_err(|error| self.failure(&error))?;
        let length = self.file.metadata().map_err(|error| self.failure(&error))?.len();
        if !self.is_as_known(end).map_err(|error| self.failure(&error))? {
            return self.find_back(position, end).map_err(|error| self.failure(&error));
        }
        if read > 0 && length == 0 && self.has_no_size().map_err(|error| self.failure(&error))? {
            return Ok(Filled::NoSize);
        }
        if length < self.length && self.length > end {
            let (from, to) = (length.max(end), self.length);
            log::warn!("`{}` was cut: its bytes {from} to {to} were not read", self.path.display());
        }
        self.length = length;
        let new = self.reader.rest();
        let new = &new[new.len() - read..];
        let missing = (SPAN - self.head.len().min(SPAN)).min(new.len());
        if missing > 0 {
            self.head.extend_from_slice(&new[..missing]);
            self.head_hash.set(None);
        }
        // A span before the position is all that is ever looked at.
        let keep = (SPAN as u64 + end - position).min(self.window.len() as u64) as usize;
        self.window.drain(..self.window.len() - keep);
        self.window.extend_from_slice(new);
        if read > 0
            && let Some(leaving) = &mut self.leaving
        {
            leaving.quiet = Instant::now();
        }
        Ok(if read > 0 { Filled::More } else { Filled::Nothing })
    }

    /// Whether all that was read is still there.
    pub(super) fn is_untouched(&self) -> io::Result<bool> {
        self.is_as_known(self.reader.end())
    }

    fn is_as_known(&self, end: u64) -> io::Result<bool> {
        let tail = &self.window[self.window.len() - self.window.len().min(SPAN)..];
        Ok(bytes_at(&self.file, 0, self.head.len())? == self.head
            && bytes_at(&self.file, end - tail.len() as u64, tail.len())? == tail)
    }

    /// It is not: at best only of what was not emitted.
    fn find_back(&mut self, position: u64, end: u64) -> io::Result<Filled> {
        let print = self.print_at(position, end);
        if position > 0
            && let Some(known) = print.known_in(&self.file)?
        {
            let path = self.path.display();
            log::warn!("`{path}` was cut: its bytes {position} to {} were not read", self.length.max(end));
            let skip = self.reader.skipping().cloned();
            self.go_on_at(position, skip, known);
            self.length = position;
            return Ok(Filled::More);
        }
        let head = self.head[..self.head.len().min(usize::try_from(position).unwrap_or(SPAN))].to_vec();
        let lost = Lost {
            path: self.path.clone(),
            print: Some(print),
            position,
            head: Some(head),
            length: Some(self.length.max(end)),
            skip: self.reader.skipping().cloned(),
            how: HowLost::Cut,
        };
        self.start_anew()?;
        Ok(Filled::Cut(lost))
    }

    /// From the start: it is another file by now.
    pub(super) fn start_anew(&mut self) -> io::Result<()> {
        self.reader = Lines::new(self.framing);
        (self.head, self.window) = (Vec::new(), Vec::new());
        self.head_hash.set(None);
        self.encoded.get_mut().clear();
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    /// Files of /proc have a size of 0 and other content at each look.
    fn has_no_size(&self) -> io::Result<bool> {
        Ok(!bytes_at(&self.file, 0, 1)?.is_empty() && self.file.metadata()?.len() == 0)
    }

    /// What was read is all emitted: little memory for a file that may be quiet for long.
    fn shrink(&mut self) {
        let keep = SPAN + self.reader.rest().len();
        if self.window.len() > 4 * keep {
            self.window.drain(..self.window.len() - keep);
            self.window.shrink_to_fit();
        }
    }

    /// One that has lost its name ends when nothing comes any more.
    fn may_end(&mut self, rotate_wait: Duration) -> bool {
        let Some(leaving) = &mut self.leaving else { return false };
        let now = Instant::now();
        let is_unlinked = self.file.metadata().is_ok_and(|about| about.nlink() == 0);
        let quiet_until = leaving.quiet + rotate_wait;
        if now < quiet_until && !is_unlinked {
            leaving.due = quiet_until;
            return false;
        }
        let is_late = now.duration_since(leaving.since) > MAX_UNLINKED_TIME;
        let ends = match lease::has_writer(self.file.as_fd()) {
            Some(true) => is_late,
            Some(false) => true,
            None => now >= quiet_until || is_late,
        };
        leaving.due =
            if now < quiet_until { quiet_until } else { now + rotate_wait.max(WRITER_CHECK_INTERVAL) };
        ends
    }

    pub(super) fn print(&self) -> Fingerprint {
        self.print_at(self.reader.position(), self.reader.end())
    }

    fn print_at(&self, position: u64, end: u64) -> Fingerprint {
        let span = usize::try_from(position).unwrap_or(SPAN).min(SPAN);
        let head = match self.head_hash.get() {
            Some(hash) if span == SPAN => hash,
            _ => hash(&self.head[..span.min(self.head.len())]),
        };
        if span == SPAN {
            self.head_hash.set(Some(head));
        }
        let to = self.window.len().saturating_sub((end - position) as usize);
        Fingerprint { position, head, tail: hash(&self.window[to.saturating_sub(span)..to]) }
    }

    /// The first bytes that were read, up to the position.
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head.len().min(usize::try_from(self.position()).unwrap_or(SPAN))]
    }

    /// The first bytes that are in it, as far as a span goes.
    pub(super) fn first(&self) -> io::Result<Vec<u8>> {
        bytes_at(&self.file, 0, SPAN)
    }

    pub(super) fn is_read_to_its_end(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.len() == self.position())
    }

    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        Failure::fatal(format!("can't read `{}`: {error}", self.path.display()))
    }

    pub(super) fn saved(&self) -> Saved {
        let (inode, born) = self.inode();
        let (path, place, print) = (self.path.clone(), self.place.clone(), Some(self.print()));
        let skip = self.reader.skipping().cloned();
        let position = self.position();
        Saved { path, place, position, inode, born, print, has_ended: false, is_lost: false, skip }
    }

    /// Only what has changed since is put together again.
    pub(super) fn save(&self, state: &mut Vec<u8>) {
        let mut encoded = self.encoded.borrow_mut();
        if encoded.is_empty() {
            self.saved().save(&mut encoded);
        }
        state.extend_from_slice(&encoded);
    }
}
