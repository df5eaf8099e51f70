//! What became of child processes: ended, or stopped. Written on `waitid` itself, because a child that a real-time
//! signal killed has no name in the usual wrappers, and a wait that fails on it would never get past it.

use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A change in the life of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildChange {
    /// It is dead, and waits to be reaped: until [`reap`] its pid and its group's number belong to it.
    Ended(u32, Exit),
    /// A signal stopped it; reported once per stop.
    Stopped(u32),
    /// It was continued after a stop; reported once.
    Continued(u32),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal killed it.
    Signal(SignalNumber),
}

/// The number of a signal, shown by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SignalNumber(pub i32);

impl fmt::Display for SignalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) => match self.0 - libc::SIGRTMIN() {
                0 => f.write_str("SIGRTMIN"),
                1.. => write!(f, "SIGRTMIN+{}", self.0 - libc::SIGRTMIN()),
                _ => write!(f, "signal {}", self.0),
            },
        }
    }
}

impl From<nix::sys::signal::Signal> for SignalNumber {
    fn from(signal: nix::sys::signal::Signal) -> SignalNumber {
        SignalNumber(signal as i32)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => signal.fmt(f),
        }
    }
}

/// What a poll of the children found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildPoll {
    /// One of them changed.
    Changed(ChildChange),
    /// There are children, and none has changed.
    Quiet,
    /// There are no children.
    Childless,
}

/// Children that have ended; without waiting, and without reaping them.
const PEEK: i32 = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;

/// Whether the kernel, or a sandbox around this process, lets it wait for its children at all. Without that a run could
/// neither restart nor stop anything.
pub(crate) fn probe() -> io::Result<()> {
    match waitid(libc::P_ALL, 0, PEEK) {
        Err(error) if error.raw_os_error() != Some(libc::ECHILD) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The next change of any child, without waiting. A dead child is reported again and again until [`reap`].
pub(crate) fn poll_children() -> io::Result<ChildPoll> {
    any_child(PEEK | libc::WSTOPPED | libc::WCONTINUED)
}

/// Ends a dead child for good: its pid may be used anew after this.
pub(crate) fn reap(pid: u32) -> io::Result<()> {
    waitid(libc::P_PID, pid, libc::WEXITED).map(drop)
}

/// How the child behind a pidfd ended, if it has; without waiting, and without reaping it.
pub(crate) fn ended(pidfd: RawFd) -> io::Result<Option<Exit>> {
    peek(libc::P_PIDFD, pidfd.unsigned_abs())
}

/// The same of a child that is known by its number: until it is reaped no other process has it.
pub(crate) fn child_ended(pid: u32) -> io::Result<Option<Exit>> {
    peek(libc::P_PID, pid)
}

fn peek(kind: libc::idtype_t, id: u32) -> io::Result<Option<Exit>> {
    let info = waitid(kind, id, PEEK)?;
    // SAFETY: as in `any_child`.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then_some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        _ => Exit::Signal(SignalNumber(status)),
    }))
}

/// A descriptor of a child that becomes readable when it has ended.
pub(crate) fn watch(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above made this descriptor (closed on exec), and nothing else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Whether this process has a child, be it a dead one.
pub(crate) fn has_children() -> bool {
    waitid(libc::P_ALL, 0, PEEK).is_ok()
}

/// A child that has ended and is not reaped, if there is any. Safe in a signal handler.
pub(crate) fn dead_child() -> Option<u32> {
    let info = waitid(libc::P_ALL, 0, PEEK).ok()?;
    // SAFETY: as in `any_child`.
    let pid = unsafe { info.si_pid() };
    (pid != 0).then_some(pid.unsigned_abs())
}

/// Waits for the end of any one child, reaps it and all others that have ended by then. Returns how many.
pub(crate) fn reap_any() -> io::Result<usize> {
    waitid(libc::P_ALL, 0, libc::WEXITED)?;
    let mut reaped = 1;
    loop {
        match waitid(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG) {
            // SAFETY: as in `any_child`.
            Ok(info) if unsafe { info.si_pid() } != 0 => reaped += 1,
            Ok(_) => return Ok(reaped),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(reaped),
            Err(error) => return Err(error),
        }
    }
}

fn any_child(options: i32) -> io::Result<ChildPoll> {
    let info = match waitid(libc::P_ALL, 0, options) {
        Ok(info) => info,
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(ChildPoll::Childless),
        Err(error) => return Err(error),
    };
    // SAFETY: waitid fills these fields for every event it reports, and the zeroes put there before stand for none.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(ChildPoll::Quiet);
    }
    let pid = pid.unsigned_abs();
    let change = match info.si_code {
        libc::CLD_EXITED => ChildChange::Ended(pid, Exit::Code(status)),
        libc::CLD_KILLED | libc::CLD_DUMPED => ChildChange::Ended(pid, Exit::Signal(SignalNumber(status))),
        // Only a peek until now: take the report, or the next poll finds it again.
        libc::CLD_CONTINUED => {
            waitid(libc::P_PID, pid, libc::WCONTINUED | libc::WNOHANG)?;
            ChildChange::Continued(pid)
        }
        _ => {
            waitid(libc::P_PID, pid, libc::WSTOPPED | libc::WNOHANG)?;
            ChildChange::Stopped(pid)
        }
    };
    Ok(ChildPoll::Changed(change))
}

fn waitid(kind: libc::idtype_t, id: u32, options: i32) -> io::Result<libc::siginfo_t> {
    loop {
        // SAFETY: all zeroes is a valid siginfo_t, and the kernel writes nothing else than one.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (libc::waitid(kind, id, &mut info, options), info)
        };
        if result == 0 {
            return Ok(info);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_shown_by_name_and_unknown_ones_by_number() {
        assert_eq!(SignalNumber(libc::SIGKILL).to_string(), "SIGKILL");
        assert_eq!(SignalNumber(libc::SIGRTMIN()).to_string(), "SIGRTMIN");
        assert_eq!(SignalNumber(libc::SIGRTMIN() + 3).to_string(), "SIGRTMIN+3");
        assert_eq!(SignalNumber(32).to_string(), "signal 32");
        assert_eq!(Exit::Code(3).to_string(), "exit code 3");
    }
}
