//! A program that was started: its end, its group, and what it leaves behind.

use super::orphans;
use crate::sys::wait::{self, Exit, SignalNumber};
use crate::sys::{group, proc_table};
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A child process, until it is reaped. Its group has its pid's number.
#[derive(Debug)]
pub(crate) struct RunningProgram {
    pid: u32,
    pidfd: OwnedFd,
}

impl RunningProgram {
    pub(super) fn new(pid: u32, pidfd: OwnedFd) -> RunningProgram {
        RunningProgram { pid, pidfd }
    }

    /// Its process, and the number of its group.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to the program and all that it started and that stayed in its group.
    pub(crate) fn signal(&self, signal: impl Into<SignalNumber>) {
        // Its group can only be gone, which is what was wanted.
        let _ = group::signal_group(self.pid, signal);
    }

    /// How it ended, if it has. Until [`RunningProgram::reap`] its number stays its own.
    pub(crate) fn ended(&self) -> io::Result<Option<Exit>> {
        wait::ended(self.pidfd.as_raw_fd())
    }

    /// Ends it for good, once it has ended. From now on its orphans are left to [`sweep`].
    pub(crate) fn reap(&self) -> io::Result<()> {
        orphans::clear_program();
        wait::reap(self.pid)
    }
}

/// Readable once the program has ended.
impl AsFd for RunningProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Kills and reaps every child there is, and what those leave behind, down to the last. For a process that has adopted
/// the orphans of a program that is over. Returns how many there were.
pub(crate) fn sweep() -> usize {
    let mut swept = 0;
    // A look costs one system call; mostly there is nothing more to it.
    while wait::has_children() {
        for pid in proc_table::children_of(std::process::id()) {
            let _ = group::signal_process(pid, Signal::SIGKILL);
        }
        let Ok(reaped) = wait::reap_any() else { break };
        swept += reaped;
    }
    swept
}
