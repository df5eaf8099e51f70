//! Model checking of the real code: what stands in for the kernel while shuttle decides whose turn it is.
//!
//! Under shuttle (`tests/schedules.rs`) threads are coroutines of one thread of the system. Each goes on until it comes to
//! a place where another may go on: every store to queue memory, every look at a word that is used without the lock.
//! Sleeping on a word, waking, the number of a thread and its death at a chosen store are played here.

use super::inject::Killed;
use shuttle::thread::{self, Thread};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static DOOMED: Cell<Option<(usize, u64)>> = const { Cell::new(None) };
    static SLEEPERS: RefCell<Vec<Sleeper>> = const { RefCell::new(Vec::new()) };
}

struct Sleeper {
    words: Vec<usize>,
    thread: Thread,
    is_woken: Rc<Cell<bool>>,
}

/// From now on, on this thread of the system, shuttle decides. Called at the start of each execution.
pub(super) fn start() {
    IS_ON.set(true);
    DOOMED.set(None);
    SLEEPERS.take();
}

pub(super) fn is_on() -> bool {
    IS_ON.get()
}

/// The calling coroutine's number, as the kernel would give one to a thread.
pub(super) fn number() -> Option<u32> {
    is_on().then(|| 1000 + usize::from(shuttle::current::me()) as u32)
}

/// The calling coroutine dies at its n-th store from now.
pub(super) fn doom(stores: u64) {
    DOOMED.set(Some((shuttle::current::me().into(), stores)));
}

/// A reprieve: it has done what it was to die in.
pub(super) fn spare() {
    DOOMED.set(None);
}

/// Another may go on here.
pub(super) fn look() {
    if is_on() && !std::thread::panicking() {
        shuttle::sync::atomic::AtomicBool::new(false).load(SeqCst);
    }
}

/// Another should go on here: this one only waits.
pub(super) fn spin() {
    if is_on() {
        thread::yield_now();
    }
}

/// Before a store: another may go on, or this one is dead.
pub(super) fn step() {
    look();
    if let Some((task, left)) = DOOMED.get()
        && is_on()
        && usize::from(shuttle::current::me()) == task
    {
        DOOMED.set(left.checked_sub(1).map(|left| (task, left)));
        if left == 0 {
            std::panic::resume_unwind(Box::new(Killed));
        }
    }
}

/// FUTEX_WAIT, for as long as it takes: a lost wake-up is a deadlock, which shuttle reports.
pub(super) fn wait(words: &[(&AtomicU32, u32)]) {
    look();
    if words.iter().any(|(word, value)| word.load(SeqCst) != *value) {
        return;
    }
    let is_woken = Rc::new(Cell::new(false));
    let addresses = words.iter().map(|(word, _)| word.as_ptr() as usize).collect();
    let sleeper = Sleeper { words: addresses, thread: thread::current(), is_woken: is_woken.clone() };
    SLEEPERS.with_borrow_mut(|all| all.push(sleeper));
    while !is_woken.get() {
        thread::park();
    }
}

/// FUTEX_WAKE: those that sleep longest.
pub(super) fn wake(word: &AtomicU32, n: i32) {
    look();
    let address = word.as_ptr() as usize;
    for _ in 0..n {
        let first = SLEEPERS.with_borrow_mut(|all| {
            let i = all.iter().position(|sleeper| sleeper.words.contains(&address))?;
            Some(all.remove(i))
        });
        let Some(sleeper) = first else { return };
        sleeper.is_woken.set(true);
        sleeper.thread.unpark();
    }
}
