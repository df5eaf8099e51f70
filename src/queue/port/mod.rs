//! A worker's hand on the arena: take items, stage outputs, commit both in one step.

mod commit;
mod give;
mod patience;
mod put;
mod runs;
mod sleeper;
mod staging;
mod take;
mod targets;
mod waits;
mod whole;

use super::descriptor::Meta;
use super::event::Event;
use super::hand::Hand;
use super::holdings::{self, Bitmap};
use super::layout::{self, HOLDINGS, MAX_BATCH, slot};
use super::lock::Haste;
use super::memory::Arena;
use super::tuning;
use super::worker_time;
use super::{Ending, Fault, Order, Phase, QueueId, SlotId, ahead};
use crate::model::Tuning;
use patience::Patience;
use staging::Staging;
use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, SeqCst};
use std::sync::atomic::{AtomicU64, fence};
use std::time::{Duration, Instant};
use targets::Targets;

pub use commit::Committed;
pub use put::PutError;
pub use sleeper::Sleeper;
pub use staging::MAX_BLOCKS;
pub use take::Taken;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until then.
    Until(Instant),
    /// As long as it takes.
    Forever,
    /// As long as it takes, also when told to finish: what is at hand can't be made again.
    Regardless,
    /// Until the order or the tuning changes.
    Undisturbed,
}

impl Wait {
    fn deadline(self) -> Option<Instant> {
        match self {
            Wait::Until(deadline) => Some(deadline),
            Wait::No | Wait::Forever | Wait::Regardless | Wait::Undisturbed => None,
        }
    }

    fn is_over(self) -> bool {
        match self {
            Wait::No => true,
            Wait::Until(deadline) => Instant::now() >= deadline,
            Wait::Forever | Wait::Regardless | Wait::Undisturbed => false,
        }
    }
}

/// One leased item.
pub struct Lease<'a> {
    /// The payload, in place. Valid until the lease ends.
    pub bytes: &'a [u8],
    /// 1 for the first try of the item.
    pub attempt: u32,
    /// Where it came from.
    pub queue: QueueId,
    /// How many of its outputs are published already, by a try that did not end.
    pub mark: u64,
    /// Its number in its queue: 0 for the first item ever put there.
    pub id: u64,
}

/// A worker's hand on the arena. One thread owns it; it must not be used after a fork.
///
/// What it holds when its process dies is given back by [`super::QueueAdmin::release`].
pub struct WorkerHandle {
    hand: Hand,
    slot: usize,
    live: Bitmap,
    /// Items held, oldest first: entries of the slot's table.
    leases: Vec<u16>,
    /// Done without outputs: ended by the next transaction.
    finished: Vec<u16>,
    staging: Staging,
    targets: Targets,
    patience: Patience,
    /// Which input is looked at first, for fairness.
    turn: usize,
    /// What the last `take` that found nothing would have slept on.
    unslept: Vec<(Event, u32)>,
    bell_seen: Cell<u64>,
    /// The queue of the stage's token.
    memory: Option<QueueId>,
    /// What is at hand goes out first, whatever the order.
    insists: bool,
    /// Leases that may be held at once.
    most_leases: usize,
}

/// Around a queue with fewer places than this each transaction soon has to wait for the other side.
const FEW: u64 = 64;
/// Entries of the table that leases never take.
const RESERVED: usize = 16;

impl WorkerHandle {
    /// Binds the calling thread to a worker slot that the supervisor has opened.
    ///
    /// # Errors
    /// When the slot's number or the memory makes no sense.
    pub fn open(arena: Arena, id: SlotId) -> Result<WorkerHandle, Fault> {
        let slot = layout::slot_at(id)?;
        let hand = Hand::open(arena, layout::journal_of(slot))?;
        let live = holdings::bitmap(hand.memory(), slot);
        if live.iter().any(|&word| word != 0) {
            return Err(Fault::damaged("the holdings of a fresh worker", slot as u64, live[0]));
        }
        let bell_seen = Cell::new(u64::MAX);
        let (leases, finished) = (Vec::with_capacity(1024), Vec::with_capacity(1024));
        let (staging, targets, memory) = (Staging::new(), Targets::new(), None);
        let (turn, unslept, patience) = (0, Vec::new(), Patience::new());
        Ok(WorkerHandle {
            hand,
            slot,
            live,
            leases,
            finished,
            staging,
            targets,
            patience,
            turn,
            unslept,
            bell_seen,
            memory,
            insists: false,
            most_leases: MAX_BATCH, // the other half of the table is for what the leases put
        })
    }

