//! Starting a process: clone, set-up, exec. The only place that does: for workers, helpers (guardian, log writer, errands,
//! dead letters) and users' programs.
//!
//! The child is made by `clone(CLONE_VM | CLONE_VFORK)`, as `posix_spawn` does it: no page table is copied, and the
//! thread that starts it rests until the exec. Unlike with `posix_spawn` the child can do anything that a plain system
//! call does: drop privileges, set limits, ask to die with its parent. What fails there is left in a word of the parent's
//! memory, which the child shares, so no error pipe is needed.
//!
//! A user's program that the supervisor starts itself is made by a plain fork ([`fork_program`]): its folder or its file
//! may be on a disk that is gone, and then the thread that waits for its exec would wait, too. What fails there comes
//! through a pipe. Its orders lie beside its stack, for the [heap] is left out of that fork.
//!
//! All of this is sound for these reasons:
//! - The child has a [stack] of its own, and its own copies of descriptors, signal handlers and credentials.
//! - What it reads was made before the clone and outlives it: CLONE_VFORK holds the starting thread until the child is
//!   past its exec or its end.
//! - It writes to its stack, to the [word](Failure) of the failure and to the resting thread's errno only.
//! - Other threads of the parent run on, and one may hold the allocator's lock, or any lock. So the child makes plain
//!   system calls only (async-signal-safe ones): it allocates nothing, and libc keeps no state for it.
//! - All signals are blocked around the clone: a handler in the child would change the parent's memory. They are let in
//!   when every handler is gone.
//! - It ends by exec or `_exit`, not `exit`: buffers and exit handlers are the parent's.

mod argument_size;
mod child;
mod error;
mod heap;
mod orders;
mod orphans;
mod running;
mod spec;
mod stack;

pub(crate) use argument_size::{is_too_large, most_argument_bytes};
pub(crate) use error::{SpawnError, StartFailure, StartStep};
pub(crate) use orphans::adopt_orphans;
pub(crate) use running::{RunningProgram, sweep};
pub(crate) use spec::{FIRST_FREE, Limit, ProcessArgs, ProcessGroupMode, ProcessSpec, UserIds};

use super::{fd, wait};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use orders::{Failure, Orders, Report, Tables};
use stack::Stack;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

/// Starts a process once, and returns its pid when it is past its exec.
///
/// Call it from a thread that lives as long as the process, unless [`ProcessSpec::outlives_parent`]: for the kernel that
/// thread is the parent with which it dies.
pub(crate) fn spawn(spec: ProcessSpec, args: &ProcessArgs<'_>) -> Result<u32, SpawnError> {
    let starter = Starter::new(spec).map_err(|error| SpawnError::preparing(&error))?;
    let failure = Failure::default();
    let pid = starter.clone_child(args, None, Report::Word(&failure))?;
    failure.take().map_or(Ok(pid), |error| {
        // It is past its `_exit`, so this waits for nothing.
        let _ = wait::reap(pid);
        Err(error)
    })
}

/// As a [`Starter`] has it, of [`fork_program`]: the handlers of a process are in place before its first program. To ask for all of
/// them is 64 system calls.
static NOT_DEFAULT: OnceLock<Vec<i32>> = OnceLock::new();

/// Starts a user's program, and returns its pid at once: what becomes of its start is seen at the other end of `failure`,
/// which holds a [`StartFailure`], or nothing once the program has begun. The thread as for [`spawn`].
pub(crate) fn fork_program(
    spec: &ProcessSpec,
    args: &ProcessArgs<'_>,
    failure: BorrowedFd<'_>,
) -> Result<u32, SpawnError> {
    let preparing = |error| SpawnError::preparing(&error);
    // Not among the numbers that the program gets.
    let failure = fd::copy_above(failure, FIRST_FREE).map_err(preparing)?;
    let copies = copies(args.descriptors).map_err(preparing)?;
    let tables = Tables::new(spec, args, &copies);
    let not_default = NOT_DEFAULT.get_or_init(signals_not_default);
    let orders = Orders::new(spec, args, &tables, not_default, Report::Pipe(failure.as_raw_fd()));
    let stack = Stack::with_room(orders.size()).map_err(preparing)?;
    let orders = orders.copied_into(&stack);
    heap::left_out(|| clone(&stack, &orders, 0, None))
}

