//! Reading files from their start to their end, one after the other.
//!
//! A file is read as long as there is something to read, also if it grows meanwhile. What is no file on a disk (a named
//! pipe, a device) is a [`Stream`].
//!
//! A saved position holds for the file that it was saved for, which is known by what was read of it
//! ([`Fingerprint`]): a run that continues later may find another file of that name, and reads that from its start.

use super::super::position::{save_bytes, save_number, save_skip, take_bytes, take_number, take_skip};
use super::super::stream::Stream;
use super::fingerprint::Fingerprint;
use super::search;
use crate::framing::Framing;
use crate::numbers::counted;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next, Progress, Reach};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The items of all files that match. Its position: the file it is in, and the position in that.
pub(in crate::stage) struct Once {
    pattern: PathBuf,
    framing: Framing,
    /// Files still to be read after this one, last first.
    coming: Option<Vec<PathBuf>>,
    path: PathBuf,
    reading: Reading,
    /// Bytes of the files before this one, and of all.
    sizes: (u64, u64),
}

/// The file at hand.
enum Reading {
    /// There is none: the next one comes.
    Nothing,
    /// Still to be opened, at this saved position.
    Saved(Vec<u8>),
    /// One that can be read anywhere.
    File(Box<OnDisk>),
    /// One that can't.
    Stream(Box<Stream>),
}

struct OnDisk {
    file: File,
    lines: Lines,
    /// How large it was when it was opened.
    size: u64,
    /// The hash of its first bytes, once enough of them were read.
    head: Cell<Option<u64>>,
    /// By what it is known again: taken a little before the position at most.
    print: Cell<Option<Fingerprint>>,
}

/// A fingerprint is good for this many bytes more, or for an eighth of the position: to take one for each of many small
/// commits would cost as much as they do.
const GOOD_FOR: u64 = 64 * 1024;

impl OnDisk {
    /// By what the file is known again. The content of a file of /proc, which tells no size, changes by itself.
    fn print(&self) -> Option<Fingerprint> {
        if self.size == 0 {
            return None;
        }
        let position = self.lines.position();
        let is_good = |print: &Fingerprint| {
            position.checked_sub(print.position).is_some_and(|more| more < GOOD_FOR.min(position / 8))
        };
        let print = self.print.get().filter(is_good);
        let print = print.or_else(|| Fingerprint::of(&self.file, position, &self.head).ok());
        self.print.set(print);
        print
    }
}

/// What a saved position of a file begins with.
const FILE: u64 = 0;
const STREAM: u64 = 1;

impl Once {
    pub(crate) fn open(pattern: PathBuf, framing: Framing) -> Once {
        let (path, reading) = (PathBuf::new(), Reading::Nothing);
        Once { pattern, framing, coming: None, path, reading, sizes: (0, 0) }
    }

