//! Orphans of a running program: adopted by this process, and reaped as they end.
//!
//! A program may run for months and leave a dead process behind every second (a shell's `( … & )`, a daemon that forks
//! twice): each of them would be a zombie of this process, and keep its pid, until the program ends. So the handler of
//! SIGCHLD reaps them, wherever this process waits at that moment: for the program's pipes, for items, for room in a
//! queue. It costs nothing as long as no child ends.
//!
//! - The handler leaves the program itself: its end is the session's to see, and its group is killed before its pid is free.
//! - No program, no reaping: [`super::sweep`] kills by pid, so no pid may become free between its look and its kill.
//! - A dead program hides the orphans behind it from the handler; the sweep that follows its end takes them.
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | this process, at any point | its zombies | the kernel gives them to the supervisor, which reaps them |

use crate::sys::wait;
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// The program that runs; 0: none does.
static PROGRAM: AtomicU32 = AtomicU32::new(0);

/// The thread that starts the program. Only there a signal can't come between the start and [`set_program`].
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Reaped by one call of the handler at most. Where more end, the next end is near and calls it again.
const REAP_LIMIT: usize = 4096;

/// Makes this process the parent of all orphans among its descendants. Those that end while a program runs are reaped
/// at once. Called by the thread that starts the programs.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    OWNER.store(this_thread(), Ordering::SeqCst);
    let flags = SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP;
    let action = SigAction::new(SigHandler::Handler(reap_orphans), flags, SigSet::empty());
    // SAFETY: the handler makes plain system calls only, and restores errno.
    unsafe { sigaction(Signal::SIGCHLD, &action) }?;
    SigSet::from(Signal::SIGCHLD).thread_unblock()?;
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// This program runs now: the handler reaps all but it.
pub(super) fn set_program(program: u32) {
    PROGRAM.store(program, Ordering::SeqCst);
}

/// No program runs any more: the handler leaves everything to the sweep.
pub(super) fn clear_program() {
    PROGRAM.store(0, Ordering::SeqCst);
}

extern "C" fn reap_orphans(_signal: libc::c_int) {
    let errno = Errno::last();
    let owner = OWNER.load(Ordering::SeqCst);
    if this_thread() == owner {
        for _ in 0..REAP_LIMIT {
            let program = PROGRAM.load(Ordering::SeqCst);
            match wait::dead_child() {
                Some(pid) if program != 0 && pid != program && wait::reap(pid).is_ok() => {}
                _ => break,
            }
        }
    } else {
        // Another thread may not reap: see `OWNER`.
        // SAFETY: sends a signal to a thread of this process, or to none.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), owner, libc::SIGCHLD) };
    }
    errno.set();
}

fn this_thread() -> i32 {
    nix::unistd::gettid().as_raw()
}
