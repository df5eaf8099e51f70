//! What a sleeper waits for: a sequence number to sleep on, and a flag that somebody may be asleep.
//!
//! Sleeper, under the lock, finding nothing: idle = 1, remember the sequence; unlock; sleep while it stands.
//! Changer, under the lock, after its commit: if idle, idle = 0, sequence + 1, and wake *one* after the unlock.
//! Woken sleeper, back under the lock: idle = 1 first (more may sleep), takes its part, and if something is left
//! passes the wake-up on; one that was woken for room in one queue and now needs it in another passes it on, too. So nobody counts sleepers (a kill would spoil the count), no system call is made when
//! nobody sleeps, and there is no herd. The dead may have owed a wake-up or eaten one: `release` wakes everybody.
//! A stopped sleeper would keep a wake-up to itself: while there is one, all are woken (`QueueAdmin::set_stopped`).

use super::layout::{self, queue};
use super::memory::Memory;
use super::{Fault, QueueId, futex, inject};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// An event of a queue, by the offset of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event(usize);

impl Event {
    #[inline]
    pub fn of(queue_at: usize, which: usize) -> Event {
        debug_assert!(queue::EVENTS.contains(&which));
        Event(queue_at + which)
    }

    fn idle(self, memory: &Memory) -> &AtomicU32 {
        memory.word32(self.0 + 4)
    }

    pub fn sequence(self, memory: &Memory) -> &AtomicU32 {
        memory.word32(self.0)
    }
}

#[inline]
pub(super) fn is_idle(memory: &Memory, event: Event) -> bool {
    event.idle(memory).load(Relaxed) != 0
}

/// The next sleeper finds the sequence changed; those asleep still need a wake.
#[inline]
pub(super) fn ring(memory: &Memory, event: Event) {
    inject::step();
    event.idle(memory).store(0, Relaxed);
    inject::step();
    event.sequence(memory).fetch_add(1, AcqRel);
}

pub(super) fn announce(memory: &Memory, event: Event) -> u32 {
    inject::step();
    event.idle(memory).store(1, Relaxed);
    // Acquire pairs with `disturb`: who reads the new sequence also sees the order it was rung for.
    event.sequence(memory).load(Acquire)
}

pub(super) fn wake(memory: &Memory, event: Event, n: i32) {
    futex::wake(event.sequence(memory), n);
}

/// Without the lock: makes every sleeper on the events of a queue look up (an order, a death).
pub(super) fn disturb(memory: &Memory, q: QueueId) -> Result<(), Fault> {
    let at = layout::queue_at(q)?;
    for which in queue::EVENTS {
        let event = Event::of(at, which);
        // Up, not down: a notifier may then wake once too often, never too seldom.
        inject::step();
        event.idle(memory).store(1, Relaxed);
        inject::step();
        event.sequence(memory).fetch_add(1, AcqRel);
        wake(memory, event, i32::MAX);
    }
    Ok(())
}
