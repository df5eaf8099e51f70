//! Waiting for a descriptor so that an order still gets through.
//!
//! A worker keeps SIGUSR1 blocked; it is let in only while `ppoll` waits. One that comes a moment before the wait
//! stays pending and ends it at once, so none is missed.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll, ppoll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::time::TimeSpec;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to read, or the end of it.
    Readable,
    /// The time is up.
    TimeUp,
    /// By a signal: an order may have come.
    Signal,
}

extern "C" fn do_nothing(_signal: libc::c_int) {}

/// Makes SIGUSR1 a mere wake-up for [`wait`], blocked otherwise. Called once, before the first wait.
pub(crate) fn prepare() -> io::Result<()> {
    SigSet::from(Signal::SIGUSR1).thread_block()?;
    // SAFETY: a handler that does nothing is safe in every context.
    Ok(unsafe { handle(Signal::SIGUSR1, SigHandler::Handler(do_nothing)) }?)
}

/// # Safety
/// The handler must be safe in every context.
unsafe fn handle(signal: Signal, handler: SigHandler) -> nix::Result<()> {
    // SAFETY: the contract of this function.
    unsafe { sigaction(signal, &SigAction::new(handler, SaFlags::empty(), SigSet::empty())) }.map(drop)
}

/// SIGTERM came.
static TERMINATED: AtomicBool = AtomicBool::new(false);

extern "C" fn set_terminated(_signal: libc::c_int) {
    TERMINATED.store(true, Ordering::SeqCst);
}

/// From now on SIGTERM doesn't end this process: it ends a wait, and [`is_terminated`] is true.
pub(crate) fn hold_termination() -> io::Result<()> {
    SigSet::from(Signal::SIGTERM).thread_block()?;
    // SAFETY: the handler only stores to an atomic.
    Ok(unsafe { handle(Signal::SIGTERM, SigHandler::Handler(set_terminated)) }?)
}

/// From now on SIGTERM ends this process at once, as it does by default; so does one that came meanwhile.
pub(crate) fn release_termination() -> io::Result<()> {
    // SAFETY: no handler runs.
    unsafe { handle(Signal::SIGTERM, SigHandler::SigDfl) }?;
    SigSet::from(Signal::SIGTERM).thread_unblock()?;
    Ok(())
}

/// Whether SIGTERM has come; seen by waiting.
pub(crate) fn is_terminated() -> bool {
    TERMINATED.load(Ordering::SeqCst)
}

thread_local! {
    /// See [`mask_of_waits`].
    static MASK: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// The thread's signals but for SIGUSR1 and SIGTERM, which are let in. Asked for once: nothing else of it ever changes.
fn mask_of_waits() -> io::Result<SigSet> {
    if let Some(mask) = MASK.get() {
        return Ok(mask);
    }
    let mut mask = SigSet::thread_get_mask()?;
    mask.remove(Signal::SIGUSR1);
    mask.remove(Signal::SIGTERM);
    MASK.set(Some(mask));
    Ok(mask)
}

/// Waits until one of the descriptors is ready, until then, or until an order or SIGTERM comes. The time up is no
/// descriptor ready.
pub(crate) fn wait_any(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
    poll_until(fds, until).map(drop)
}

fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<Woken> {
    let mask = mask_of_waits()?;
    let left = until.map(|until| TimeSpec::from(until.saturating_duration_since(Instant::now())));
    match ppoll(fds, left, Some(mask)) {
        Ok(0) => Ok(Woken::TimeUp),
        Ok(_) => Ok(Woken::Readable),
        Err(Errno::EINTR) => Ok(Woken::Signal),
        Err(errno) => {
            let why = format!("failed to wait for a descriptor (ppoll): {errno}");
            Err(io::Error::new(io::Error::from(errno).kind(), why))
        }
    }
}

/// Whether [`wait_any`] and [`wait`] can wait at all.
pub(crate) fn probe() -> io::Result<()> {
    match ppoll(&mut [], Some(TimeSpec::from(Duration::ZERO)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits until there is something to read, until then, or until an order is given.
pub(crate) fn wait(fd: BorrowedFd<'_>, until: Option<Instant>) -> io::Result<Woken> {
    poll_until(&mut [PollFd::new(fd, PollFlags::POLLIN)], until)
}

/// Whether a read would not wait.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], 0u8)? > 0)
}

/// Bytes (with the kernel's own around them) that were sent and are not read yet.
pub(crate) fn bytes_unread(socket: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ, writes one int.
    unsafe { ask_for_int(socket, libc::TIOCOUTQ) }
}

/// Bytes that wait in a pipe.
pub(crate) fn bytes_waiting(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: FIONREAD writes one int.
    unsafe { ask_for_int(fd, libc::FIONREAD) }
}

/// # Safety
/// For requests that write one int.
unsafe fn ask_for_int(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the address is that of a live int.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut bytes) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(bytes as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{pipe, write};
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn what_was_sent_is_unread_until_it_is_read() {
        let (a, b) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert_eq!(bytes_unread(a.as_fd()).unwrap(), 0);
        a.send(b"abc").unwrap();
        assert!(bytes_unread(a.as_fd()).unwrap() >= 3);
        b.recv(&mut [0; 8]).unwrap();
        assert_eq!(bytes_unread(a.as_fd()).unwrap(), 0);
    }

    #[test]
    fn a_wait_ends_by_data_by_time_or_by_an_order() {
        prepare().unwrap();
        let (reader, writer) = pipe().unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(wait(reader.as_fd(), Some(soon)).unwrap(), Woken::TimeUp);
        nix::sys::signal::raise(Signal::SIGUSR1).unwrap(); // blocked, so it stays pending
        assert_eq!(wait(reader.as_fd(), None).unwrap(), Woken::Signal);
        write(&writer, b"abc").unwrap();
        assert_eq!(wait(reader.as_fd(), None).unwrap(), Woken::Readable);
        assert_eq!(bytes_waiting(reader.as_fd()).unwrap(), 3);
        assert!(is_readable(reader.as_fd()).unwrap());
    }
}
