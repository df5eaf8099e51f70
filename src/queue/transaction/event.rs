//! What a waiter sleeps on: a sequence number, and a flag that there may be a waiter.
//!
//! Waiter, under the lock, finding nothing: idle = 1, remember the sequence; unlock; sleep while it stands.
//! Changer, under the lock, after its commit: if idle, idle = 0, sequence + 1, and wake *one* after the unlock.
//! Woken waiter, back under the lock: idle = 1 first (there may be more), takes its part, and if something is left
//! passes the wake-up on; one that was woken for room in one queue and now needs it in another passes it on, too, and so
//! does a listener, which only looks. So
//! waiters are not counted (a kill would spoil the count), no system call is made without a waiter, and there is no herd.
//! The dead may have owed a wake-up or consumed one: `release` wakes all. A stopped waiter would keep a wake-up to
//! itself: while there is one, all are woken (`QueueAdmin::set_stopped`).

use crate::queue::arena::layout::{EventAt, QueueAt, event, queue};
use crate::queue::arena::{futex, inject, memory::Memory};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

pub(crate) fn sequence(memory: &Memory, event: EventAt) -> &AtomicU32 {
    memory.word32(event + event::SEQUENCE)
}

/// The words to sleep on, with the values that were seen.
pub(crate) fn words<'a>(memory: &'a Memory, events: &[(EventAt, u32)]) -> Vec<(&'a AtomicU32, u32)> {
    events.iter().map(|&(event, seen)| (sequence(memory, event), seen)).collect()
}

#[inline]
pub(crate) fn is_idle(memory: &Memory, event: EventAt) -> bool {
    memory.word32(event + event::IDLE).load(Relaxed) != 0
}

/// The next waiter finds the sequence changed; those asleep still need a wake.
#[inline]
pub(super) fn advance(memory: &Memory, event: EventAt) {
    set(memory, event, 0);
}

pub(super) fn register_waiter(memory: &Memory, event: EventAt) -> u32 {
    inject::step();
    memory.word32(event + event::IDLE).store(1, Relaxed);
    // Acquire pairs with `wake_all`: a reader of the new sequence also sees the order that came with it.
    sequence(memory, event).load(Acquire)
}

/// A sleeper that was woken and takes nothing: another one may be meant.
pub(crate) fn pass_on(memory: &Memory, event: EventAt) {
    wake(memory, event, 1);
}

pub(super) fn wake(memory: &Memory, event: EventAt, n: i32) {
    futex::wake(sequence(memory, event), n);
}

/// Without the lock: wakes every waiter on the events of a queue (an order, a death).
pub(crate) fn wake_all(memory: &Memory, queue: QueueAt) {
    queue::EVENTS.map(|event| queue + event).into_iter().for_each(|event| wake_all_on(memory, event));
}

/// The same for one event.
pub(crate) fn wake_all_on(memory: &Memory, event: EventAt) {
    // Idle, not busy: a notifier may then wake once too often, never too seldom.
    set(memory, event, 1);
    wake(memory, event, i32::MAX);
}

#[inline]
fn set(memory: &Memory, event: EventAt, idle: u32) {
    inject::step();
    memory.word32(event + event::IDLE).store(idle, Relaxed);
    inject::step();
    sequence(memory, event).fetch_add(1, AcqRel);
}
