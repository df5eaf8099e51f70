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
pub fn spawn_without_signals(name: &str, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(SMALL_STACK).spawn(life);
    before.thread_set_mask()?;
    thread.map(drop)
}
