//! Stopping in the way of a program that the key of a terminal (Ctrl-Z) stops.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction};
use nix::unistd::Pid;

/// What stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuspendScope {
    /// This process alone: another process sent it the signal.
    Process,
    /// Its whole group, as by the key: a shell that waits for this process must stop as well, or no process has the
    /// terminal.
    Group,
}

/// Stops by SIGTSTP as it is by default, and returns when the process is continued. With no process that could continue
/// it (its group is an orphan, as the first process of a container), the kernel doesn't stop it: it returns at once.
///
/// Other threads must have the signal blocked, or one of them may be slow to stop.
pub(crate) fn suspend(scope: SuspendScope) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default runs no code of ours.
    let Ok(before) = (unsafe { sigaction(Signal::SIGTSTP, &default) }) else { return };
    // A signal to itself can't fail.
    let _ = match scope {
        SuspendScope::Process => raise(Signal::SIGTSTP),
        SuspendScope::Group => kill(Pid::from_raw(0), Signal::SIGTSTP),
    };
    // SAFETY: the action was in force until now.
    let _ = unsafe { sigaction(Signal::SIGTSTP, &before) };
}
