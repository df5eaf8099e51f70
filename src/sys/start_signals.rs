//! What a process is started with in the way of signals: whoever executes it hands on what is ignored and blocked.

use nix::sys::signal::{SigSet, Signal};
use std::io;

/// Whether `signal` is ignored; asked before a handler is installed, this is the wish of whoever started the process
/// (`nohup`).
pub fn is_ignored(signal: Signal) -> bool {
    // SAFETY: with no new action the call only fills in the old one, for which all zeroes is a valid start.
    let (result, old) = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal as i32, std::ptr::null(), &mut old), old)
    };
    result == 0 && old.sa_sigaction == libc::SIG_IGN
}

/// Ignores `signal` from here on. What the process executes doesn't inherit that: [`spawn`](super::process::spawn)
/// resets it.
pub fn ignore(signal: Signal) {
    // SAFETY: ignoring installs no handler, so no code of ours runs at odd moments. It fails only for KILL and STOP.
    unsafe { libc::signal(signal as i32, libc::SIG_IGN) };
}

/// These signals wait, for this thread and those that it starts from here on; none is lost.
pub fn block(signals: &[Signal]) {
    let set: SigSet = signals.iter().copied().collect();
    // It fails only for an operation that there is not.
    let _ = set.thread_block();
}

/// Every signal waits, for this thread and those that it starts from here on; none is lost.
pub fn block_all() -> io::Result<()> {
    Ok(SigSet::all().thread_set_mask()?)
}

/// No signal is blocked in this thread, nor in those that it starts from here on.
pub fn unblock_all() -> io::Result<()> {
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
