//! Descriptors that a worker gets from the supervisor at agreed numbers.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that have an owner by now.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes an inherited descriptor into ownership; programs that a stage starts don't inherit it. Once per number.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    assert!((3..64).contains(&number), "{number} is no number agreed on");
    // SAFETY: F_GETFD and F_SETFD read and change a flag of the descriptor, if there is one.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    if TAKEN.fetch_or(1 << number, Ordering::Relaxed) & (1 << number) != 0 {
        return Err(io::Error::other(format!("descriptor {number} has an owner already")));
    }
    // SAFETY: it is open (the call above succeeded), and it has no other owner: these numbers are used for nothing but
    // what the supervisor passes, and each is taken only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
