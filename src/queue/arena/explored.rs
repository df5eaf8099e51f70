//! Model checking of the real code: what stands in for the kernel while shuttle decides whose turn it is.
//!
//! Under shuttle (`tests/schedules.rs`) threads are coroutines of one thread of the system. Each runs until it comes to
//! a place where another may run: every store to queue memory, every load of a word that is used without the lock.
//! Sleeping on a word, waking, the number of a thread and its death at a chosen store are played here.

use super::inject::Killed;
use shuttle::thread::{self, Thread};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static KILL_AT: Cell<Option<(usize, u64)>> = const { Cell::new(None) };
    static PASS_TIME: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
    static WAITERS: RefCell<Vec<Waiter>> = const { RefCell::new(Vec::new()) };
}

struct Waiter {
    words: Vec<usize>,
    thread: Thread,
    is_woken: Rc<Cell<bool>>,
}

/// From now on, on this thread of the system, shuttle decides. Called at the start of each execution.
pub(in crate::queue) fn start() {
    IS_ON.set(true);
    KILL_AT.set(None);
    PASS_TIME.take();
    WAITERS.take();
}

/// Is called where a sleep ends because its time is over.
pub(in crate::queue) fn let_time_pass(pass: impl Fn() + 'static) {
    PASS_TIME.set(Some(Box::new(pass)));
}

pub(in crate::queue) fn is_on() -> bool {
    IS_ON.get()
}

#[cfg(not(miri))]
/// The calling coroutine's number, as the kernel would give one to a thread.
pub(in crate::queue) fn number() -> Option<u32> {
    is_on().then(|| 1000 + usize::from(shuttle::current::me()) as u32)
}

/// The calling coroutine dies at its n-th store from now.
pub(in crate::queue) fn kill_at_store(stores: u64) {
    KILL_AT.set(Some((shuttle::current::me().into(), stores)));
}

/// No death any more: it has done what it was to die in.
pub(in crate::queue) fn cancel_kill() {
    KILL_AT.set(None);
}

/// Another may run here.
pub(in crate::queue) fn yield_point() {
    if is_on() && !std::thread::panicking() {
        shuttle::sync::atomic::AtomicBool::new(false).load(SeqCst);
    }
}

/// Another should run here: this one only waits.
pub(in crate::queue) fn spin() {
    if is_on() {
        thread::yield_now();
    }
}

/// Before a store: another may run, or this one is dead.
pub(in crate::queue) fn step() {
    yield_point();
    if let Some((task, left)) = KILL_AT.get()
        && is_on()
        && usize::from(shuttle::current::me()) == task
    {
        KILL_AT.set(left.checked_sub(1).map(|left| (task, left)));
        if left == 0 {
            std::panic::resume_unwind(Box::new(Killed));
        }
    }
}

/// FUTEX_WAIT until a moment, which comes at once.
pub(in crate::queue) fn wait_for_a_while(words: &[(&AtomicU32, u32)]) {
    yield_point();
    if words.iter().all(|(word, value)| word.load(SeqCst) == *value) {
        thread::yield_now();
        PASS_TIME.with_borrow(|pass| pass.iter().for_each(|pass| pass()));
    }
}

/// FUTEX_WAIT, for as long as it takes: a lost wake-up is a deadlock, which shuttle reports.
pub(in crate::queue) fn wait(words: &[(&AtomicU32, u32)]) {
    yield_point();
    if words.iter().any(|(word, value)| word.load(SeqCst) != *value) {
        return;
    }
    let is_woken = Rc::new(Cell::new(false));
    let addresses = words.iter().map(|(word, _)| word.as_ptr() as usize).collect();
    let waiter = Waiter { words: addresses, thread: thread::current(), is_woken: is_woken.clone() };
    WAITERS.with_borrow_mut(|all| all.push(waiter));
    while !is_woken.get() {
        thread::park();
    }
}

/// FUTEX_WAKE: those that sleep longest.
pub(in crate::queue) fn wake(word: &AtomicU32, n: i32) {
    yield_point();
    let address = word.as_ptr() as usize;
    for _ in 0..n {
        let first = WAITERS.with_borrow_mut(|all| {
            let i = all.iter().position(|waiter| waiter.words.contains(&address))?;
            Some(all.remove(i))
        });
        let Some(waiter) = first else { return };
        waiter.is_woken.set(true);
        waiter.thread.unpark();
    }
}
