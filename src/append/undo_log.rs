//! What the workers of a run share so that a killed one leaves no half line: a lock and a pending write for each file.
//!
//! It is a memory file with an entry for each file: its owner, the pending write, and from [`COPY`] on the bytes of that
//! write. A file's entry is the first one, from the hash of its id on, that is its own or still free. Entries are far
//! apart, and memory is used only where something was written.

use super::entry::{Bytes, EntryOwner, FileId, PendingWrite};
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

/// Bytes of an entry, as a power of two: more than the longest item and the lines that wait with it.
const ENTRY_BITS: u32 = 32;
/// The number of entries, as a power of two.
const ENTRIES_BITS: u32 = 30;
/// Where in an entry the owner stands, the pending write, and its bytes: these begin on a page of their own, and neither
/// of the others crosses into another page, so a write of it happens as a whole or not at all.
const OWNER: u64 = 0;
const PENDING: u64 = 64;
const COPY: u64 = 4096;
/// A longer copy gives its memory back at once.
const RETAINED_BYTES: u64 = 1 << 20;
/// Compared at once.
const COMPARE_BYTES: usize = 64 * 1024;

/// Cheap to clone; every process that has the descriptor shares it.
#[derive(Clone, Debug)]
pub(crate) struct UndoLog(pub(super) Arc<File>);

impl UndoLog {
    /// A fresh one.
    pub(crate) fn create() -> io::Result<UndoLog> {
        let fd = memfd_create(c"mprun-undo", MFdFlags::MFD_CLOEXEC)?;
        Ok(UndoLog::from(fd))
    }

    /// To pass it to a worker.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// From now on the run has begun with what has this name.
    pub(crate) fn set_begun(&self, name: &[u8]) -> io::Result<()> {
        let file = FileId::of_name(name);
        self.lock(file)?.set_owner(EntryOwner { file, has_begun: true })
    }

    /// Whether the run has begun with what has this name.
    pub(crate) fn has_begun(&self, name: &[u8]) -> io::Result<bool> {
        Ok(self.lock(FileId::of_name(name))?.owner()?.is_some_and(|owner| owner.has_begun))
    }

    /// Acts while no other worker of the run does so for the same name.
    pub(crate) fn exclusively<T>(&self, name: &[u8], act: impl FnOnce() -> T) -> io::Result<T> {
        let _entry = self.lock(FileId::of_name(name))?;
        Ok(act())
    }

    /// The file's entry, once no other process has it. The wait doesn't count as an item's time.
    pub(super) fn lock(&self, file: FileId) -> io::Result<LockedEntry<'_>> {
        let mut hasher = DefaultHasher::new();
        file.hash(&mut hasher);
        let mut number = hasher.finish();
        loop {
            let start = (number & ((1 << ENTRIES_BITS) - 1)) << ENTRY_BITS;
            let entry = LockedEntry::lock(self, start)?;
            match entry.owner()? {
                Some(owner) if owner.file == file => return Ok(entry),
                Some(_) => number = number.wrapping_add(1),
                None => {
                    entry.set_owner(EntryOwner { file, has_begun: false })?;
                    return Ok(entry);
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

/// A file's entry, as long as this process has the lock.
pub(super) struct LockedEntry<'a> {
    log: &'a File,
    start: u64,
}

impl LockedEntry<'_> {
    pub(super) fn lock(log: &UndoLog, start: u64) -> nix::Result<LockedEntry<'_>> {
        let entry = LockedEntry { log: &log.0, start };
        worker_timer::not_counting(|| entry.set_lock(libc::F_WRLCK))?;
        Ok(entry)
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

    pub(super) fn owner(&self) -> io::Result<Option<EntryOwner>> {
        Ok(EntryOwner::decode(self.read(OWNER)?))
    }

    pub(super) fn set_owner(&self, owner: EntryOwner) -> io::Result<()> {
        self.log.write_all_at(&owner.encode(), self.start + OWNER)
    }

    /// The write that has begun and not ended, if there is one: its worker was killed.
    pub(super) fn pending(&self) -> io::Result<Option<PendingWrite>> {
        Ok(PendingWrite::decode(self.read(PENDING)?))
    }

    fn read(&self, at: u64) -> io::Result<Bytes> {
        let mut bytes = Bytes::default();
        match self.log.read_exact_at(&mut bytes, self.start + at) {
            // Nothing was written there yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Bytes::default()),
            result => result.map(|()| bytes),
        }
    }

    /// `bytes` are about to be written. The pending write itself is stored last.
    pub(super) fn begin(&self, write: &PendingWrite, bytes: &[u8]) -> io::Result<()> {
        self.log.write_all_at(bytes, self.start + COPY)?;
        self.log.write_all_at(&write.encode(), self.start + PENDING)
    }

    /// The write has ended, or was taken back.
    pub(super) fn end(&self, write: &PendingWrite) -> io::Result<()> {
        self.log.write_all_at(&Bytes::default(), self.start + PENDING)?;
        if write.length > RETAINED_BYTES {
            let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(self.log, mode, offset(self.start + COPY), offset(write.length)) {
                // Denied by a sandbox: the memory stays taken until the next long line overwrites it.
                Ok(()) | Err(Errno::EPERM | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Whether what `file` holds from the write's start up to `end` is the beginning of its bytes.
    pub(super) fn is_part(&self, write: &PendingWrite, file: &File, end: u64) -> io::Result<bool> {
        let (mut there, mut logged) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
        let mut at = write.start;
        while at < end {
            let n = usize::try_from(end - at).unwrap_or(COMPARE_BYTES).min(COMPARE_BYTES);
            file.read_exact_at(&mut there[..n], at)?;
            self.log.read_exact_at(&mut logged[..n], self.start + COPY + (at - write.start))?;
            if there[..n] != logged[..n] {
                return Ok(false);
            }
            at += n as u64;
        }
        Ok(true)
    }
}

impl Drop for LockedEntry<'_> {
    fn drop(&mut self) {
        // It can't fail for a lock that is held; and if it did, the process's end would release it.
        let _ = self.set_lock(libc::F_UNLCK);
    }
}

/// As system calls want it.
pub(super) fn offset(bytes: u64) -> libc::off_t {
    libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX)
}
