//! One file, pipe or device that lines are appended to.

use super::entry::{EntryOwner, FileId, PendingWrite};
use super::run_mark::{self, Start};
use super::undo_log::{LockedEntry, UndoLog, offset};
use super::write::{self, PIPE_BUF, pieces};
use crate::sys::fd;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, ftruncate, lseek};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Appender<F> {
    target: F,
    id: FileId,
    pub(super) kind: Kind,
    log: UndoLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A write goes to its end (`>> file`).
    File,
    /// A write goes to the descriptor's position (`> file`).
    FileAtPosition,
    Pipe,
    /// A terminal, `/dev/null`: it keeps one write together, and nothing can be taken back.
    Device,
}

/// How a run begins with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It is emptied.
    Empty,
    /// It is emptied by the first machine of this run, of whatever number.
    EmptyOnce(u64),
    /// What is in it stays. If its last line has no end it gets one, so that the next one is a line of its own.
    NewLine,
}

/// What a beginning has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Its length before, in bytes.
    Emptied(u64),
    AddedTo(u64),
    /// Another machine of the run has, or it can't be seen that none has: what is in it stays.
    Elsewhere,
    Unknown,
    /// Another worker of the run has done it before.
    Before,
    /// A pipe or a device: it has no beginning.
    Endless,
}

