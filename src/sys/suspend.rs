//! Stopping in the way of a program that the key of a terminal (Ctrl-Z) stops.

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;

/// Who stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// This process alone: somebody sent it the signal.
    Alone,
    /// Its whole group, as by the key: a shell that waits for this process must stop as well, or nobody has the terminal.
    Group,
}

/// Stops by SIGTSTP as it is by default, and returns when the process is continued. With nobody there who could continue
/// it (its group is an orphan, as the first process of a container), the kernel doesn't stop it: it returns at once.
///
/// Other threads must have the signal blocked, or one of them may be slow to stop.
pub fn suspend(whom: Whom) {
    // SAFETY: both actions are valid: one is the default, for which all zeroes is a valid start, and the other is what
    // the call before it has filled in. The default runs no code of ours.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGTSTP, &default, &mut old) != 0 {
            return;
        }
        // A signal to itself can't fail.
        let _ = match whom {
            Whom::Alone => raise(Signal::SIGTSTP),
            Whom::Group => kill(Pid::from_raw(0), Signal::SIGTSTP),
        };
        libc::sigaction(libc::SIGTSTP, &old, std::ptr::null_mut());
    }
}
