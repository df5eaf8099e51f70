//! Letters that are marked, crossed out or dropped. Each of these has the file's lock for its time.

use super::letters::{self, Entry, GONE, Letter, Letters, MARKED, WAITS, gone_line};
use super::store::locked;
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A person at a terminal waits a little longer than a worker does.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const CHUNK_BYTES: usize = 64 * 1024;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Letters that went.
    pub dropped: u64,
    /// Letters that are left.
    pub left: u64,
}

/// Marks a letter: its item is about to be put back. Or takes the mark away. False if it isn't there any more.
///
/// # Errors
/// When it can't be written, or the lock can't be had.
pub fn mark(path: &Path, letter: &Letter, marked: bool) -> io::Result<bool> {
    let first = if marked { MARKED } else { WAITS };
    change(path, letter, |file, at| file.write_all_at(&[first], at.offset))
}

/// Takes a letter out of the file; false if it isn't there any more.
///
/// # Errors
/// When it can't be written, or the lock can't be had.
pub fn cross_out(path: &Path, letter: &Letter) -> io::Result<bool> {
    // One byte decides; `tidy` and the next rewriting take the rest away.
    change(path, letter, |file, at| file.write_all_at(&[GONE, b' '], at.offset))
}

fn change(
    path: &Path,
    letter: &Letter,
    act: impl FnOnce(&File, &Letter) -> io::Result<()>,
) -> io::Result<bool> {
    let Some(file) = locked_if_there(path)? else { return Ok(false) };
    let found = match letters::at(&file, letter.number, letter.offset)? {
        Some(found) => Some(found),
        // Rewritten since it was read.
        None => search(&file, letter.number)?,
    };
    found.map_or(Ok(false), |found| act(&file, &found).map(|()| true))
}

/// The letter of this key, and how far it is from where the key saw it. `moved`: how far the last one was.
///
/// # Errors
/// When it can't be read.
pub fn find(path: &Path, key: &str, moved: i64) -> io::Result<Option<(Letter, i64)>> {
    let Some((number, seen, line)) = parse_key(key) else { return Ok(None) };
    let Some(file) = letters::open_if_there(path)? else { return Ok(None) };
    for by in [moved, 0] {
        if let Some(offset) = seen.and_then(|seen| seen.checked_add_signed(by))
            && let Some(mut letter) = letters::at(&file, number, offset)?
        {
            letter.line = line;
            return Ok(Some((letter, by)));
        }
    }
    let found = search(&file, number)?;
    Ok(found.map(|letter| {
        let by = seen.map_or(0, |seen| letter.offset.wrapping_sub(seen).cast_signed());
        (letter, by)
    }))
}

/// Number, where it was seen, line. mprun 0.1.0 gave the number alone.
fn parse_key(key: &str) -> Option<(u64, Option<u64>, u64)> {
    let (number, place) = key.split_once('@').unwrap_or((key, ""));
    let (offset, line) = place.split_once('.').unwrap_or((place, ""));
    let number = u64::from_str_radix(number, 16).ok()?;
    Some((number, u64::from_str_radix(offset, 16).ok(), line.parse().unwrap_or(0)))
}

fn search(file: &File, number: u64) -> io::Result<Option<Letter>> {
    let length = file.metadata()?.len();
    for entry in Letters::of(file.try_clone()?, length)? {
        if let Entry::Letter(letter) = entry?
            && letter.number == number
        {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

fn locked_if_there(path: &Path) -> io::Result<Option<Flock<File>>> {
    match locked(path, false, LOCK_TIMEOUT) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let seconds = LOCK_TIMEOUT.as_secs();
            let why = format!("another process has held its lock for {seconds} s: is it stopped?");
            Err(io::Error::new(ErrorKind::WouldBlock, why))
        }
        file => file.map(Some),
    }
}

/// Drops all that are chosen, in as much memory as the longest letter takes.
///
/// # Errors
/// When it can't be written, or the lock can't be had. Without room for a second file they are crossed out one by one.
pub fn drop_some(path: &Path, chosen: &mut dyn FnMut(&Letter) -> bool) -> io::Result<Dropped> {
    let Some(file) = locked_if_there(path)? else { return Ok(Dropped::default()) };
    // First in place: that needs no room on a full disk, and is what counts.
    let length = file.metadata()?.len();
    let mut outcome = Dropped::default();
    for entry in Letters::of(file.try_clone()?, length)? {
        let Entry::Letter(letter) = entry? else { continue };
        if chosen(&letter) {
            file.write_all_at(&[GONE, b' '], letter.offset)?;
            outcome.dropped += 1;
        } else {
            outcome.left += 1;
        }
    }
    // What is gone takes room until then.
    match rewrite(file, path, &mut |_| true) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {}
        rewritten => drop(rewritten?),
    }
    Ok(outcome)
}

