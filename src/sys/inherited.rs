//! Descriptors that came through an exec at agreed numbers: to a worker from the supervisor, to the supervisor from a
//! service manager or from the program before it.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

/// Descriptors from number 3 on that a service manager may pass.
pub(crate) const MAX_COUNT: u32 = 61;

/// Takes an inherited descriptor into ownership, once; programs that a stage starts don't inherit it.
pub(crate) fn take(number: RawFd) -> io::Result<OwnedFd> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: F_GETFD reads a flag of the descriptor, if there is one.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => return Err(io::Error::last_os_error()),
        // What this program opens is closed on exec; what came through an exec can't be.
        flags if flags & libc::FD_CLOEXEC != 0 => {
            return Err(io::Error::other(format!("descriptor {number} was not inherited")));
        }
        _ => {}
    }
    // SAFETY: it is open, and was before this program began. It has no other owner: what is taken here is closed on exec
    // from then on, which the check above sees.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// A descriptor that a test has received by a message.
#[cfg(test)]
pub fn owned_for_tests(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has made it for the test's `recvmsg`, and nothing else knows of it.
    unsafe { OwnedFd::from_raw_fd(number) }
}