    pub(crate) fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.coming.is_none() {
            self.start()?;
        }
        let next = match &mut self.reading {
            Reading::Nothing => return self.next_file(),
            Reading::Saved(_) => return self.open_again(),
            Reading::File(file) => next_of(file, &self.path, out)?,
            Reading::Stream(stream) => stream.next(out)?,
        };
        if next != Next::End {
            return Ok(next);
        }
        if let Reading::File(file) = &self.reading {
            self.sizes.0 += file.lines.position();
        }
        self.reading = Reading::Nothing;
        Ok(Next::More)
    }

    /// Finds the files. An earlier position says where among them to go on.
    fn start(&mut self) -> Result<(), Failure> {
        let mut files = search::matching(&self.pattern)?;
        let is_fresh = self.path.as_os_str().is_empty();
        if files.is_empty() && is_fresh {
            return Err(Failure::with_reach(search::nothing(&self.pattern), Reach::Never));
        }
        if is_fresh && let Some(denied) = files.iter().find(|path| is_denied(path)) {
            let why = format!("can't read `{}`: permission denied", denied.display());
            return Err(Failure::with_reach(why, Reach::Never));
        }
        let size = |path: &PathBuf| path.metadata().map_or(0, |about| about.len());
        let is_done = |path: &&PathBuf| match self.reading {
            Reading::Nothing => **path <= self.path,
            Reading::Saved(_) | Reading::File(..) | Reading::Stream(_) => **path < self.path,
        };
        let before = files.iter().filter(is_done).map(size).sum();
        self.sizes = (before, files.iter().map(size).sum());
        files.retain(|path| *path > self.path);
        files.reverse();
        self.coming = Some(files);
        Ok(())
    }

    fn next_file(&mut self) -> Result<Next, Failure> {
        let Some(path) = self.coming.as_mut().and_then(Vec::pop) else { return Ok(Next::End) };
        match read(&path, self.framing) {
            Ok(reading) => (self.path, self.reading) = (path, reading),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                log::warn!("{} is gone: it was not read", Shown(&path));
            }
            Err(error) => return Err(cannot_read(&path, &error)),
        }
        Ok(Next::More)
    }

    fn open_again(&mut self) -> Result<Next, Failure> {
        let Reading::Saved(state) = std::mem::replace(&mut self.reading, Reading::Nothing) else {
            return Ok(Next::More);
        };
        let (mut rest, mut state) = (&state[..], &state[..]);
        let (kind, position) = (take_number(&mut rest)?, take_number(&mut rest)?);
        match read(&self.path, self.framing) {
            Ok(Reading::Stream(mut stream)) if kind == STREAM => {
                take_number(&mut state)?;
                stream.restore(&mut state)?;
                self.reading = Reading::Stream(stream);
            }
            Ok(Reading::File(mut found)) if kind == FILE => {
                let skip = take_skip(&mut rest)?;
                let is_same = is_same(&found.file, position, &mut rest);
                if is_same.map_err(|failure| failure.context(Shown(&self.path)))? {
                    found.lines = Lines::at(self.framing, position, skip);
                    self.reading = Reading::File(found);
                } else {
                    log::warn!(
                        "{} is another file now: reading it from its start; what stood behind byte {position} of the one before was not read",
                        Shown(&self.path)
                    );
                    self.reading = Reading::File(found);
                    // What was published behind the old position was of the other file.
                    return Ok(Next::Checkpoint);
                }
            }
            Ok(_) => log::warn!("{} is another file now: the rest of it was not read", Shown(&self.path)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                log::warn!(
                    "{} is gone: what stood behind its byte {position} was not read",
                    Shown(&self.path)
                );
            }
            Err(error) => return Err(cannot_read(&self.path, &error)),
        }
        Ok(Next::More)
    }

    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        match &self.reading {
            Reading::Stream(stream) => stream.readable(),
            Reading::Nothing | Reading::Saved(_) | Reading::File(..) => None,
        }
    }

    /// In bytes, as large as the files were at the start.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let done = match &self.reading {
            Reading::Nothing => self.sizes.0,
            Reading::File(file) => self.sizes.0 + file.lines.position(),
            Reading::Saved(_) | Reading::Stream(_) => return None,
        };
        self.coming.is_some().then_some(Progress { done, total: self.sizes.1.max(done) })
    }

    pub(crate) fn save(&self, state: &mut Vec<u8>) {
        save_bytes(self.path.as_os_str().as_bytes(), state);
        match &self.reading {
            Reading::Nothing => {}
            Reading::Saved(saved) => state.extend_from_slice(saved),
            Reading::File(file) => {
                save_number(FILE, state);
                save_number(file.lines.position(), state);
                save_skip(file.lines.skipping(), state);
                if let Some(print) = file.print() {
                    save_number(print.position, state);
                    save_number(print.head, state);
                    save_number(print.tail, state);
                }
            }
            Reading::Stream(stream) => {
                save_number(STREAM, state);
                stream.save(state);
            }
        }
    }

    pub(crate) fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        let (path, saved) = match of_0_1_0(state) {
            Some(old) => old,
            None => (take_bytes(&mut state)?, state.to_vec()),
        };
        self.path = PathBuf::from(OsStr::from_bytes(path));
        self.coming = None;
        self.reading = if saved.is_empty() { Reading::Nothing } else { Reading::Saved(saved) };
        Ok(())
    }
}

