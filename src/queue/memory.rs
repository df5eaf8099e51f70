//! The mapping: one memory file, seen as words and blocks.

use super::identity::{self, Identity};
#[cfg(miri)]
use super::interpreted::sealed;
use super::layout::{self, HEAP, SIZE, block_size, class_of_block};
use super::{Fault, inject};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// All queues of one run, in one memory file. Cheap to clone; whoever holds the descriptor can go on from it.
#[derive(Clone)]
pub struct Arena(pub(super) Arc<Memory>);

impl Arena {
    /// A fresh, empty arena that is nobody's in particular.
    ///
    /// # Errors
    /// `Fault::System` when the memory can't be had, with what to look at.
    pub fn create() -> Result<Arena, Fault> {
        Arena::create_for(&Identity::default())
    }

    /// A fresh, empty arena, in memory.
    ///
    /// # Errors
    /// As for [`Arena::create`].
    pub fn create_for(whose: &Identity) -> Result<Arena, Fault> {
        let memory = Memory::map(sealed()?)?;
        identity::write(&memory, whose);
        Ok(Arena(Arc::new(memory)))
    }

    /// The arena behind a descriptor that another process made.
    ///
    /// # Errors
    /// `Fault::Foreign` when it is something else, `Fault::Version` when it is of another version.
    pub fn attach(fd: OwnedFd) -> Result<Arena, Fault> {
        let size = size_of_file(&fd)?;
        if size != SIZE as u64 {
            return Err(of_another_version(&fd)
                .unwrap_or_else(|| Fault::Foreign(format!("{size} bytes long, not {SIZE}"))));
        }
        let memory = Memory::map(fd)?;
        identity::read(&memory)?;
        // A memory file that can still be cut short would be a SIGBUS for whoever looks behind its end.
        if memory.is_file() != memory.says_file() {
            return Err(Fault::Foreign("its size is not sealed".into()));
        }
        Ok(Arena(Arc::new(memory)))
    }

    /// Whose it is.
    ///
    /// # Errors
    /// `Fault::Foreign` when its head was damaged since it was attached.
    pub fn identity(&self) -> Result<Identity, Fault> {
        identity::read(&self.0)
    }

    /// The memory file: pass it to a worker.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

/// A memory file of the arena's size, locked, that nobody can cut short.
#[cfg(not(miri))]
fn sealed() -> Result<OwnedFd, Fault> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string; the result is checked.
    let fd = unsafe { libc::memfd_create(c"mprun-queues".as_ptr(), flags) };
    if fd < 0 {
        return Err(Fault::system("failed to create queue memory (memfd_create)"));
    }
    // SAFETY: memfd_create just made this descriptor, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_size(&fd)?;
    // Nobody may shrink the file under a mapping: that would be SIGBUS for all.
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: a plain system call on an own descriptor.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
        return Err(Fault::system("failed to seal queue memory"));
    }
    super::claim::lock(&fd)?;
    Ok(fd)
}

pub(super) fn set_size(fd: &OwnedFd) -> Result<(), Fault> {
    // SAFETY: a plain system call on an own descriptor.
    match unsafe { libc::ftruncate(fd.as_raw_fd(), SIZE as libc::off_t) } {
        0 => Ok(()),
        _ => Err(Fault::system("failed to size queue memory (is `ulimit -f` set?)")),
    }
}

pub(super) fn size_of_file(fd: &OwnedFd) -> Result<u64, Fault> {
    // SAFETY: stat is plain data; fstat fills it, and its result is checked.
    let (ok, stat) = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(fd.as_raw_fd(), &mut stat) == 0, stat)
    };
    if !ok {
        return Err(Fault::system("failed to look at queue memory"));
    }
    Ok(stat.st_size.unsigned_abs())
}

/// The size is part of the layout, so another version's may differ: its first words tell.
fn of_another_version(fd: &OwnedFd) -> Option<Fault> {
    let file = std::fs::File::from(fd.try_clone().ok()?);
    let mut words = [[0; 8]; 2];
    file.read_exact_at(words.as_flattened_mut(), 0).ok()?;
    let [magic, version] = words.map(u64::from_le_bytes);
    let fault = identity::unknown(1, version);
    (magic == layout::MAGIC && version != layout::VERSION).then_some(fault)
}

/// The mapped file.
pub(super) struct Memory {
    base: NonNull<u8>,
    pub(super) fd: OwnedFd,
    file: bool,
}