impl<F: AsFd> Appender<F> {
    /// `log` must be the same for all workers of the run that append to this file.
    pub(crate) fn new(target: F, log: UndoLog) -> io::Result<Appender<F>> {
        let about = fstat(&target)?;
        let flags = OFlag::from_bits_truncate(fcntl(&target, FcntlArg::F_GETFL)?);
        let kind = match SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG if flags.contains(OFlag::O_APPEND) => Kind::File,
            SFlag::S_IFREG => Kind::FileAtPosition,
            SFlag::S_IFIFO | SFlag::S_IFSOCK => Kind::Pipe,
            _ => Kind::Device,
        };
        let id = FileId { device: about.st_dev, inode: about.st_ino };
        Ok(Appender { target, id, kind, log })
    }

    /// Begins with the file that has this name, unless the run has done so for this file or for this name: what is in it may
    /// be the run's own by now. (A name may lead to another file than at the run's start.)
    pub(crate) fn begin_run(&self, how: Beginning, name: &[u8]) -> io::Result<Begun> {
        if !self.is_file() {
            return Ok(Begun::Endless);
        }
        let name = FileId::of_name(name);
        let named = self.log.lock(name)?;
        let found = if named.owner()?.is_some_and(|owner| owner.has_begun) {
            Begun::Before
        } else {
            self.begin(how)?
        };
        named.set_owner(EntryOwner { file: name, has_begun: true })?;
        Ok(found)
    }

    fn begin(&self, how: Beginning) -> io::Result<Begun> {
        let entry = self.log.lock(self.id)?;
        if entry.owner()?.is_some_and(|owner| owner.has_begun) {
            return Ok(Begun::Before);
        }
        let length = self.length()?;
        let found = match how {
            Beginning::Empty => {
                ftruncate(&self.target, 0)?;
                Begun::Emptied(length)
            }
            Beginning::EmptyOnce(run) => match run_mark::empty_once(&self.target, run)? {
                Start::Emptied => Begun::Emptied(length),
                Start::BegunElsewhere => self.on_a_new_line(Begun::Elsewhere)?,
                Start::Unknown => self.on_a_new_line(Begun::Unknown)?,
            },
            Beginning::NewLine => self.on_a_new_line(Begun::AddedTo(length))?,
        };
        entry.set_owner(EntryOwner { file: self.id, has_begun: true })?;
        Ok(found)
    }

    fn on_a_new_line(&self, found: Begun) -> io::Result<Begun> {
        match self.ends_a_line() {
            Ok(true) => {}
            Ok(false) => write::all(&self.target, b"\n")?,
            // A file that is for writing only doesn't tell.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    /// Whether it is a file: all of a write is in it, or nothing.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::FileAtPosition)
    }

    /// Takes back what a killed worker has written in part: for a worker that is about to close the file.
    pub(crate) fn undo_pending(&self) -> io::Result<()> {
        if !self.is_file() {
            return Ok(());
        }
        let entry = self.log.lock(self.id)?;
        self.take_back(&entry)
    }

    /// Whether the next write goes to its end.
    pub(crate) fn is_at_end(&self) -> io::Result<bool> {
        Ok(self.kind == Kind::File || self.position()? == self.length()?)
    }

    /// Whether it is what has this name now.
    pub(crate) fn is_named(&self, path: &Path) -> io::Result<bool> {
        fd::is_named(&self.target, path)
    }

    /// Whether it is a file that no folder names any more: what is written there is lost.
    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.is_file() && fstat(&self.target)?.st_nlink == 0)
    }

    /// The file, whatever its name is.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// The file or pipe itself.
    pub(crate) fn target(&self) -> &F {
        &self.target
    }

    /// Appends `lines`, which end with a line end. After an error a file is as it was before.
    pub(crate) fn append(&self, lines: &[u8]) -> io::Result<()> {
        self.append_unless(lines, &|| false).1
    }

    /// The same. `is_over` is asked before each wait for a pipe or a device to take more, and ends it
    /// (`ErrorKind::Interrupted`). First: how many bytes are out.
    pub(crate) fn append_unless(&self, lines: &[u8], is_over: &dyn Fn() -> bool) -> (usize, io::Result<()>) {
        if self.is_file() {
            let result = self.append_to_file(lines);
            return (if result.is_ok() { lines.len() } else { 0 }, result);
        }
        let whole = if self.kind == Kind::Pipe { PIPE_BUF } else { usize::MAX };
        // A device keeps one write together by itself.
        let entry = (self.kind == Kind::Pipe).then(|| self.log.lock(self.id)).transpose();
        let _entry = match entry {
            Ok(entry) => entry,
            Err(error) => return (0, Err(error)),
        };
        let mut out = 0;
        for piece in pieces(lines, whole) {
            let (written, result) = write::all_unless(&self.target, piece, is_over);
            out += written;
            if let Err(error) = result {
                return (out, Err(error.into()));
            }
        }
        (out, Ok(()))
    }

    fn append_to_file(&self, lines: &[u8]) -> io::Result<()> {
        let entry = self.log.lock(self.id)?;
        self.take_back(&entry)?;
        let end = self.length()?;
        let start = if self.kind == Kind::File { end } else { self.position()? };
        let pending = PendingWrite { start, length: lines.len() as u64, at_end: start >= end };
        entry.begin(&pending, lines)?;
        match write::all(&self.target, lines) {
            Ok(()) => entry.end(&pending),
            // A full disk may have taken a part.
            Err(error) => self.take_back(&entry).and(Err(error.into())),
        }
    }

    /// Takes back the write that was not finished, if there is one.
    fn take_back(&self, entry: &LockedEntry<'_>) -> io::Result<()> {
        let Some(pending) = entry.pending()? else { return Ok(()) };
        let end = if pending.at_end { self.length()? } else { self.position()? };
        if pending.start < end && end < pending.start.saturating_add(pending.length) {
            let is_part = self.reader().and_then(|file| entry.is_part(&pending, &file, end));
            let is_cut = is_part.unwrap_or(false) && self.cut(&pending).is_ok();
            if !is_cut && !self.ends_a_line().unwrap_or(false) {
                // Another program has written there meanwhile, or it can't be read or cut: no other line is spoilt.
                write::all(&self.target, b"\n")?;
            }
        }
        entry.end(&pending)
    }

    /// The position first: killed between the two steps, the next one finds the bytes and does it again.
    fn cut(&self, pending: &PendingWrite) -> nix::Result<()> {
        if self.kind == Kind::FileAtPosition {
            lseek(&self.target, offset(pending.start), Whence::SeekSet)?;
        }
        if pending.at_end { ftruncate(&self.target, offset(pending.start)) } else { Ok(()) }
    }

    /// True also of an empty file.
    pub(super) fn ends_a_line(&self) -> io::Result<bool> {
        let end = self.length()?;
        let mut last = [b'\n'];
        if end > 0 {
            self.reader()?.read_exact_at(&mut last, end - 1)?;
        }
        Ok(last == *b"\n")
    }

    /// The descriptor itself is mostly for writing only.
    pub(crate) fn reader(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.target.as_fd().as_raw_fd()))
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(fstat(&self.target)?.st_size).unwrap_or(0))
    }

    pub(super) fn position(&self) -> io::Result<u64> {
        Ok(u64::try_from(lseek(&self.target, 0, Whence::SeekCur)?).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{OpenOptions, Permissions};
    use std::io::{Seek, Write};
    use std::os::unix::fs::PermissionsExt;

    /// An unnamed file, opened to append or to write at the position, as two workers of one run have it.
    fn two(is_append: bool, before: &[u8]) -> (Appender<File>, Appender<File>) {
        let path = std::env::temp_dir().join(format!("mprun-append-{:x}", fastrand::u64(..)));
        let mut file = OpenOptions::new().create_new(true).write(true).append(is_append).open(&path).unwrap();
        std::fs::remove_file(&path).ok();
        file.write_all(before).unwrap();
        let log = UndoLog::create().unwrap();
        let appender = |file: &File| Appender::new(file.try_clone().unwrap(), log.clone()).unwrap();
        (appender(&file), appender(&file))
    }

    /// Is killed in the middle of appending `lines`, after `written` bytes.
    fn die_appending(worker: &Appender<File>, lines: &[u8], written: usize) {
        let entry = worker.log.lock(worker.id).unwrap();
        let end = worker.length().unwrap();
        let start = if worker.kind == Kind::File { end } else { worker.position().unwrap() };
        entry
            .begin(&PendingWrite { start, length: lines.len() as u64, at_end: start >= end }, lines)
            .unwrap();
        (&worker.target).write_all(&lines[..written]).unwrap();
    }

    fn content(worker: &Appender<File>) -> String {
        std::io::read_to_string(worker.reader().unwrap()).unwrap()
    }

    #[test]
    fn what_a_killed_worker_has_written_of_a_batch_is_taken_back() {
        for is_append in [true, false] {
            for written in 0..6 {
                let (dead, alive) = two(is_append, b"before: ");
                die_appending(&dead, b"ab\ncd\n", written);
                alive.append(b"ef\n").unwrap();
                assert_eq!(content(&alive), "before: ef\n", "{is_append} {written}");
            }
        }
    }

    #[test]
    fn what_was_written_as_a_whole_stays() {
        let (dead, alive) = two(true, b"");
        die_appending(&dead, b"ab\ncd\n", 6);
        alive.append(b"ef\n").unwrap();
        assert_eq!(content(&alive), "ab\ncd\nef\n");
    }

    #[test]
    fn what_others_have_written_meanwhile_stays() {
        for (written, others, after) in
            [(2, "theirs\n", "abtheirs\nef\n"), (0, "their", "their\nef\n"), (0, "theirs\n", "theirs\nef\n")]
        {
            let (dead, alive) = two(true, b"");
            die_appending(&dead, b"ab ab ab ab\ncd cd cd cd\n", written);
            (&dead.target).write_all(others.as_bytes()).unwrap();
            alive.append(b"ef\n").unwrap();
            assert_eq!(content(&alive), after);
        }
    }

    #[test]
    fn a_file_that_is_written_over_is_not_cut() {
        let (dead, alive) = two(false, b"0123456789\n");
        (&dead.target).seek(io::SeekFrom::Start(2)).unwrap();
        die_appending(&dead, b"abcd\n", 3);
        alive.append(b"xy\n").unwrap();
        assert_eq!(content(&alive), "01xy\n56789\n");
    }

    #[test]
    fn a_run_begins_with_a_file_once() {
        for (how, after) in [(Beginning::Empty, "new\n"), (Beginning::NewLine, "old\nnew\n")] {
            let (first, second) = two(true, b"old");
            first.begin_run(how, b"name").unwrap();
            first.append(b"new\n").unwrap();
            second.begin_run(how, b"other name").unwrap();
            assert_eq!(content(&first), after);
        }
        let (ended, _) = two(true, b"old\n");
        ended.begin_run(Beginning::NewLine, b"name").unwrap();
        assert_eq!(content(&ended), "old\n");
    }

    #[test]
    fn a_run_begins_once_with_a_name_also_if_another_file_has_it_then() {
        let (first, _) = two(true, b"old\n");
        let (other, _) = two(true, b"the run's own\n");
        let other = Appender { log: first.log.clone(), ..other };
        assert_eq!(first.begin_run(Beginning::Empty, b"name").unwrap(), Begun::Emptied(4));
        assert_eq!(other.begin_run(Beginning::Empty, b"name").unwrap(), Begun::Before);
        assert_eq!(content(&other), "the run's own\n");
        assert!(first.log.has_begun(b"name").unwrap() && !first.log.has_begun(b"nome").unwrap());
    }

    #[test]
    fn a_worker_that_closes_a_file_takes_back_what_a_killed_one_has_left_in_it() {
        let (dead, alive) = two(true, b"before\n");
        die_appending(&dead, b"ab\ncd\n", 4);
        alive.undo_pending().unwrap();
        assert_eq!(content(&alive), "before\n");
    }

    #[test]
    fn a_file_for_writing_only_is_no_hindrance() {
        let (dead, alive) = two(true, b"old\n");
        let allow = |mode| alive.target.set_permissions(Permissions::from_mode(mode)).unwrap();
        allow(0o200);
        alive.begin_run(Beginning::NewLine, b"name").unwrap();
        die_appending(&dead, b"ab\ncd\n", 4);
        alive.append(b"ef\n").unwrap();
        allow(0o600);
        // Who may read everything (root) can take it back; for others a half line stays, but spoils no other.
        let seen = content(&alive);
        assert!(["old\nef\n", "old\nab\nc\nef\n"].contains(&seen.as_str()), "{seen:?}");
    }

    #[test]
    fn a_long_write_leaves_no_memory_behind() {
        let (worker, _) = two(true, b"");
        worker.append(&[b'x'; 5 << 20]).unwrap();
        let kept = fstat(worker.log.fd()).unwrap().st_blocks * 512;
        assert!(kept < 1 << 20, "{kept} bytes are kept");
    }
}
