//! An arena belongs to one run at a time: whoever of it lives holds the lock of its open file.
//!
//! The lock (`flock`) sits on the *open file description* that supervisor, workers and guardian share. The kernel
//! takes it away when the last of them is gone, however they died, and not before: so who gets the lock knows that
//! nobody of an earlier run is left. A descriptor for safe keeping elsewhere ([`Arena::share`]) is another open file
//! of the same memory, and holds no lock.

use super::Fault;
use super::identity::{self, User};
use super::memory::Arena;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often a lock is asked for that somebody has. The kernel knows no deadline for it, and this is only waited for
/// while the processes of a dead supervisor die.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Takes the lock of this open file, or says that somebody has it.
pub(super) fn lock(fd: &OwnedFd) -> Result<(), Fault> {
    loop {
        // SAFETY: a plain system call on an own descriptor.
        if unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        match std::io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINTR) => {}
            error if error.raw_os_error() == Some(libc::EWOULDBLOCK) => return Err(Fault::InUse),
            error => return Err(Fault::System("failed to lock queue memory", error)),
        }
    }
}

/// Takes the lock, waiting so long for the processes of an earlier run. `lives` is asked once, if somebody has it:
/// whether its supervisor lives and so will keep it; else it may end what is left of that run.
pub(super) fn lock_after(
    fd: &OwnedFd,
    patience: Duration,
    lives: &mut dyn FnMut(User) -> bool,
) -> Result<(), Fault> {
    match lock(fd) {
        Err(Fault::InUse) if identity::user_of_file(fd).is_some_and(lives) => return Err(Fault::InUse),
        Err(Fault::InUse) => {}
        result => return result,
    }
    let limit = Instant::now() + patience;
    loop {
        match lock(fd) {
            Err(Fault::InUse) if Instant::now() < limit => std::thread::sleep(ASK_AGAIN),
            result => return result,
        }
    }
}

/// Another open file of what `fd` is.
fn reopen(fd: impl AsFd) -> Result<OwnedFd, Fault> {
    let path = CString::new(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).unwrap_or_default();
    // SAFETY: the path is a C string; the result is checked.
    let new = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if new < 0 {
        return Err(Fault::system("failed to open queue memory anew (is /proc there?)"));
    }
    // SAFETY: open just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

impl Arena {
    /// A descriptor of the same memory for safe keeping, which does not count as use.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn share(&self) -> Result<OwnedFd, Fault> {
        reopen(self.fd())
    }

    /// The arena behind a descriptor that was kept safe, for this run alone. Waits `patience` for the processes of an
    /// earlier run to be gone; `lives`: whether its supervisor still lives (asked if anybody has it open).
    ///
    /// # Errors
    /// As for [`Arena::attach`]; `Fault::InUse` when they are not gone by then.
    pub fn claim(
        kept: BorrowedFd<'_>,
        patience: Duration,
        lives: &mut dyn FnMut(User) -> bool,
    ) -> Result<Arena, Fault> {
        let own = reopen(kept)?;
        lock_after(&own, patience, lives)?;
        Arena::attach(own)
    }
}
