//! Panics of a stage: caught for a clear message, then the worker ends as by any other crash.

use crate::item::Shown;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

/// What a Rust program exits with after a panic.
#[cfg(not(test))]
const PANIC_EXIT_CODE: i32 = 101;

/// Panics are logged like everything else, on one line.
pub(crate) fn install_panic_log() {
    set_hook(Box::new(|info| log::error!("panic: {info}")));
}

/// Runs a stage's code. If it panics the process ends, and the item it had begun is blamed: a state that a panic has
/// left half-changed must not be used again.
pub(crate) fn run<T>(item: &[u8], code: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
        log::error!("the stage panicked on `{}`", Shown(item));
        crash(panic)
    })
}

/// The same where there is no item.
pub(crate) fn run_without_item<T>(code: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| crash(panic))
}

#[cfg(not(test))]
fn crash(_panic: Box<dyn Any + Send>) -> ! {
    std::process::exit(PANIC_EXIT_CODE);
}

/// In a test the thread is the worker.
#[cfg(test)]
fn crash(panic: Box<dyn Any + Send>) -> ! {
    std::panic::resume_unwind(panic)
}