    /// Says that the worker has built its stage.
    pub fn ready(&self) {
        worker_time::be_born(self.hand.memory(), self.slot);
        Phase::Ready.store(self.hand.memory(), self.slot);
    }

    /// Says whether the worker has come to rest, as an order to pause wants it. True if that is news.
    pub fn set_at_rest(&self, at_rest: bool) -> bool {
        let (from, to) = if at_rest { (Phase::Ready, Phase::AtRest) } else { (Phase::AtRest, Phase::Ready) };
        if Phase::load(self.hand.memory(), self.slot) != from {
            return false;
        }
        to.store(self.hand.memory(), self.slot);
        // Pairs with the one in `QueueAdmin::order_all`. Whoever goes on says so before it looks at the next order.
        fence(SeqCst);
        true
    }

    /// What it said last.
    pub fn is_at_rest(&self) -> bool {
        Phase::load(self.hand.memory(), self.slot) == Phase::AtRest
    }

    /// Leaves word of how the worker ends.
    pub fn ended(&self, ending: &Ending) {
        ending.store(self.hand.memory(), self.slot);
    }

    /// The supervisor's standing order.
    pub fn order(&self) -> Order {
        self.bell_seen.set(self.bell());
        Order::load(self.hand.memory(), self.slot)
    }

    /// The order for the loops in here: who asked for nothing must still be told of a change by `is_disturbed`.
    fn must_finish(&self) -> bool {
        !self.insists && Order::load(self.hand.memory(), self.slot) == Order::Finish
    }

    /// The settings as they are now.
    pub fn tuning(&self) -> Tuning {
        self.bell_seen.set(self.bell());
        tuning::load(self.hand.memory(), self.slot)
    }

    /// From now on an order to finish doesn't end a wait for room: what is at hand goes out first.
    pub fn insist(&mut self) {
        self.insists = true;
    }

    fn bell(&self) -> u64 {
        u64::from(self.hand.memory().word32(self.slot + slot::BELL).load(Acquire))
    }

    /// True if the order or the tuning may have changed since they were last asked for.
    #[inline]
    pub fn is_disturbed(&self) -> bool {
        self.bell() != self.bell_seen.get()
    }

    /// How far the source is that the worker runs, for whoever looks: the two words may be of two moments.
    pub fn note_progress(&self, done: u64, total: u64) {
        let words = slot::PROGRESS.into_iter().zip([done, total]);
        words.for_each(|(word, value)| self.hand.memory().store(self.slot + word, value));
    }

    /// So many items took so long together, waits not counted.
    pub fn note_items(&self, items: usize, took: Duration) {
        worker_time::note_items(self.hand.memory(), self.slot, items, took);
    }

    /// So many leases may be held at once, as far as the table goes. Beyond the usual 512 there may be as little room
    /// left as for one output: for a worker that puts all outputs of its leases together as one item.
    pub fn hold_up_to(&mut self, leases: usize) {
        self.most_leases = leases.clamp(MAX_BATCH, HOLDINGS - RESERVED);
    }

    /// How many leases more may be held.
    pub fn leases_left(&self) -> usize {
        self.most_leases.saturating_sub(self.leases.len())
    }

