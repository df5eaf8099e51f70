//! Which signals were ignored and blocked when the process was started: an exec passes that on.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::io;
use std::sync::OnceLock;

/// Signals that a run obeys; until it can, they wait.
const OBEYED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTSTP,
];

/// Which signals were blocked when this program began.
static BEFORE: OnceLock<SigSet> = OnceLock::new();

/// The signals that a run obeys wait from here on, for this thread and those that it starts. Called first of all things:
/// each of them would end a process that is not ready for it, without a word.
pub(crate) fn hold() {
    let obeyed: SigSet = OBEYED.into_iter().collect();
    // It fails only for an operation that there is not.
    if let Ok(before) = obeyed.thread_swap_mask(SigmaskHow::SIG_BLOCK) {
        BEFORE.get_or_init(|| before);
    }
}

/// This is no run: the signals of [`hold`] do what they always do, those that came meanwhile at once.
pub(crate) fn release() {
    if let Some(before) = BEFORE.get() {
        let _ = before.thread_set_mask(); // as above
    }
}

/// `read` may wait for another process (the file is a pipe): meanwhile the keyboard and SIGTERM end this one.
pub(crate) fn interruptible<T>(read: impl FnOnce() -> T) -> T {
    let ending: SigSet =
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP].into_iter().collect();
    let _ = ending.thread_unblock(); // as above
    let result = read();
    let _ = ending.thread_block(); // as above
    result
}

/// Whether `signal` is ignored; asked before a handler is installed, this is the starter's choice
/// (`nohup`).
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: with no new action the call only fills in the old one, for which all zeroes is a valid start.
    let (result, old) = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal as i32, std::ptr::null(), &mut old), old)
    };
    result == 0 && old.sa_sigaction == libc::SIG_IGN
}

/// Ignores `signal` from here on. What the process executes doesn't inherit that: [`spawn`](super::process::spawn)
/// resets it.
pub(crate) fn ignore(signal: Signal) {
    // SAFETY: ignoring installs no handler, so no code of ours runs at odd moments. It fails only for KILL and STOP.
    unsafe { libc::signal(signal as i32, libc::SIG_IGN) };
}

/// Every signal waits, for this thread and those that it starts from here on; none is lost.
pub(crate) fn block_all() -> io::Result<()> {
    Ok(SigSet::all().thread_set_mask()?)
}

/// No signal is blocked in this thread, nor in those that it starts from here on.
pub(crate) fn unblock_all() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rust_runtime_ignores_a_broken_pipe_and_nothing_else_of_these() {
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGURG));
    }
}
