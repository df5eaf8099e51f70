//! What the workers of a run share so that a killed one leaves no half line: a lock and a note for each file.
//!
//! It is a memory file with a place for each file: whose it is, the note, and from [`COPY`] on the bytes that the note
//! is about. A file's place is the first one, from a number that its id hashes to, that is its own or nobody's yet.
//! Places are far apart, and memory is used only where something was written.

use super::note::{Bytes, FileId, Note, Owner};
use crate::sys::worker_timer;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A place is so long, as a power of two: more than the longest item and the lines that wait with it.
const PLACE_BITS: u32 = 32;
/// There are so many places, as a power of two.
const PLACES_BITS: u32 = 30;
/// Where in a place the owner stands, the note, and the bytes: these begin on a page of their own, and neither of the
/// others crosses into another page, so a write of it happens as a whole or not at all.
const OWNER: u64 = 0;
const NOTE: u64 = 64;
const COPY: u64 = 4096;
/// A longer copy gives its memory back at once.
const KEPT: u64 = 1 << 20;
/// Bytes compared at once.
const CHUNK: usize = 64 * 1024;

/// Cheap to clone; every process that has the descriptor shares it.
#[derive(Clone, Debug)]
pub struct UndoLog(pub(super) Arc<File>);

impl UndoLog {
    /// A fresh one.
    pub fn create() -> io::Result<UndoLog> {
        let fd = memfd_create(c"mprun-undo", MFdFlags::MFD_CLOEXEC)?;
        Ok(UndoLog::from(fd))
    }

    /// To pass it to a worker.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// From now on the run has begun with what has this name.
    pub fn note_begun(&self, name: &[u8]) -> io::Result<()> {
        let file = FileId::of_name(name);
        self.lock(file)?.set_owner(Owner { file, has_begun: true })
    }

    /// Whether the run has begun with what has this name.
    pub fn has_begun(&self, name: &[u8]) -> io::Result<bool> {
        Ok(self.lock(FileId::of_name(name))?.owner()?.is_some_and(|owner| owner.has_begun))
    }

    /// Does something while no other worker of the run does it for the same name.
    pub fn alone<T>(&self, name: &[u8], act: impl FnOnce() -> T) -> io::Result<T> {
        let _place = self.lock(FileId::of_name(name))?;
        Ok(act())
    }

    /// The file's place, once no other process has it. That is nobody's fault, so it doesn't count as an item's time.
    pub(super) fn lock(&self, file: FileId) -> io::Result<Place<'_>> {
        let mut hasher = DefaultHasher::new();
        file.hash(&mut hasher);
        let mut number = hasher.finish();
        loop {
            let start = (number & ((1 << PLACES_BITS) - 1)) << PLACE_BITS;
            let place = Place::lock(self, start)?;
            match place.owner()? {
                Some(owner) if owner.file == file => return Ok(place),
                Some(_) => number = number.wrapping_add(1),
                None => {
                    place.set_owner(Owner { file, has_begun: false })?;
                    return Ok(place);
                }
            }
        }
    }
}

impl From<OwnedFd> for UndoLog {
    fn from(fd: OwnedFd) -> UndoLog {
        UndoLog(Arc::new(File::from(fd)))
    }
}

/// A file's place, as long as this process has the lock.
pub(super) struct Place<'a> {
    log: &'a File,
    start: u64,
}

impl Place<'_> {
    pub fn lock(log: &UndoLog, start: u64) -> nix::Result<Place<'_>> {
        let place = Place { log: &log.0, start };
        worker_timer::not_counting(|| place.set_lock(libc::F_WRLCK))?;
        Ok(place)
    }

    /// A record lock: it belongs to the process, so it goes with it.
    fn set_lock(&self, kind: i32) -> nix::Result<()> {
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        let lock = libc::flock { l_type, l_whence, l_start: offset(self.start), l_len: 1, l_pid: 0 };
        loop {
            match fcntl(self.log.as_fd(), FcntlArg::F_SETLKW(&lock)) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }

    pub fn owner(&self) -> io::Result<Option<Owner>> {
        Ok(Owner::decode(self.read(OWNER)?))
    }

    pub fn set_owner(&self, owner: Owner) -> io::Result<()> {
        self.log.write_all_at(&owner.encode(), self.start + OWNER)
    }

    /// The write that has begun and not ended, if there is one: its worker was killed.
    pub fn note(&self) -> io::Result<Option<Note>> {
        Ok(Note::decode(self.read(NOTE)?))
    }

    fn read(&self, at: u64) -> io::Result<Bytes> {
        let mut bytes = Bytes::default();
        match self.log.read_exact_at(&mut bytes, self.start + at) {
            // Nothing was written so far behind.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Bytes::default()),
            result => result.map(|()| bytes),
        }
    }

    /// Notes that `bytes` are about to be written. The note itself comes last.
    pub fn begin(&self, note: &Note, bytes: &[u8]) -> io::Result<()> {
        self.log.write_all_at(bytes, self.start + COPY)?;
        self.log.write_all_at(&note.encode(), self.start + NOTE)
    }

    /// The write has ended, or was taken back.
    pub fn end(&self, note: &Note) -> io::Result<()> {
        self.log.write_all_at(&Bytes::default(), self.start + NOTE)?;
        if note.length > KEPT {
            let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(self.log, mode, offset(self.start + COPY), offset(note.length)) {
                // Denied by a sandbox: the memory stays taken until the next long line overwrites it.
                Ok(()) | Err(Errno::EPERM | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Whether what `file` holds from the note's start up to `end` is the beginning of the noted bytes.
    pub fn is_part(&self, note: &Note, file: &File, end: u64) -> io::Result<bool> {
        let (mut there, mut noted) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut at = note.start;
        while at < end {
            let n = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            file.read_exact_at(&mut there[..n], at)?;
            self.log.read_exact_at(&mut noted[..n], self.start + COPY + (at - note.start))?;
            if there[..n] != noted[..n] {
                return Ok(false);
            }
            at += n as u64;
        }
        Ok(true)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // It can't fail for a lock that is held; and if it did, the process's end would release it.
        let _ = self.set_lock(libc::F_UNLCK);
    }
}

/// As system calls want it.
pub(super) fn offset(bytes: u64) -> libc::off_t {
    libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX)
}
