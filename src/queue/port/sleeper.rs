//! Waiting for items in another thread, for a worker that waits for more than the kernel's futexes can tell it.

use super::super::event::Event;
use super::super::futex;
use super::super::memory::Arena;
use super::WorkerHandle;

/// What a `take` without waiting would have slept on.
///
/// Whoever is woken by it must take, or at least look (`take` of no items): the wake-up is one worker's, and is passed
/// on by the look. Until then the worker may go on with the leases it holds: their end may be what ends its queues.
pub struct Sleeper {
    arena: Arena,
    events: Vec<(Event, u32)>,
}

impl WorkerHandle {
    /// After a `take` that came back empty: sleeps in its place.
    pub fn sleeper(&self) -> Sleeper {
        Sleeper { arena: self.hand.arena.clone(), events: self.unslept.clone() }
    }
}

impl Sleeper {
    /// Sleeps until there may be an item, or an order. Makes no change to the queues, so it needs no slot.
    pub fn sleep(&self) {
        let memory = &self.arena.0;
        let words: Vec<_> = self.events.iter().map(|&(event, seen)| (event.sequence(memory), seen)).collect();
        let is_quiet =
            || words.iter().all(|(word, seen)| word.load(std::sync::atomic::Ordering::Acquire) == *seen);
        while !words.is_empty() && is_quiet() {
            futex::wait_any(&words, None);
        }
    }
}
