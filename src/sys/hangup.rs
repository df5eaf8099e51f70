//! Whether the other end of a socket is gone for good, told as an event.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An epoll of its own, for the hang-up alone: by tokio's registration of the socket itself a half that is closed is
/// readable for ever, and so says nothing of the other half.
pub(crate) struct Hangup(AsyncFd<OwnedFd>);

impl Hangup {
    /// Watches a connected socket.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn of(stream: impl AsFd) -> io::Result<Hangup> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // A hang-up and an error are told in any case.
        epoll.add(stream, EpollEvent::new(EpollFlags::empty(), 0))?;
        // SAFETY: the descriptor is the epoll's own. It is given away here, and nothing else knows its number.
        let events = unsafe { AsyncFd::register_with_interest(epoll.0, Interest::READABLE)? };
        Ok(Hangup(events))
    }

    /// Returns once both halves are closed.
    pub(crate) async fn wait(&self) {
        // It fails only when the runtime is gone, and this future with it.
        let _ = self.0.readable().await;
    }
}
