//! The pages of the arena's file: taken before they are written, written to the disk, and given back.

use super::fault::Fault;
use super::layout::SIZE;
use super::memory::Memory;
use super::place::Area;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use std::{fs::File, os::unix::fs::FileExt};

impl Memory {
    /// Makes certain that the pages of an area can be written: nothing to do in memory, on a disk it takes the room
    /// for them. The area must hold nothing yet.
    pub(crate) fn reserve(&self, area: Area) -> Result<(), Fault> {
        if !self.is_file() {
            return Ok(());
        }
        debug_assert!(area.start + area.bytes <= SIZE);
        loop {
            let (at, bytes) = (area.start as libc::off_t, area.bytes as libc::off_t);
            match fallocate(&self.fd, FallocateFlags::empty(), at, bytes) {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::EIO)) => {
                    return Err(Fault::DiskFull(area.bytes, error.into()));
                }
                // The file system, the kernel or a sandbox does not offer it: a write shows whether there is room.
                Err(_) => return self.fill_with_zeros(area),
            }
        }
    }

    /// For file systems that can't reserve.
    fn fill_with_zeros(&self, Area { start, bytes }: Area) -> Result<(), Fault> {
        let full = |error| Fault::DiskFull(bytes, error);
        let file = File::from(self.fd.try_clone().map_err(full)?);
        let zeros = vec![0; bytes.min(1 << 20)];
        for at in (start..start + bytes).step_by(zeros.len().max(1)) {
            let piece = &zeros[..zeros.len().min(start + bytes - at)];
            file.write_all_at(piece, at as u64).map_err(full)?;
        }
        Ok(())
    }

    /// Writes the whole file to the disk.
    pub(crate) fn sync_file(&self) -> Result<(), Fault> {
        nix::unistd::fsync(&self.fd).map_err(not_written)
    }

    /// Writes an area of the mapping that begins with a page to the disk.
    pub(crate) fn sync(&self, area: Area) -> Result<(), Fault> {
        debug_assert!(area.start + area.bytes <= SIZE);
        // SAFETY: inside the mapping; it changes nothing there.
        let result =
            unsafe { libc::msync(self.base.as_ptr().add(area.start).cast(), area.bytes, libc::MS_SYNC) };
        Errno::result(result).map(drop).map_err(not_written)
    }

    /// Gives the pages of an area back to the system; they read as zero afterwards.
    pub(crate) fn discard(&self, area: Area) {
        debug_assert!(area.start + area.bytes <= SIZE);
        #[cfg(miri)]
        return self.zero(area);
        // SAFETY: inside the mapping; the caller owns the range, whose content is not needed any more.
        #[cfg(not(miri))]
        unsafe {
            libc::madvise(self.base.as_ptr().add(area.start).cast(), area.bytes, libc::MADV_REMOVE)
        };
    }
}

fn not_written(error: Errno) -> Fault {
    Fault::System("failed to write queue memory to the disk", error.into())
}
