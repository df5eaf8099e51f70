//! The supervisor's hand on the arena: queues come and go, workers get orders, the dead are settled.

use super::counts::{self, QueueCounts};
use super::descriptor::{Meta, inline_word};
use super::event::{self, Event};
use super::hand::Hand;
use super::layout::{self, INLINE, queue, slot};
use super::memory::{Arena, Memory};
use super::tuning;
use super::worker_time::{self, ItemTimes, WorkTimes};
use super::{Ending, Fault, Order, QueueId, SlotId, futex, ring};
use crate::model::{Limits, Totals, Tuning};
use std::sync::atomic::Ordering::{AcqRel, SeqCst};
use std::sync::atomic::fence;

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not ready yet.
    Starting,
    /// It has built its stage.
    Ready,
    /// It has, was told to pause, and is at no item any more.
    AtRest,
}

impl Phase {
    pub(super) fn load(memory: &Memory, slot: usize) -> Phase {
        match memory.load(slot + slot::PHASE) {
            0 => Phase::Starting,
            2 => Phase::AtRest,
            _ => Phase::Ready,
        }
    }

    pub(super) fn store(self, memory: &Memory, slot: usize) {
        memory.store(slot + slot::PHASE, self as u64);
    }
}

/// What a worker left in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotReport {
    /// How far it came.
    pub phase: Phase,
    /// How it said that it ends; `None`: it did not say.
    pub ending: Option<Ending>,
    /// What it did, but for what was too long.
    pub counts: Totals,
    /// How far the source is that it runs, and of how much.
    pub progress: Option<(u64, u64)>,
    /// How it spent its time until now.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
}

/// The supervisor's hand on the arena. One thread owns it.
pub struct QueueAdmin {
    pub(super) hand: Hand,
}

impl QueueAdmin {
    /// Binds the calling thread to the arena.
    ///
    /// # Errors
    /// When the kernel has no robust futexes.
    pub fn open(arena: Arena) -> Result<QueueAdmin, Fault> {
        Ok(QueueAdmin { hand: Hand::open(arena, layout::JOURNAL)? })
    }

    /// How often so far the lock was inherited from somebody who died with it.
    pub fn takeovers(&self) -> u64 {
        self.hand.memory().load(layout::TAKEOVERS)
    }

    /// Creates a queue, or changes its limits live; items stay, also above a lowered capacity.
    ///
    /// # Errors
    /// When the memory is damaged, as for all calls here; or [`Fault::DiskFull`], and nothing is changed.
    pub fn set_queue(&mut self, q: QueueId, limits: &Limits) -> Result<(), Fault> {
        let at = layout::queue_at(q)?;
        let mut tx = self.hand.begin()?;
        let flags = tx.get(at + queue::FLAGS);
        if flags & queue::USED == 0 {
            tx.set(at + queue::RING, layout::RING_MIN);
            ring::make_room_to_return(&mut tx, q, at)?;
        }
        ring::make_room_for(&mut tx, q, at, limits.capacity.clamp(1, layout::MAX_CAPACITY))?;
        tx.set(at + queue::FLAGS, flags | queue::USED);
        tx.set(at + queue::CAPACITY, limits.capacity.clamp(1, layout::MAX_CAPACITY));
        tx.set(at + queue::MAX_BYTES, limits.max_bytes);
        tx.set(at + queue::MAX_ITEM, limits.max_item.min(limits.max_bytes).clamp(8, layout::MAX_ITEM));
        tx.set(at + queue::WHEN_FULL, limits.when_full as u64);
        tx.commit()?;
        tx.notify_all(Event::of(at, queue::NOT_FULL));
        tx.notify_all(Event::of(at, queue::BYTES_FREE));
        Ok(())
    }

    /// Ends the use of a queue that no worker is attached to; its number can be used anew. Returns how many items
    /// were thrown away.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn remove_queue(&mut self, q: QueueId) -> Result<u64, Fault> {
        let at = layout::queue_at(q)?;
        let mut discarded = 0;
        loop {
            let mut tx = self.hand.begin()?;
            let left = ring::waiting(&tx, at).min(64);
            if tx.get(at + queue::FLAGS) & queue::USED == 0 {
                return Ok(discarded);
            }
            let ring = tx.get(at + queue::RING);
            if left > 0 {
                super::drop_old::oldest(&mut tx, q, at, left)?;
                discarded += left;
            } else {
                tx.set(at + queue::FLAGS, 0);
                queue::COUNTERS.iter().for_each(|counter| tx.set(at + counter, 0));
            }
            tx.commit()?;
            if left == 0 {
                ring::discard(&tx, q, ring); // the lock is held still
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
        let at = layout::queue_at(q)?;
        let mut tx = self.hand.begin()?;
        let flags = tx.get(at + queue::FLAGS);
        let new = if on { flags | flag } else { flags & !flag };
        if new != flags {
            tx.set(at + queue::FLAGS, new);
            tx.commit()?;
            queue::EVENTS.iter().for_each(|&which| tx.notify_all(Event::of(at, which)));
        }
        Ok(())
    }

    /// Puts one short item (8 bytes at most): a stage's first token.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn seed(&mut self, q: QueueId, bytes: &[u8]) -> Result<(), Fault> {
        let short = &bytes[..bytes.len().min(INLINE)];
        let at = layout::queue_at(q)?;
        let mut tx = self.hand.begin()?;
        ring::push(&mut tx, q, at, 1, std::iter::once((inline_word(short), Meta::item(short.len(), q))))?;
        tx.commit()?;
        tx.notify(Event::of(at, queue::NOT_EMPTY));
        Ok(())
    }

