//! One program replaced by another in the same process: its children, its pid and what is passed on stay.

use super::open_files;
use super::wait::{self, Exit};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::execve;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The unit of a poll's timeout.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Between two checks of a child whose end can't be waited for.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The next program gets this descriptor, under this number.
pub(crate) fn pass_on(fd: impl AsFd) -> io::Result<RawFd> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(fd.as_fd().as_raw_fd())
}

/// Takes that back.
pub(crate) fn keep_back(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map(drop)?)
}

/// Replaces this program. It only returns if that failed: then all is as before.
///
/// Call it from the main thread: its children stay its children, and none of them gets the signal of its parent's death.
pub(crate) fn replace(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
) -> io::Result<Infallible> {
    open_files::give_back();
    let failed = execve(program, arguments, environment);
    open_files::raise()?;
    Ok(failed?)
}

/// The hidden verb by which this program executes another one, in a process of its own: the other one may be on a disk
/// that is gone, and then the exec blocks its caller.
pub(crate) const VERB: &str = "__exec";

/// What this program says before it ends when there is nothing to execute.
pub(crate) const NOT_EXECUTED: &str = "failed to execute the program";

/// Executes the program that the arguments behind the verb name, with them as its own arguments from number 0 on.
pub(crate) fn run() -> ExitCode {
    let words: Vec<CString> =
        std::env::args_os().skip(2).filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| CString::new([name.into_vec(), value.into_vec()].join(&b'=')).ok())
        .collect();
    let [program, arguments @ ..] = words.as_slice() else { return ExitCode::from(2) };
    let Err(errno) = execve(program, arguments, &environment);
    // Standard error is a memory file: if it takes nothing, the exit code has to do.
    let _ = writeln!(io::stderr(), "{NOT_EXECUTED}: {} ({errno:?})", errno.desc());
    ExitCode::from(127)
}

/// How a child has ended; `None`: not within `limit`. It is still to be reaped.
pub(crate) fn wait_within(pid: u32, limit: Duration) -> io::Result<Option<Exit>> {
    let watch = wait::watch(pid);
    let until = Instant::now() + limit;
    loop {
        if let Some(exit) = wait::child_ended(pid)? {
            return Ok(Some(exit));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        match &watch {
            Ok(watch) => sleep_on(watch, left)?,
            // A sandbox denies it: the child is polled.
            Err(_) => std::thread::sleep(left.min(CHECK_INTERVAL)),
        }
    }
}

fn sleep_on(watch: &OwnedFd, left: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(left + MILLISECOND).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
