//! Descriptors that a program must not inherit: those that its own starter has left open. All that this program
//! opens itself is closed on exec from the beginning.
//!
//! For a child between fork (or clone) and exec: plain system calls only, no allocation.

use libc::{c_int, c_long, c_uint};
use std::ffi::CStr;

/// No more numbers than these are tried where neither the kernel nor `/proc` says which ones are in use; that takes some
/// 0.1 s.
const MAX_TRIED: u64 = 1 << 20;

/// From `first` up, every descriptor of this process is closed on exec.
///
/// `close_range` does it (Linux 5.11). Where the kernel does not know it or a sandbox denies it, by whatever error,
/// `/proc/self/fd` says what is open; and where that can't be read (no descriptor left to read it with), each number up
/// to the limit is tried.
///
/// # Safety
/// Only where no other thread of this process opens descriptors or relies on theirs: in a child before its exec.
pub(super) unsafe fn mark_from(first: c_int) {
    // By number, since not every libc has the wrapper.
    // SAFETY: it marks descriptors only.
    let marked =
        unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    // SAFETY: the contract of this function.
    if marked != 0 && unsafe { !mark_listed(first) } {
        // SAFETY: as above.
        unsafe { mark_up_to_limit(first) };
    }
}

/// False: the list could not be read to its end.
///
/// # Safety
/// As for [`mark_from`].
unsafe fn mark_listed(first: c_int) -> bool {
    // SAFETY: a plain system call with a string that ends with a zero byte.
    let folder = unsafe {
        libc::open(c"/proc/self/fd".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
    };
    if folder < 0 {
        return false;
    }
    let mut entries = Entries([0; ENTRIES]);
    let complete = loop {
        // SAFETY: the kernel writes at most that many bytes to the buffer.
        let read: c_long =
            unsafe { libc::syscall(libc::SYS_getdents64, folder, entries.0.as_mut_ptr(), ENTRIES) };
        match usize::try_from(read) {
            Ok(0) => break true,
            Ok(bytes) => entries.numbers(bytes).filter(|fd| *fd >= first).for_each(mark),
            Err(_) => break false,
        }
    };
    // SAFETY: it was opened above.
    unsafe { libc::close(folder) };
    complete
}

/// # Safety
/// As for [`mark_from`].
unsafe fn mark_up_to_limit(first: c_int) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the structure that it is given.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    let most = if known { limit.rlim_max.min(MAX_TRIED) } else { MAX_TRIED };
    (first..c_int::try_from(most).unwrap_or(c_int::MAX)).for_each(mark);
}

fn mark(fd: c_int) {
    // SAFETY: marks a descriptor, if there is one of that number.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

const ENTRIES: usize = 2048;

/// What `getdents64` writes: entries whose name is a number. Aligned as the kernel's structure.
#[repr(C, align(8))]
struct Entries([u8; ENTRIES]);

/// Where an entry's length (two bytes) and its name are in it.
const LENGTH: usize = 16;
const NAME: usize = 19;

impl Entries {
    fn numbers(&self, bytes: usize) -> impl Iterator<Item = c_int> {
        let mut rest = self.0.get(..bytes).unwrap_or_default();
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_ne_bytes([*rest.get(LENGTH)?, *rest.get(LENGTH + 1)?]));
            let name = CStr::from_bytes_until_nul(rest.get(NAME..length)?);
            rest = rest.get(length..)?;
            Some(name.ok().and_then(number))
        })
        .flatten()
    }
}

/// `None`: it is `.` or `..`. No library call: those may allocate.
fn number(name: &CStr) -> Option<c_int> {
    name.to_bytes().iter().try_fold(0 as c_int, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// A descriptor that is not closed on exec, out of the way of everything else in this process.
    fn foreign() -> OwnedFd {
        let null = File::open("/dev/null").unwrap();
        // SAFETY: the descriptor that is made has no other owner.
        unsafe { OwnedFd::from_raw_fd(libc::fcntl(null.as_raw_fd(), libc::F_DUPFD, 900)) }
    }

    fn is_marked(fd: &OwnedFd) -> bool {
        // SAFETY: reads a flag.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
    }

    #[test]
    fn foreign_descriptors_are_found_by_the_list_and_by_their_numbers() {
        let many: Vec<OwnedFd> = (0..200).map(|_| foreign()).collect();
        assert!(many.iter().all(|fd| !is_marked(fd)));
        // SAFETY: all descriptors of this process are closed on exec but for these, and those that other tests pass
        // on by number below 900.
        assert!(unsafe { mark_listed(900) });
        assert!(many.iter().all(is_marked));
        let last = foreign();
        // SAFETY: as above.
        unsafe { mark_up_to_limit(900) };
        assert!(is_marked(&last));
    }

    #[test]
    fn names_that_are_no_numbers_are_left_out() {
        assert_eq!(
            [c"..", c"", c"17", c"1x", c"99999999999"].map(number),
            [None, Some(0), Some(17), None, None]
        );
    }
}
