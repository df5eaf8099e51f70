//! One file, pipe or device that lines are appended to.

use super::note::{FileId, Note, Owner};
use super::pieces::{PIPE_BUF, pieces};
use super::undo_log::{Place, UndoLog, offset};
use super::write;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, ftruncate, lseek};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

/// Where lines go.
#[derive(Debug)]
pub struct Appender<F> {
    target: F,
    id: FileId,
    kind: Kind,
    log: UndoLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
pub enum Beginning {
    /// It is emptied.
    Empty,
    /// What is in it stays. If its last line has no end it gets one, so that the next one is a line of its own.
    NewLine,
}

impl<F: AsFd> Appender<F> {
    /// `log` must be the one of everybody in the run who appends to the same file.
    pub fn new(target: F, log: UndoLog) -> io::Result<Appender<F>> {
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

    /// Begins with a file, unless somebody in the run has done it: what is in it may be the run's own by now. A pipe or
    /// a device has no beginning.
    pub fn begin_run(&self, how: Beginning) -> io::Result<()> {
        if matches!(self.kind, Kind::Pipe | Kind::Device) {
            return Ok(());
        }
        let place = self.log.lock(self.id)?;
        if place.owner()?.is_some_and(|owner| owner.has_begun) {
            return Ok(());
        }
        match how {
            Beginning::Empty => ftruncate(&self.target, 0)?,
            Beginning::NewLine => match self.ends_a_line() {
                Ok(true) => {}
                Ok(false) => write::all(&self.target, b"\n")?,
                // A file that is for writing only doesn't tell.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            },
        }
        place.set_owner(Owner { file: self.id, has_begun: true })
    }

    /// Appends `lines`, which end with a line end. After an error a file is as it was before.
    pub fn append(&self, lines: &[u8]) -> io::Result<()> {
        match self.kind {
            Kind::File | Kind::FileAtPosition => self.append_to_file(lines),
            Kind::Pipe => {
                let _place = self.log.lock(self.id)?;
                Ok(pieces(lines, PIPE_BUF).try_for_each(|piece| write::all(&self.target, piece))?)
            }
            Kind::Device => Ok(write::all(&self.target, lines)?),
        }
    }

    fn append_to_file(&self, lines: &[u8]) -> io::Result<()> {
        let place = self.log.lock(self.id)?;
        self.take_back(&place)?;
        let end = self.length()?;
        let start = if self.kind == Kind::File { end } else { self.position()? };
        let note = Note { start, length: lines.len() as u64, at_end: start >= end };
        place.begin(&note, lines)?;
        match write::all(&self.target, lines) {
            Ok(()) => place.end(&note),
            // A full disk may have taken a part.
            Err(error) => self.take_back(&place).and(Err(error.into())),
        }
    }

    /// Takes back the write that was not finished, if there is one.
    fn take_back(&self, place: &Place<'_>) -> io::Result<()> {
        let Some(note) = place.note()? else { return Ok(()) };
        let end = if note.at_end { self.length()? } else { self.position()? };
        if note.start < end && end < note.start.saturating_add(note.length) {
            let is_part = self.reader().and_then(|file| place.is_part(&note, &file, end));
            let is_cut = is_part.unwrap_or(false) && self.cut(&note).is_ok();
            if !is_cut && !self.ends_a_line().unwrap_or(false) {
                // Somebody else has written there meanwhile, or it can't be read or cut: no other line is spoilt.
                write::all(&self.target, b"\n")?;
            }
        }
        place.end(&note)
    }

    /// The position first: killed between the two steps, the next one finds the bytes and does it again.
    fn cut(&self, note: &Note) -> nix::Result<()> {
        if self.kind == Kind::FileAtPosition {
            lseek(&self.target, offset(note.start), Whence::SeekSet)?;
        }
        if note.at_end { ftruncate(&self.target, offset(note.start)) } else { Ok(()) }
    }

    /// So does an empty file.
    fn ends_a_line(&self) -> io::Result<bool> {
        let end = self.length()?;
        let mut last = [b'\n'];
        if end > 0 {
            self.reader()?.read_exact_at(&mut last, end - 1)?;
        }
        Ok(last == *b"\n")
    }

    /// The descriptor itself is mostly for writing only.
    fn reader(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.target.as_fd().as_raw_fd()))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(fstat(&self.target)?.st_size).unwrap_or(0))
    }

    fn position(&self) -> io::Result<u64> {
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
        let place = worker.log.lock(worker.id).unwrap();
        let end = worker.length().unwrap();
        let start = if worker.kind == Kind::File { end } else { worker.position().unwrap() };
        place.begin(&Note { start, length: lines.len() as u64, at_end: start >= end }, lines).unwrap();
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
            first.begin_run(how).unwrap();
            first.append(b"new\n").unwrap();
            second.begin_run(how).unwrap();
            assert_eq!(content(&first), after);
        }
        let (ended, _) = two(true, b"old\n");
        ended.begin_run(Beginning::NewLine).unwrap();
        assert_eq!(content(&ended), "old\n");
    }

    #[test]
    fn a_file_for_writing_only_is_no_hindrance() {
        let (dead, alive) = two(true, b"old\n");
        let allow = |mode| alive.target.set_permissions(Permissions::from_mode(mode)).unwrap();
        allow(0o200);
        alive.begin_run(Beginning::NewLine).unwrap();
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
