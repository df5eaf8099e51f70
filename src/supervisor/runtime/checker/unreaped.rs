//! Programs of checks that are killed, and not reaped yet: one in uninterruptible sleep must hold up no other check.

use crate::sys::wait;
use std::cell::RefCell;

/// With so many that do not die of SIGKILL no more are started.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Unreaped(RefCell<Vec<u32>>);

impl Unreaped {
    /// It is reaped, now or when it is dead.
    pub(super) fn add(&self, pid: u32) {
        self.0.borrow_mut().push(pid);
        self.reap();
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.reap();
        self.0.borrow().len() >= MOST
    }

    fn reap(&self) {
        self.0.borrow_mut().retain(|&pid| match wait::child_ended(pid) {
            Ok(None) => true,
            Ok(Some(_)) | Err(_) => {
                let _ = wait::reap(pid);
                false
            }
        });
    }
}
