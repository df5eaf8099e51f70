//! Descriptors that a process was started with, at agreed numbers: a worker by the supervisor, the supervisor by a
//! service manager.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that have an owner by now.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// So many can be taken: the numbers from 3 up.
pub const MOST: u32 = 61;

/// Takes an inherited descriptor into ownership; programs that a stage starts don't inherit it. Once per number.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    assert!((3..64).contains(&number), "{number} is no number agreed on");
    // SAFETY: F_GETFD reads a flag of the descriptor, if there is one.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => return Err(io::Error::last_os_error()),
        // What this process opens is closed on exec; what came through an exec can't be.
        flags if flags & libc::FD_CLOEXEC != 0 => {
            return Err(io::Error::other(format!("descriptor {number} was not inherited")));
        }
        _ => {}
    }
    // SAFETY: F_SETFD changes a flag of the descriptor, which is there.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    if TAKEN.fetch_or(1 << number, Ordering::Relaxed) & (1 << number) != 0 {
        return Err(io::Error::other(format!("descriptor {number} has an owner already")));
    }
    // SAFETY: it is open (the calls above succeeded), and it has no other owner: it was open before this program began,
    // and each number is taken only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor that a test has received by a message.
#[cfg(test)]
pub fn owned_for_tests(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has made it for the test's `recvmsg`, and nothing else knows of it.
    unsafe { OwnedFd::from_raw_fd(number) }
}
