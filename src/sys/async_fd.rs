//! Descriptors that tasks of an asynchronous runtime wait for.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// For a task that waits until there is something to read.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same descriptor as long as it lives, and closes it itself.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