/// Takes away what is gone, where that is worth it: nothing is left, or less than half. `crossed`: bytes that were crossed
/// out since the last time; where they are too few for that the file is not read. False: it was not worth it.
///
/// # Errors
/// When it can't be written.
pub fn tidy(path: &Path, crossed: u64) -> io::Result<bool> {
    let Some(file) = locked_if_there(path)? else { return Ok(true) };
    let length = file.metadata()?.len();
    if crossed < length / 2 {
        return Ok(false);
    }
    if length > 0 && living_bytes(&file)? <= length / 2 {
        rewrite(file, path, &mut |_| true)?;
    }
    Ok(true)
}

/// Bytes of what is not gone.
pub fn living_bytes(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file).take(length);
    let (mut living, mut is_gone, mut starts) = (0, false, true);
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(living);
        }
        if starts {
            is_gone = matches!(piece[0], GONE | b'\n');
        }
        let end = piece.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let read = end.unwrap_or(piece.len());
        living += if is_gone { 0 } else { read as u64 };
        starts = end.is_some();
        reader.consume(read);
    }
}

/// Writes what is to stay into a new file, which replaces the old one. The old file was locked, and the new one is.
pub fn rewrite(
    file: Flock<File>,
    path: &Path,
    stays: &mut dyn FnMut(&Letter) -> bool,
) -> io::Result<(Flock<File>, Dropped)> {
    // A link stays one.
    let path = &std::fs::canonicalize(path)?;
    let length = file.metadata()?.len();
    let mut letters = Letters::of(file.try_clone()?, length)?;
    let new_file = NewFile::beside(path)?;
    let mut new = BufWriter::with_capacity(CHUNK_BYTES, new_file.open(&file)?);
    let (mut outcome, mut written, mut torn) = (Dropped::default(), 0, 0);
    while let Some(entry) = letters.next() {
        let is_kept = match entry? {
            Entry::Letter(letter) => stays(&letter),
            // It stays as long as letters do.
            Entry::Torn { .. } => {
                torn += 1;
                true
            }
        };
        if !is_kept {
            outcome.dropped += 1;
            letters.dropped += 1;
            continue;
        }
        outcome.left += 1;
        let missing = letters.line - 1 - written;
        if missing > 0 {
            // Counted once, in front of what comes next.
            let dropped = std::mem::take(&mut letters.dropped);
            new.write_all(gone_line(missing, dropped).as_bytes())?;
        }
        copy(&file, letters.begin, letters.offset, &mut new)?;
        written = letters.line;
    }
    outcome.left -= torn;
    let dropped = letters.dropped;
    if outcome.left == 0 && dropped == 0 {
        file.set_len(0)?;
        return Ok((file, outcome));
    }
    if letters.line > written {
        new.write_all(gone_line(letters.line - written, dropped).as_bytes())?;
    }
    let new = new.into_inner().map_err(io::IntoInnerError::into_error)?;
    new.sync_all()?;
    let new =
        Flock::lock(new, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))?;
    std::fs::rename(&new_file.path, path)?;
    Ok((new, outcome))
}

/// As it stands, whatever its first byte says; with an end, if it was torn.
fn copy(file: &File, from: u64, to: u64, new: &mut impl Write) -> io::Result<()> {
    let (mut at, mut piece, mut last) = (from, vec![0; CHUNK_BYTES], b'\n');
    while at < to {
        let most = piece.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        let read = file.read_at(&mut piece[..most], at)?;
        if read == 0 {
            break;
        }
        new.write_all(&piece[..read])?;
        last = piece[read - 1];
        at += read as u64;
    }
    if last == b'\n' { Ok(()) } else { new.write_all(b"\n") }
}

/// The file that replaces the old one; removed if it did not.
struct NewFile {
    path: PathBuf,
}

impl NewFile {
    fn beside(path: &Path) -> io::Result<NewFile> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let path = PathBuf::from(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(NewFile { path }),
        }
    }

    /// With the owner of the old one: root may be at work for another user.
    fn open(&self, old: &File) -> io::Result<File> {
        let flags = OFlag::O_NOFOLLOW.bits();
        let mut options = OpenOptions::new();
        let new = options
            .read(true)
            .write(true)
            .create_new(true)
            .custom_flags(flags)
            .mode(0o600)
            .open(&self.path)?;
        let (about, own) = (old.metadata()?, new.metadata()?);
        if (about.uid(), about.gid()) != (own.uid(), own.gid()) {
            std::os::unix::fs::fchown(&new, Some(about.uid()), Some(about.gid()))?;
        }
        new.set_permissions(Permissions::from_mode(about.mode() & 0o777))?;
        Ok(new)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After the rename there is none.
        let _ = std::fs::remove_file(&self.path);
    }
}