/// A position of 0.1.0: the offset, and the path behind it. No newer one looks like that: the second number would be made of the letters
/// of its path, or, behind a short path, of its kind, and be greater than all of it is long.
fn of_0_1_0(mut state: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let offset = take_number(&mut state).ok()?;
    let path = take_bytes(&mut state).ok().filter(|_| state.is_empty())?;
    let mut saved = Vec::new();
    if !path.is_empty() {
        save_number(FILE, &mut saved);
        save_number(offset, &mut saved);
    }
    Some((path, saved))
}

/// Whether the file is the one of the saved position, of which `print` is the rest. A position of 0.1.0 does not say.
fn is_same(file: &File, position: u64, print: &mut &[u8]) -> Result<bool, Failure> {
    if print.is_empty() {
        return Ok(true);
    }
    let (at, head, tail) = (take_number(print)?, take_number(print)?, take_number(print)?);
    let print = Fingerprint { position: at, head, tail };
    let failure = |error| Failure::fatal(format!("can't compare files: {error}"));
    let is_long = file.metadata().map_err(failure)?.len() >= position;
    Ok(is_long && print.known_in(file).map_err(failure)?.is_some())
}

fn next_of(on_disk: &mut OnDisk, path: &Path, out: &mut Emitter<'_>) -> Result<Next, Failure> {
    let OnDisk { file, lines, size, .. } = on_disk;
    if let Some(next) = lines.step(&Shown(path), false, out)? {
        return Ok(next);
    }
    let end = lines.end();
    if lines.fill(|into| file.read_at(into, end)).map_err(|error| cannot_read(path, &error))? > 0 {
        return Ok(Next::More);
    }
    if let Some(next) = lines.step(&Shown(path), true, out)? {
        return Ok(next);
    }
    // The size that /proc tells is none.
    let now = file.metadata().map_or(end, |about| about.len());
    if *size > 0 && now < end {
        log::warn!("{} was cut to {} while it was read up to byte {end}", Shown(path), counted(now, "byte"));
    }
    Ok(Next::End)
}

/// Opens without waiting for the writer of a named pipe, and without getting a controlling terminal.
fn read(path: &Path, framing: Framing) -> std::io::Result<Reading> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let about = file.metadata()?;
    Ok(if about.is_file() || about.file_type().is_block_device() {
        Reading::File(Box::new(OnDisk {
            file,
            lines: Lines::new(framing),
            size: about.len(),
            head: Cell::new(None),
            print: Cell::new(None),
        }))
    } else {
        Reading::Stream(Box::new(Stream::own(file, Shown(path).to_string(), framing)))
    })
}

/// A path in messages.
pub(super) struct Shown<'a>(pub &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.display())
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::fatal(format!("can't read {}: {error}", Shown(path)))
}