/// Starts processes of one spec, many times and fast. It belongs to the thread that made it, as [`spawn`] says.
pub(crate) struct Starter {
    spec: ProcessSpec,
    stack: Stack,
    /// Signals that this process handles or ignores. exec resets handlers by itself, but not what is ignored (SIGPIPE by
    /// the Rust runtime, SIGHUP by `nohup`).
    not_default: Vec<i32>,
}

impl Starter {
    /// Prepares what all starts share.
    pub(crate) fn new(spec: ProcessSpec) -> io::Result<Starter> {
        Ok(Starter { spec, stack: Stack::new()?, not_default: signals_not_default() })
    }

    /// Starts a user's program; returns once it is past its exec.
    pub(crate) fn start_program(&self, args: &ProcessArgs<'_>) -> Result<RunningProgram, SpawnError> {
        let mut pidfd: RawFd = -1;
        let failure = Failure::default();
        let pid = self.clone_child(args, Some(&mut pidfd), Report::Word(&failure))?;
        // SAFETY: the kernel has made this descriptor for us, and nothing else knows of it.
        let running = RunningProgram::new(pid, unsafe { OwnedFd::from_raw_fd(pidfd) });
        failure.take().map_or(Ok(()), |error| {
            let _ = running.reap(); // as in `spawn`
            Err(error)
        })?;
        Ok(running)
    }

    /// The pid of a child that has left this memory. With `pidfd` it is a program, whose orphans are adopted.
    fn clone_child(
        &self,
        args: &ProcessArgs<'_>,
        pidfd: Option<&mut RawFd>,
        report: Report<'_>,
    ) -> Result<u32, SpawnError> {
        let copies = copies(args.descriptors).map_err(|error| SpawnError::preparing(&error))?;
        let tables = Tables::new(&self.spec, args, &copies);
        let orders = Orders::new(&self.spec, args, &tables, &self.not_default, report);
        clone(&self.stack, &orders, libc::CLONE_VM | libc::CLONE_VFORK, pidfd)
    }
}

fn clone(
    stack: &Stack,
    orders: &Orders<'_>,
    shares: c_int,
    pidfd: Option<&mut RawFd>,
) -> Result<u32, SpawnError> {
    let is_program = pidfd.is_some();
    let pidfd = pidfd.map_or(ptr::null_mut(), ptr::from_mut);
    let flags = if is_program { libc::CLONE_PIDFD } else { 0 };
    let failed = |errno| SpawnError { step: StartStep::Fork, errno };
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(failed)?;
    // SAFETY: the head of this file. The stack is idle: each start waits until its child has left it, or has a copy.
    let pid = unsafe {
        let flags = flags | shares | libc::SIGCHLD;
        let orders: *const Orders<'_> = orders;
        libc::clone(child::enter, stack.top(), flags, orders.cast_mut().cast(), pidfd)
    };
    let errno = Errno::last();
    if is_program && pid > 0 {
        // Before any signal gets through: the program may be dead already, and is no orphan.
        orphans::set_program(pid.unsigned_abs());
    }
    before.thread_set_mask().map_err(failed)?;
    if pid < 0 { Err(failed(errno)) } else { Ok(pid.unsigned_abs()) }
}

/// Copies, out of the way, of the descriptors whose numbers others are to get.
fn copies(descriptors: &[(BorrowedFd<'_>, RawFd)]) -> io::Result<Vec<Option<OwnedFd>>> {
    let is_in_the_way = |fd: &BorrowedFd<'_>| descriptors.iter().any(|(_, number)| fd.as_raw_fd() == *number);
    let copy = |(fd, _): &(BorrowedFd<'_>, RawFd)| {
        is_in_the_way(fd).then(|| fd::copy_above(fd, FIRST_FREE)).transpose()
    };
    descriptors.iter().map(copy).collect()
}

fn signals_not_default() -> Vec<i32> {
    let is_set = |signal: &i32| {
        // SAFETY: all zeroes is a valid sigaction; the call only fills it in.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, ptr::null(), &raw mut action) == 0
                && action.sa_sigaction != libc::SIG_DFL
        }
    };
    (1..=64).filter(is_set).collect()
}

#[cfg(test)]
mod tests;