    /// Makes a slot ready for a new worker, before its fork.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`]; also [`Fault::DiskFull`].
    pub fn open_slot(&mut self, id: SlotId, tuning: &Tuning) -> Result<(), Fault> {
        let at = layout::slot_at(id)?;
        let memory = self.hand.memory();
        if u64::from(id.0) >= memory.load(layout::OPENED) {
            let (area, bytes) = layout::slot_area(at);
            memory.reserve(area, bytes)?;
        }
        let cleared =
            [slot::PID, slot::PHASE, slot::ENDING, slot::ENDING_LEN, slot::ORDER, slot::BEGUN, slot::PROGRAM];
        let counters = [slot::TAKEN, slot::COMPLETED, slot::EMITTED, slot::BURIED];
        cleared.iter().chain(&counters).chain(&slot::PROGRESS).for_each(|word| memory.store(at + word, 0));
        worker_time::clear(memory, at);
        tuning::store(*tuning, memory, at);
        memory.store(layout::OPENED, memory.load(layout::OPENED).max(u64::from(id.0) + 1));
        Ok(())
    }

    /// Notes the worker's process, for whoever must clean up after the supervisor.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_pid(&mut self, id: SlotId, pid: u32) -> Result<(), Fault> {
        let at = layout::slot_at(id)?;
        self.hand.memory().store(at + slot::PID, u64::from(pid));
        Ok(())
    }

    /// The program that a worker had running when it was last seen: its group may need to be killed.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn program(&self, id: SlotId) -> Result<Option<u32>, Fault> {
        let pid = self.hand.memory().load(layout::slot_at(id)? + slot::PROGRAM) as u32;
        Ok((pid != 0).then_some(pid))
    }

    /// Gives a running worker other settings.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn tune(&mut self, id: SlotId, tuning: &Tuning) -> Result<(), Fault> {
        tuning::store(*tuning, self.hand.memory(), layout::slot_at(id)?);
        self.ring_bells(&[id])
    }

    /// Gives a worker an order; it sees it wherever it sleeps in the queue.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn order(&mut self, id: SlotId, order: Order) -> Result<(), Fault> {
        self.order_all(&[id], order)
    }

    /// The same order for many, who are woken at once.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn order_all(&mut self, ids: &[SlotId], order: Order) -> Result<(), Fault> {
        for &id in ids {
            self.hand.memory().store(layout::slot_at(id)? + slot::ORDER, order as u64);
        }
        fence(SeqCst); // pairs with the one in `WorkerHandle::set_at_rest`: it sees the order, or its phase is seen to change
        self.ring_bells(ids)
    }

    fn ring_bells(&mut self, ids: &[SlotId]) -> Result<(), Fault> {
        let memory = self.hand.memory();
        for &id in ids {
            let bell = memory.word32(layout::slot_at(id)? + slot::BELL);
            bell.fetch_add(1, AcqRel); // pairs with the Acquire in `WorkerHandle::bell`: then the order is seen too
            futex::wake(bell, i32::MAX);
        }
        self.disturb_all()
    }

    /// How many workers are stopped (SIGSTOP, a debugger) now: call it whenever one stops, goes on, or dies.
    ///
    /// A stopped worker may owe a wake-up, have eaten one, or, asleep, be the one that the kernel picks for the next.
    /// So everybody looks again now, and while any is stopped every change wakes all that wait for it.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_stopped(&mut self, workers: usize) -> Result<(), Fault> {
        self.hand.memory().store(layout::STOPPED, workers as u64);
        self.disturb_all()
    }

    /// Everybody asleep on a queue looks up.
    pub(super) fn disturb_all(&mut self) -> Result<(), Fault> {
        let memory = self.hand.memory();
        for q in (0..layout::MAX_QUEUES as u16).map(QueueId) {
            if memory.load(layout::queue_at(q)? + queue::FLAGS) & queue::USED != 0 {
                event::disturb(memory, q)?;
            }
        }
        Ok(())
    }

    /// What a worker left in its slot so far.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn report(&self, id: SlotId) -> Result<SlotReport, Fault> {
        let (memory, at) = (self.hand.memory(), layout::slot_at(id)?);
        Ok(SlotReport {
            phase: Phase::load(memory, at),
            ending: Ending::load(memory, at),
            counts: Totals {
                taken: memory.load(at + slot::TAKEN),
                done: memory.load(at + slot::COMPLETED),
                emitted: memory.load(at + slot::EMITTED),
                dead: memory.load(at + slot::BURIED),
                too_long: 0,
            },
            progress: {
                let [done, total] = slot::PROGRESS.map(|word| memory.load(at + word));
                (total > 0).then_some((done, total))
            },
            times: worker_time::load(memory, at),
            item_times: worker_time::load_items(memory, at),
        })
    }

    /// The queue's ledger now.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn counts(&mut self, q: QueueId) -> Result<QueueCounts, Fault> {
        counts::counts(&self.hand.begin()?, q)
    }

    /// The thread that holds the arena's lock at this moment.
    pub fn lock_owner(&self) -> Option<u32> {
        self.hand.lock_owner()
    }

    /// What the kernel does when this process dies, for a simulated death.
    #[cfg(any(test, feature = "inject"))]
    pub fn die(&self) {
        self.hand.die();
    }
}

impl Arena {
    /// The processes noted in the worker slots, and their programs: for whoever cleans up after a dead supervisor. A process may have
    /// ended long ago.
    pub fn pids(&self) -> Vec<u32> {
        let slots =
            layout::opened_slots(self.0.load(layout::OPENED)).filter_map(|id| layout::slot_at(id).ok());
        let noted = slots.flat_map(|at| [slot::PID, slot::PROGRAM].map(|word| self.0.load(at + word) as u32));
        noted.filter(|&pid| pid != 0).collect()
    }
}