/// No later try changes that.
fn is_denied(path: &Path) -> bool {
    access(path, AccessFlags::R_OK) == Err(Errno::EACCES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mprun-once-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn whoever_goes_on_after_any_step_emits_what_is_left() {
        let folder = folder("restore");
        for (name, text) in [("1", "a\nb\nno end"), ("2", ""), ("3", "c\n"), ("4", "\n\nd")] {
            fs::write(folder.join(name), text).unwrap();
        }
        let expected = [&b"a"[..], b"b", b"no end", b"c", b"", b"", b"d"];
        for steps in 4..12 {
            let (mut seen, mut state, mut ended) = (Vec::new(), Vec::new(), false);
            while !ended {
                let mut worker = Once::open(folder.join("*"), Framing::Lines);
                if !state.is_empty() {
                    worker.restore(&state).unwrap();
                }
                let mut step = || worker.next(&mut Emitter::new(&mut seen)).unwrap();
                ended = (0..steps).any(|_| step() == Next::End);
                state.clear();
                worker.save(&mut state);
                assert_eq!(of_0_1_0(&state), None, "{state:?}");
            }
            assert_eq!(seen, expected, "killed after {steps} steps");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_position_of_0_1_0_is_gone_on_from_whatever_its_numbers_look_like() {
        let folder = folder("old");
        let (first, second) = (folder.join("1"), folder.join("2"));
        let lines: Vec<String> = (100..300).map(|n| n.to_string()).collect();
        fs::write(&first, lines.join("\n")).unwrap();
        fs::write(&second, "end").unwrap();
        let path = first.as_os_str().as_bytes();
        // The last one is where a path would end that began behind the first number.
        for done in [0, 1, 2, 50, 199, (path.len() + 8) / 4] {
            let mut state = Vec::new();
            save_number(done as u64 * 4, &mut state);
            save_bytes(path, &mut state);
            let mut once = Once::open(folder.join("*"), Framing::Lines);
            once.restore(&state).unwrap();
            let expected = lines[done..].iter().map(String::as_bytes).chain([&b"end"[..]]);
            assert!(rest(&mut once, |_| ()).iter().map(Vec::as_slice).eq(expected), "{done} lines");
        }
        let mut once = Once::open(folder.join("*"), Framing::Lines);
        once.restore(&[0; 16]).unwrap();
        assert_eq!(rest(&mut once, |_| ()).len(), 201, "no file was begun");
        fs::remove_dir_all(folder).unwrap();
    }

    /// All that is emitted from here on; `between` comes before each step, with its number.
    fn rest(once: &mut Once, mut between: impl FnMut(usize)) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        for step in 0.. {
            between(step);
            if once.next(&mut Emitter::new(&mut seen)).unwrap() == Next::End {
                break;
            }
        }
        seen
    }

    fn all(pattern: PathBuf) -> Vec<Vec<u8>> {
        rest(&mut Once::open(pattern, Framing::Lines), |_| {})
    }

    #[test]
    fn bytes_of_any_kind_come_as_they_are_and_folders_are_passed_over() {
        let folder = folder("kinds");
        fs::write(folder.join("1-empty"), "").unwrap();
        fs::write(folder.join("2-binary"), b"\0\x01\xff\n\0").unwrap();
        fs::write(folder.join("3-windows"), "\u{feff}a\r\nb\r\n").unwrap();
        fs::write(folder.join("4-no-end"), "c\nd").unwrap();
        fs::write(folder.join("5-empty-lines"), "\n\n").unwrap();
        fs::create_dir(folder.join("6-folder")).unwrap();
        std::os::unix::fs::symlink("6-folder", folder.join("7-link")).unwrap();
        std::os::unix::fs::symlink("4-no-end", folder.join("8-link")).unwrap();
        let expected: [&[u8]; 10] = [b"\0\x01\xff", b"\0", b"a\r", b"b\r", b"c", b"d", b"", b"", b"c", b"d"];
        assert_eq!(all(folder.join("*")), expected);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_read_to_its_end() {
        let folder = folder("grows");
        let path = folder.join("a");
        fs::write(&path, "1\n2").unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let seen = rest(&mut Once::open(path, Framing::Lines), |step| {
            if step == 3 {
                std::io::Write::write_all(&mut file, b"2\n3\n").unwrap();
            }
        });
        assert_eq!(seen, [&b"1"[..], b"22", b"3"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_gone_before_its_turn_is_left_out_and_the_others_are_read() {
        let folder = folder("gone");
        for name in ["1", "2", "3"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let gone = |step| {
            if step == 1 {
                fs::remove_file(folder.join("2")).unwrap();
            }
        };
        let mut once = Once::open(folder.join("?"), Framing::Lines);
        assert_eq!(rest(&mut once, gone), [b"1", b"3"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_worker_that_finds_its_file_gone_goes_on_with_the_next() {
        let folder = folder("gone-half-read");
        fs::write(folder.join("1"), "a\nb\n").unwrap();
        fs::write(folder.join("2"), "c\n").unwrap();
        let (mut seen, mut state) = (Vec::new(), Vec::new());
        let mut once = Once::open(folder.join("?"), Framing::Lines);
        while seen.is_empty() {
            once.next(&mut Emitter::new(&mut seen)).unwrap();
        }
        once.save(&mut state);
        fs::remove_file(folder.join("1")).unwrap();
        let mut next = Once::open(folder.join("?"), Framing::Lines);
        next.restore(&state).unwrap();
        assert_eq!(rest(&mut next, |_| {}), [b"c"]);
        let mut last = Once::open(folder.join("?"), Framing::Lines);
        fs::remove_file(folder.join("2")).unwrap();
        last.restore(&state).unwrap();
        assert!(rest(&mut last, |_| {}).is_empty(), "there is no other file: that is the end");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_took_the_name_of_one_half_read_is_read_from_its_start() {
        let folder = folder("replaced-half-read");
        let path = folder.join("a");
        let lines = |word: &str| (0..500).map(|n| format!("{word}{n}\n")).collect::<String>();
        for (read, others) in
            [(1, "x\n".to_owned()), (3, lines("new")), (400, lines("new")), (400, lines("n"))]
        {
            fs::write(&path, lines("old")).unwrap();
            let (mut seen, mut state) = (Vec::new(), Vec::new());
            let mut once = Once::open(path.clone(), Framing::Lines);
            while seen.len() < read {
                once.next(&mut Emitter::new(&mut seen)).unwrap();
            }
            once.save(&mut state);
            let mut same = Once::open(path.clone(), Framing::Lines);
            same.restore(&state).unwrap();
            assert_eq!(rest(&mut same, |_| {}).len(), 500 - read, "the same file is read on");
            fs::write(folder.join("b"), &others).unwrap();
            fs::rename(folder.join("b"), &path).unwrap();
            let mut next = Once::open(path.clone(), Framing::Lines);
            next.restore(&state).unwrap();
            assert_eq!(rest(&mut next, |_| {}).len(), others.lines().count(), "{read} lines were read");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
        let folder = folder("unreadable");
        let socket = folder.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let mut seen = Vec::new();
        let mut once = Once::open(socket.clone(), Framing::Lines);
        let error =
            std::iter::from_fn(|| Some(once.next(&mut Emitter::new(&mut seen)))).find_map(Result::err);
        let error = error.unwrap().to_string();
        assert!(error.starts_with(&format!("can't read `{}`: ", socket.display())), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_match_is_an_error_that_names_the_pattern() {
        let folder = folder("none");
        let mut seen = Vec::new();
        let error =
            Once::open(folder.join("*.txt"), Framing::Lines).next(&mut Emitter::new(&mut seen)).unwrap_err();
        assert!(error.to_string().starts_with("no file matches `"), "{error}");
        let error =
            Once::open(folder.clone(), Framing::Lines).next(&mut Emitter::new(&mut seen)).unwrap_err();
        assert!(error.to_string().contains("` is a folder, not a file: `"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_output_that_is_refused_is_told_with_its_place() {
        struct Refuses;
        impl crate::stage::Outlet for Refuses {
            fn put(&mut self, _: &[u8]) -> Result<(), Failure> {
                Err(Failure::new("too long"))
            }
        }
        let folder = folder("refused");
        fs::write(folder.join("a"), "line\n").unwrap();
        let mut once = Once::open(folder.join("a"), Framing::Lines);
        let mut outlet = Refuses;
        let error =
            std::iter::from_fn(|| Some(once.next(&mut Emitter::new(&mut outlet)))).find_map(Result::err);
        let path = folder.join("a");
        let expected = format!("the item at byte 0 of `{}`: too long", path.display());
        assert_eq!(error.unwrap().to_string(), expected);
        fs::remove_dir_all(folder).unwrap();
    }
}
