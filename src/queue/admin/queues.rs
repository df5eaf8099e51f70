//! The supervisor's handle on the arena, and what it does to queues.

use super::{audit, windows};
use crate::model::Limits;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::{Meta, inline_word};
use crate::queue::arena::layout::{self, INLINE, QueueAt, queue};
use crate::queue::arena::{attach::Arena, fault::Fault};
use crate::queue::transaction::counts::{self, QueueCounts};
use crate::queue::transaction::tap::{self, ItemPreview};
use crate::queue::transaction::{drop_old, places, returned, ring, session::Session};

/// Items of a removed queue that are dropped in one transaction.
const TX_ITEMS: u64 = 64;

/// The supervisor's handle on the arena. One thread owns it.
pub struct QueueAdmin {
    pub(in crate::queue) session: Session,
}

impl QueueAdmin {
    /// Binds the calling thread to the arena.
    ///
    /// # Errors
    /// When the kernel has no robust futexes.
    pub fn open(arena: Arena) -> Result<QueueAdmin, Fault> {
        Ok(QueueAdmin { session: Session::open(arena, layout::JOURNAL)? })
    }

    /// How often so far the lock was taken over from a dead owner.
    pub fn takeovers(&self) -> u64 {
        self.session.memory().load(layout::TAKEOVERS)
    }

    /// Creates a queue, or changes its limits live; items stay, also above a lowered capacity.
    ///
    /// # Errors
    /// When the memory is damaged, as for all calls here; or [`Fault::DiskFull`], and nothing is changed.
    pub fn set_queue(&mut self, q: QueueId, limits: &Limits) -> Result<(), Fault> {
        self.open_queue(q)?;
        let queue = QueueAt::of(q)?;
        let capacity = limits.capacity.clamp(1, layout::MAX_CAPACITY);
        let mut tx = self.session.begin()?;
        let flags = tx.get(queue + queue::FLAGS);
        if flags & queue::USED == 0 {
            tx.set(queue + queue::RING, layout::RING_MIN);
            returned::make_room(&mut tx, queue)?;
        }
        ring::make_room_for(&mut tx, queue, capacity)?;
        tx.set(queue + queue::FLAGS, flags | queue::USED);
        tx.set(queue + queue::CAPACITY, capacity);
        tx.set(queue + queue::MAX_BYTES, limits.max_bytes);
        tx.set(queue + queue::MAX_ITEM, limits.max_item.min(limits.max_bytes).clamp(8, layout::MAX_ITEM));
        tx.set(queue + queue::WHEN_FULL, limits.when_full as u64);
        tx.commit()?;
        tx.notify_all(queue + queue::NOT_FULL);
        tx.notify_all(queue + queue::BYTES_FREE);
        drop(tx);
        windows::fill(&mut self.session, queue)
    }

    /// Makes the pages of a queue's words certain, and those of the queues around it. Killed before the count is stored, it
    /// is done again.
    pub(in crate::queue) fn open_queue(&self, q: QueueId) -> Result<(), Fault> {
        QueueAt::of(q)?;
        let memory = self.session.memory();
        loop {
            let opened = memory.load(layout::OPENED_QUEUES);
            if u64::from(q.0) < opened {
                return Ok(());
            }
            let first = QueueAt::of(QueueId(opened as u16))?;
            first.opened_areas().into_iter().try_for_each(|area| memory.reserve(area))?;
            memory.store(layout::OPENED_QUEUES, opened + layout::QUEUES_OPENED_AT_ONCE as u64);
        }
    }

