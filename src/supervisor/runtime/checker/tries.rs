//! Programs of checks: those that run, and what is left of others.
//!
//! A program is killed with its group. What has left that comes to the helper once its parent is dead, and is known by the
//! number of its try ([`VARIABLE`]): it is killed at the end of that try, or at a later one's.

use super::VARIABLE;
use crate::sys::{group, proc_table, wait};
use nix::sys::signal::Signal;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// With so many that do not die of SIGKILL no more programs are started.
const MOST_UNDEAD: usize = 64;

#[derive(Default)]
pub(super) struct Tries {
    last: Cell<u64>,
    /// The process of each try that is being made.
    running: RefCell<BTreeMap<u64, u32>>,
    /// Processes that are left of those that are over, at the last look.
    undead: Cell<usize>,
}

impl Tries {
    /// A number for the next one.
    pub(super) fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    pub(super) fn begin(&self, number: u64, pid: u32) {
        self.running.borrow_mut().insert(number, pid);
    }

    /// Its program has ended, or is to.
    pub(super) fn end(&self, number: u64) {
        if let Some(pid) = self.running.borrow_mut().remove(&number) {
            // Not reaped yet: the number is its own.
            let _ = group::signal_group(pid, Signal::SIGKILL);
        }
        self.clear();
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.clear();
        self.undead.get() >= MOST_UNDEAD
    }

    /// Ends and reaps what no try is made by.
    fn clear(&self) {
        let running = self.running.borrow();
        let children = proc_table::children_of(std::process::id());
        let left = children
            .into_iter()
            .filter(|pid| !running.values().any(|own| own == pid) && !is_of(*pid, &running));
        self.undead.set(left.filter(|pid| !is_reaped(*pid)).count());
    }
}

/// Whether a try is still being made that has started it.
fn is_of(pid: u32, running: &BTreeMap<u64, u32>) -> bool {
    let number = proc_table::variable(pid, VARIABLE).and_then(|number| number.parse().ok());
    number.is_some_and(|number| running.contains_key(&number))
}

fn is_reaped(pid: u32) -> bool {
    match wait::child_ended(pid) {
        Ok(None) => {
            let _ = group::signal_process(pid, Signal::SIGKILL);
            false
        }
        Ok(Some(_)) => wait::reap(pid).is_ok(),
        Err(_) => true,
    }
}