// SAFETY: the mapping lives as long as the value, is never moved, and is only touched through atomics and through
// blocks whose one owner the queue's own rules decide.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    #[cfg(not(miri))]
    pub fn map(fd: OwnedFd) -> Result<Memory, Fault> {
        let (protect, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: a new mapping at an address of the kernel's choice; the result is checked.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protect, flags, fd.as_raw_fd(), 0) };
        let base = match NonNull::new(at.cast::<u8>()) {
            Some(base) if at != libc::MAP_FAILED => base,
            _ => {
                return Err(Fault::system(
                    "failed to map queue memory (address space only: is `ulimit -v` set?)",
                ));
            }
        };
        // A forked child has no business here before it execs, and a core dump none with a sparse terabyte.
        // SAFETY: the range is the mapping made above.
        unsafe {
            libc::madvise(at, SIZE, libc::MADV_DONTFORK);
            libc::madvise(at, SIZE, libc::MADV_DONTDUMP);
        }
        // SAFETY: a plain system call on an own descriptor.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        let file = seals < 0 || seals & libc::F_SEAL_SHRINK == 0;
        Ok(Memory { base, fd, file })
    }

    #[cfg(miri)]
    pub(super) fn at(base: NonNull<u8>, fd: OwnedFd) -> Memory {
        Memory { base, fd, file: false }
    }

    #[cfg(miri)]
    pub(super) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Whether its pages lie in a file system, and can run out there; else it is sealed memory.
    #[inline]
    pub fn is_file(&self) -> bool {
        self.file
    }

    /// Whether it was made to be a file.
    fn says_file(&self) -> bool {
        self.load(layout::IDENTITY + layout::identity::IN_FILE) != 0
    }

    /// Writes the whole file to the disk.
    pub fn sync_file(&self) -> Result<(), Fault> {
        // SAFETY: a plain system call on an own descriptor.
        match unsafe { libc::fsync(self.fd.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(Fault::system("failed to write queue memory to the disk")),
        }
    }

    /// Writes a range of the mapping, from the start of a page on, to the disk.
    pub fn sync(&self, at: usize, bytes: usize) -> Result<(), Fault> {
        debug_assert!(at + bytes <= SIZE);
        // SAFETY: inside the mapping; it changes nothing there.
        match unsafe { libc::msync(self.base.as_ptr().add(at).cast(), bytes, libc::MS_SYNC) } {
            0 => Ok(()),
            _ => Err(Fault::system("failed to write queue memory to the disk")),
        }
    }

    #[inline]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at < HEAP && at.is_multiple_of(8), "offset {at:#x} is no control word");
        // SAFETY: inside the mapping (HEAP < SIZE), aligned, and only ever accessed as an atomic word.
        unsafe { self.base.add(at).cast::<AtomicU64>().as_ref() }
    }

    #[inline]
    pub fn word32(&self, at: usize) -> &AtomicU32 {
        inject::look();
        assert!(at < HEAP && at.is_multiple_of(4), "offset {at:#x} is no control word");
        // SAFETY: as in `word`.
        unsafe { self.base.add(at).cast::<AtomicU32>().as_ref() }
    }

    #[inline]
    pub fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    /// Every store to shared words passes here: the places to die of the crash tests.
    #[inline]
    pub fn store(&self, at: usize, value: u64) {
        inject::step();
        self.word(at).store(value, Ordering::Relaxed);
    }

    #[inline]
    pub fn copy(&self, from: usize, to: usize, bytes: usize) {
        for i in (0..bytes).step_by(8) {
            self.store(to + i, self.load(from + i));
        }
    }

    /// The inline payload in a descriptor at `at`.
    #[inline]
    pub fn inline(&self, at: usize, len: usize) -> &[u8] {
        let word: *const u8 = self.word(at).as_ptr().cast_const().cast();
        // SAFETY: a descriptor's first word; `len` is cut to its 8 bytes. It belongs to the caller's lease, so
        // nobody who keeps to the rules writes it meanwhile.
        unsafe { std::slice::from_raw_parts(word, len.min(8)) }
    }

    /// The payload of `len` bytes in the block at `offset`.
    #[inline]
    pub fn block(&self, offset: u64, len: usize) -> Result<&[u8], Fault> {
        let at = self.block_start(offset, len)?;
        // SAFETY: `block_start` checked that offset .. offset + len is inside the heap. The block belongs to the
        // caller's lease, so nobody who keeps to the rules writes it meanwhile.
        Ok(unsafe { std::slice::from_raw_parts(at.as_ptr(), len) })
    }

    /// Lets `fill` write a payload into a block that the caller has reserved.
    #[inline]
    pub fn fill(&self, offset: u64, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
        let to = self.block_start(offset, len)?;
        inject::step();
        // SAFETY: as in `block`; the reserved block is the caller's alone, and the slice ends with this call.
        fill(unsafe { std::slice::from_raw_parts_mut(to.as_ptr(), len) });
        Ok(())
    }

    /// Copies a payload from one block into another that the caller has reserved.
    pub fn duplicate(&self, from: u64, to: u64, len: usize) -> Result<(), Fault> {
        let (from, to) = (self.block_start(from, len)?, self.block_start(to, len)?);
        inject::step();
        // SAFETY: as in `block` and `fill`. Should both be the same block, which only damage could bring about, the copy
        // allows for it.
        unsafe { from.copy_to(to, len) };
        Ok(())
    }

    #[inline]
    fn block_start(&self, offset: u64, len: usize) -> Result<NonNull<u8>, Fault> {
        let class = class_of_block(offset)?;
        if len as u64 > block_size(class) {
            return Err(Fault::damaged("an item's length", offset, len as u64));
        }
        // SAFETY: `class_of_block` found it inside the heap, which is inside the mapping.
        Ok(unsafe { self.base.add(offset as usize) })
    }

    /// Where an offset is: not to be followed unless it was checked.
    #[inline]
    pub fn address(&self, at: usize) -> *const u8 {
        self.base.as_ptr().cast_const().wrapping_add(at)
    }

    /// Writes text into control memory, byte by byte.
    pub fn write_text(&self, at: usize, text: &[u8]) {
        for (i, chunk) in text.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.store(at + i * 8, u64::from_le_bytes(word));
        }
    }

    pub fn read_text(&self, at: usize, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|i| self.load(at + i * 8).to_le_bytes());
        words.take(len).collect()
    }

    /// Gives the pages of a range back to the system; they read as zero afterwards.
    pub fn discard(&self, at: usize, bytes: usize) {
        debug_assert!(at + bytes <= SIZE);
        #[cfg(miri)]
        return self.zero(at, bytes);
        // SAFETY: inside the mapping; the caller owns the range, whose content nobody needs any more.
        #[cfg(not(miri))]
        unsafe {
            libc::madvise(self.base.as_ptr().add(at).cast(), bytes, libc::MADV_REMOVE)
        };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` and nothing borrowed from it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), SIZE) };
    }
}