    /// Ends the use of a queue that no worker is attached to; its number can be used anew. Returns how many items
    /// were thrown away.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn remove_queue(&mut self, q: QueueId) -> Result<u64, Fault> {
        let queue = QueueAt::of(q)?;
        let mut discarded = 0;
        loop {
            let mut tx = self.session.begin()?;
            let left = counts::queued(&tx, queue).min(TX_ITEMS);
            if tx.get(queue + queue::FLAGS) & queue::USED == 0 {
                return Ok(discarded);
            }
            if places::is_one(&tx, queue) {
                drop(tx);
                return windows::remove(&mut self.session, queue);
            }
            let (k, delayed) = (tx.get(queue + queue::RING), tx.get(queue + queue::DELAY_USED));
            if left > 0 {
                drop_old::oldest(&mut tx, queue, left)?;
                discarded += left;
            } else {
                tx.set(queue + queue::FLAGS, 0);
                queue::COUNTERS.iter().for_each(|&counter| tx.set(queue + counter, 0));
            }
            tx.commit()?;
            if left == 0 {
                // The lock is held still.
                tx.memory.discard(queue.rings_up_to(k));
                if delayed > 0 {
                    let areas = queue.delayed_areas(0, layout::DELAYED_MAX);
                    areas.into_iter().for_each(|area| tx.memory.discard(area));
                }
                if tx.memory.is_file() {
                    tx.memory.discard(queue.returned_area(0, layout::RETURNED_MAX));
                }
            }
        }
    }

    /// No writer will ever put again (or, undone by a reload, one will).
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_ended(&mut self, q: QueueId, ended: bool) -> Result<(), Fault> {
        self.set_flag(q, queue::ENDED, ended)
    }

    /// No reader will ever take again (or, undone by a reload, one will).
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_closed(&mut self, q: QueueId, closed: bool) -> Result<(), Fault> {
        self.set_flag(q, queue::CLOSED, closed)
    }

    fn set_flag(&mut self, q: QueueId, flag: u64, on: bool) -> Result<(), Fault> {
        let queue = QueueAt::of(q)?;
        let mut tx = self.session.begin()?;
        let flags = tx.get(queue + queue::FLAGS);
        let new = if on { flags | flag } else { flags & !flag };
        if new != flags {
            tx.set(queue + queue::FLAGS, new);
            tx.commit()?;
            queue::EVENTS.iter().for_each(|&event| tx.notify_all(queue + event));
        }
        drop(tx);
        windows::fill(&mut self.session, queue)
    }

    /// Puts one short item (8 bytes at most): a stage's first token.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn seed(&mut self, q: QueueId, bytes: &[u8]) -> Result<(), Fault> {
        let short = &bytes[..bytes.len().min(INLINE)];
        let queue = QueueAt::of(q)?;
        self.session.arena.clear_notes(q)?;
        let mut tx = self.session.begin()?;
        ring::push(&mut tx, queue, 1, std::iter::once((inline_word(short), Meta::item(short.len(), q))))?;
        tx.commit()?;
        tx.notify(queue + queue::NOT_EMPTY);
        Ok(())
    }

    /// The queue's ledger now.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn counts(&mut self, q: QueueId) -> Result<QueueCounts, Fault> {
        let queue = QueueAt::of(q)?;
        Ok(counts::counts(&self.session.begin()?, queue))
    }

    /// The item of a queue that was seen since the last call, if there was one; from now on the next one is waited for.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn tap(&mut self, q: QueueId) -> Result<Option<ItemPreview>, Fault> {
        let queue = QueueAt::of(q)?;
        Ok(tap::take_sample(self.session.begin()?.memory, queue))
    }

    /// Reads every structure of the arena, which no other process may use meanwhile: does it all add up?
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn audit(&mut self) -> Result<Vec<(QueueId, QueueCounts)>, String> {
        audit::check(&self.session.begin()?)
    }

    /// The part of [`QueueAdmin::audit`] that can be done beside a pipeline at work: do the ledgers say what workers hold?
    ///
    /// # Errors
    /// The first queue that does not add up.
    pub fn audit_leases(&mut self) -> Result<(), String> {
        audit::leases(&self.session.begin()?)
    }

    /// The thread that holds the arena's lock at this moment.
    pub fn lock_owner(&self) -> Option<u32> {
        self.session.lock_owner()
    }

    /// What the kernel does when this process dies, for a simulated death.
    #[cfg(any(test, feature = "inject"))]
    pub fn die(&self) {
        self.session.die();
    }
}
