//! Signals to processes and process groups. A process that is gone already is not an error: it is what was wanted.

use super::wait::SignalNumber;
use nix::errno::Errno;
use std::io;

/// To one process.
pub(crate) fn signal_process(pid: u32, signal: impl Into<SignalNumber>) -> io::Result<()> {
    // SAFETY: it takes numbers only. That of nix knows no real-time signals.
    gone_is_fine(unsafe { libc::kill(raw(pid), signal.into().0) })
}

/// To every process of the group that `leader` leads.
pub(crate) fn signal_group(leader: u32, signal: impl Into<SignalNumber>) -> io::Result<()> {
    // SAFETY: as above.
    gone_is_fine(unsafe { libc::killpg(raw(leader), signal.into().0) })
}

fn raw(pid: u32) -> i32 {
    // A pid of the kernel is at most 2^22. 0 and 1 would mean "my own group" and "everybody": never sent.
    let pid = i32::try_from(pid).unwrap_or(0);
    if pid > 1 { pid } else { i32::MAX }
}

fn gone_is_fine(result: i32) -> io::Result<()> {
    match Errno::result(result) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
