//! Threads that no signal reaches.

use nix::sys::signal::{SigSet, SigmaskHow};
use std::io;
use std::thread;

/// The stack of a thread that only passes things on.
const SMALL_STACK: usize = 128 * 1024;

/// Starts a thread that only passes things on. Signals are for the main thread, which can hold them back.
///
/// # Errors
/// When there can't be another thread.
pub(crate) fn spawn_without_signals(name: &str, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(SMALL_STACK);
    without_signals(|| thread.spawn(life)).map(drop)
}

/// Calls what starts threads: a new thread inherits the mask of signals.
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let started = start();
    if let Ok(before) = before {
        let _ = before.thread_set_mask(); // it was valid a moment ago
    }
    started
}
