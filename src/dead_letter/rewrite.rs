//! The file written anew, without what is gone or has to go.

use super::letters::{Entry, GONE, Letter, Letters, gone_line, note_change};
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const CHUNK_BYTES: usize = 64 * 1024;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Letters that went.
    pub dropped: u64,
    /// Letters that are left.
    pub left: u64,
}

/// Bytes of what is not gone.
pub(super) fn living_bytes(file: &File) -> io::Result<u64> {
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
pub(super) fn rewrite(
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
        note_change();
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
