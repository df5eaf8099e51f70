//! The arena in Miri, which knows neither memory files nor robust futexes: one process, its threads, plain memory.
//!
//! Everything above it is the real thing: every word, every block, every slice that is handed out.

use super::fault::Fault;
use super::layout::SIZE;
use super::memory::Memory;
use super::place::Area;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// A descriptor that stands for the file.
pub(super) fn sealed() -> Result<OwnedFd, Fault> {
    let (reader, _) = std::io::pipe().map_err(|error| Fault::System("failed to make a pipe", error))?;
    Ok(reader.into())
}

/// The number of a thread that takes the lock.
pub(crate) fn tid() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Memory {
    pub fn map(fd: OwnedFd) -> Result<Memory, Fault> {
        let (protect, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the system's choice; the result is checked.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protect, flags, -1, 0) };
        let base = NonNull::new(at.cast::<u8>()).filter(|_| at != libc::MAP_FAILED);
        let base = base.ok_or_else(|| Fault::system("failed to map queue memory"))?;
        Ok(Memory::at(base, fd))
    }

    /// What `discard` does to an area.
    pub(super) fn zero(&self, area: Area) {
        // SAFETY: inside the mapping; the caller owns the area.
        unsafe { self.base.as_ptr().add(area.start).write_bytes(0, area.bytes) };
    }
}
