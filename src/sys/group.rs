//! Signals to processes and process groups. A process that is gone already is not an error: it is what was wanted.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io;

/// To one process.
pub(crate) fn signal_process(pid: u32, signal: Signal) -> io::Result<()> {
    gone_is_fine(kill(raw(pid), signal))
}

/// To every process of the group that `leader` leads.
pub(crate) fn signal_group(leader: u32, signal: Signal) -> io::Result<()> {
    gone_is_fine(killpg(raw(leader), signal))
}

fn raw(pid: u32) -> Pid {
    // A pid of the kernel is at most 2^22. 0 and 1 would mean "my own group" and "everybody": never sent.
    let pid = i32::try_from(pid).unwrap_or(0);
    Pid::from_raw(if pid > 1 { pid } else { i32::MAX })
}

fn gone_is_fine(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
