//! Sleeping on several queues in a thread of its own: for who looks after queues that others work on. A change wakes one
//! sleeper, and the kernel picks it: a listener that was picked passes the wake-up on, as it takes nothing.

use super::handle::WorkerHandle;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{EventAt, QueueAt, queue};
use crate::queue::arena::{attach::Arena, futex};
use crate::queue::transaction::event;
use std::sync::atomic::Ordering::Acquire;
use std::time::Instant;

/// What of a queue is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// There may be an item.
    Items,
    /// There may be room.
    Room,
}

/// What a look at the queues was followed by.
pub struct Listener {
    arena: Arena,
    events: Vec<(EventAt, u32)>,
}

impl WorkerHandle {
    /// Before a look at these queues: what happens to them from now on ends [`Listener::sleep`].
    ///
    /// # Errors
    /// Only when there is no such queue.
    pub fn listen(&mut self, to: impl Iterator<Item = (QueueId, News)>) -> Result<Listener, Fault> {
        let arena = self.session.arena.clone();
        let mut tx = self.session.begin()?;
        let mut events = Vec::new();
        for (q, news) in to {
            let event =
                QueueAt::of(q)? + if news == News::Items { queue::NOT_EMPTY } else { queue::NOT_FULL };
            events.push((event, tx.register_waiter(event)));
        }
        drop(tx);
        Ok(Listener { arena, events })
    }
}

impl Listener {
    /// Sleeps until then, or until there is news: then true. It makes no change to the queues, so it needs no slot.
    pub fn sleep(&self, until: Instant) -> bool {
        let words = event::words(&self.arena.0, &self.events);
        loop {
            let changed = || {
                let all = words.iter().zip(&self.events);
                all.filter(|((word, seen), _)| word.load(Acquire) != *seen).map(|(_, (event, _))| *event)
            };
            if changed().next().is_some() {
                changed().for_each(|event| event::pass_on(&self.arena.0, event));
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            futex::wait_any(&words, Some(until));
        }
    }
}