    /// Leases held.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// True if no lease is held.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The lease `i` of `0 .. len()`, oldest first.
    ///
    /// # Errors
    /// When its descriptor makes no sense: somebody wrote where they must not.
    #[inline]
    pub fn item(&self, i: usize) -> Result<Lease<'_>, Fault> {
        self.look_ahead(i + ahead::ITEMS);
        let memory = self.hand.memory();
        let at = layout::holding(self.slot, self.leases[i] as usize);
        let meta = Meta(memory.load(at + 8));
        let bytes = match meta.has_block() {
            false => memory.inline(at, meta.len()),
            true => memory.block(memory.load(at), meta.len())?,
        };
        let (id, mark) = (memory.load(at + 16), memory.load(at + 24));
        Ok(Lease { bytes, attempt: meta.failures() + 1, queue: meta.queue(), mark, id })
    }

    /// Leases are looked at one after the other: this one soon.
    #[inline]
    fn look_ahead(&self, i: usize) {
        let Some(&entry) = self.leases.get(i) else { return };
        let (memory, at) = (self.hand.memory(), layout::holding(self.slot, entry as usize));
        let meta = Meta(memory.load(at + 8));
        if meta.has_block() {
            memory.will_read(memory.load(at), meta.len());
        }
    }

    /// From now on a crash is blamed on lease `i`.
    #[inline]
    pub fn begin(&self, i: usize) {
        self.hand.memory().store(self.slot + slot::BEGUN, u64::from(self.leases[i]) + 1);
    }

    /// From now on a crash is nobody's fault.
    #[inline]
    pub fn rest(&self) {
        self.hand.memory().store(self.slot + slot::BEGUN, 0);
    }

    /// Where the worker notes the program that it has running (0: none), for whoever must kill it after the worker.
    pub fn program(&self) -> &AtomicU64 {
        self.hand.memory().word(self.slot + slot::PROGRAM)
    }

    /// Bytes of one item that every one of these queues takes.
    ///
    /// # Errors
    /// Only when a queue's number makes no sense.
    pub fn max_item(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        let mut least = layout::MAX_ITEM;
        for &q in outputs {
            least = least.min(self.hand.memory().load(layout::queue_at(q)? + layout::queue::MAX_ITEM));
        }
        Ok(least)
    }

    /// Bytes that the items of the smallest of these queues may take together.
    ///
    /// # Errors
    /// Only when a queue's number makes no sense.
    pub fn max_bytes(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        let mut least = layout::MAX_ITEM;
        for &q in outputs {
            least = least.min(self.hand.memory().load(layout::queue_at(q)? + layout::queue::MAX_BYTES));
        }
        Ok(least)
    }

    /// Items waiting in a queue, without the lock: for a line in the log.
    pub fn waiting(&self, q: QueueId) -> u64 {
        super::counts::waiting_roughly(self.hand.memory(), q)
    }

    /// Names the queue of the stage's token: an inner affair, which the worker's counters leave out.
    pub fn set_memory(&mut self, token: QueueId) {
        self.memory = Some(token);
    }

    /// Counts outputs that went elsewhere than to a queue.
    pub fn count_emitted(&self, outputs: u64) {
        let (memory, at) = (self.hand.memory(), self.slot + slot::EMITTED);
        memory.store(at, memory.load(at).wrapping_add(outputs)); // nobody else writes it
    }

    /// Whether nobody reads any of these queues any more, without the lock.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn are_closed(&self, outputs: &[QueueId]) -> Result<bool, Fault> {
        for &q in outputs {
            let flags = self.hand.memory().load(layout::queue_at(q)? + layout::queue::FLAGS);
            if flags & layout::queue::CLOSED == 0 {
                return Ok(false);
            }
        }
        Ok(!outputs.is_empty())
    }

    /// For a transaction on this queue; `came`: what it needs has come while it looked.
    #[inline]
    fn haste(&self, q: QueueId, came: bool) -> Result<Haste, Fault> {
        let capacity = self.hand.memory().load(layout::queue_at(q)? + layout::queue::CAPACITY);
        Ok(match came {
            _ if capacity < FEW => Haste::Eager,
            true => Haste::Soon,
            false => Haste::Patient,
        })
    }

    /// See [`Arena::is_saved`](super::Arena::is_saved).
    pub fn is_saved(&self) -> bool {
        self.hand.arena.is_saved()
    }

    /// What the kernel does when this worker's process dies, for a simulated death.
    #[cfg(any(test, feature = "inject"))]
    pub fn die(&self) {
        self.hand.die();
    }
}
