//! A worker's handle on the arena: its slot, its leases, and what it tells the supervisor.

use super::leases::{DeadLease, Held};
use super::sharing::{MOST_MIXED_LEASES, Sharing};
use super::spin::SpinBudget;
use super::staging::Staging;
use super::targets::Targets;
use crate::broker::MARK_LEN;
use crate::model::Tuning;
use crate::queue::arena::descriptor::Span;
use crate::queue::arena::layout::{self, EventAt, HOLDINGS, MAX_BATCH, QueueAt, SlotAt, queue, slot};
use crate::queue::arena::note::RESTORED_NOTE;
use crate::queue::arena::orders::{self, Ending, Order, Phase};
use crate::queue::arena::prefetch::PREFETCH_ITEMS;
use crate::queue::arena::{attach::Arena, fault::Fault, place::Field, tuning};
use crate::queue::arena::{item_times, worker_time};
use crate::queue::transaction::failing::Place;
use crate::queue::transaction::holdings::{Begun, Bitmap, EntryPart};
use crate::queue::transaction::{counts, lock::LockPriority, session::Session};
use crate::queue::{QueueId, SlotId};
use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::time::{Duration, Instant};

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

/// A worker's handle on the arena. One thread owns it; it must not be used after a fork.
///
/// What it holds when its process dies is given back by [`QueueAdmin::release`](crate::queue::QueueAdmin::release).
pub struct WorkerHandle {
    pub(super) session: Session,
    pub(super) slot: SlotAt,
    /// Items held, oldest first.
    pub(super) leases: Vec<Held>,
    /// Done without outputs: ended by the next transaction.
    pub(super) finished: Vec<EntryPart>,
    /// One of the leases, which ends as a dead letter.
    pub(super) dead_lease: Option<DeadLease>,
    pub(super) staging: Staging,
    pub(super) targets: Targets,
    pub(super) spin: SpinBudget,
    /// Which input is served first, for fairness.
    pub(super) first_input: usize,
    /// What the last `take` that found nothing would have slept on.
    pub(super) empty_inputs: Vec<(EventAt, u32)>,
    /// When a delayed item of these inputs is due.
    pub(super) next_due: Option<Instant>,
    pub(super) order_seen: Cell<u64>,
    /// The queues of tokens.
    pub(super) hidden: Vec<QueueId>,
    /// An order to finish waits until what is at hand is published.
    publishes_first: bool,
    /// Leases that may be held at once.
    pub(super) max_leases: usize,
    /// Where the failures of its stage are counted.
    pub(super) place: Option<Place>,
    /// Where some of its queues lie in a broker.
    pub(super) sharing: Option<Box<Sharing>>,
    /// Tells the supervisor that the stage is failing, or no more.
    tell: Option<Box<dyn Fn()>>,
}

/// Around a queue of less capacity each transaction soon has to wait for the other side.
const SMALL_CAPACITY_ITEMS: u64 = 64;
/// Entries of the table that leases never take.
const RESERVED_ENTRIES: usize = 16;

impl WorkerHandle {
    /// Binds the calling thread to a worker slot that the supervisor has opened.
    ///
    /// # Errors
    /// When the slot's number or the memory makes no sense.
    pub fn open(arena: Arena, id: SlotId) -> Result<WorkerHandle, Fault> {
        let slot = SlotAt::of(id)?;
        let session = Session::open(arena, slot.journal())?;
        if let Some(word) = Bitmap::load(session.memory(), slot).first_word() {
            return Err(Fault::damaged("the holdings of a fresh worker", slot, word));
        }
        let place = Place::of(session.memory(), slot);
        Ok(WorkerHandle {
            session,
            slot,
            leases: Vec::with_capacity(HOLDINGS),
            finished: Vec::with_capacity(HOLDINGS),
            dead_lease: None,
            staging: Staging::new(),
            targets: Targets::new(),
            spin: SpinBudget::new(),
            first_input: 0,
            empty_inputs: Vec::new(),
            next_due: None,
            order_seen: Cell::new(u64::MAX),
            hidden: Vec::new(),
            publishes_first: false,
            max_leases: MAX_BATCH, // the other half of the table is for what the leases put
            place,
            sharing: None,
            tell: None,
        })
    }

    /// From now on this is called whenever the stage begins to fail, or does so no more.
    pub fn tell_of_failing(&mut self, tell: Box<dyn Fn()>) {
        self.tell = Some(tell);
    }

    /// After the transaction: nothing of the lock may wait for a system call.
    pub(super) fn tell(&self) {
        if let Some(tell) = &self.tell {
            tell();
        }
    }

    /// Says that the worker has built its stage.
    pub fn ready(&self) {
        worker_time::start(self.session.memory(), self.slot);
        Phase::Ready.store(self.session.memory(), self.slot);
    }

    /// Says whether the worker has come to rest, as an order to pause wants it. True if that is news.
    pub fn set_at_rest(&self, at_rest: bool) -> bool {
        let (from, to) = if at_rest { (Phase::Ready, Phase::AtRest) } else { (Phase::AtRest, Phase::Ready) };
        if Phase::load(self.session.memory(), self.slot) != from {
            return false;
        }
        to.store(self.session.memory(), self.slot);
        // Pairs with the one in `QueueAdmin::order_all`. A worker that resumes says so before it reads the next order.
        fence(SeqCst);
        true
    }

    /// What it said last.
    pub fn is_at_rest(&self) -> bool {
        Phase::load(self.session.memory(), self.slot) == Phase::AtRest
    }

    /// Notes how the worker ends.
    pub fn ended(&self, ending: &Ending) {
        ending.store(self.session.memory(), self.slot);
    }

    /// What keeps the worker from its work, for who looks; empty: nothing does any more.
    pub fn set_obstacle(&self, why: &str) {
        orders::set_obstacle(self.session.memory(), self.slot, why);
    }

    /// The supervisor's standing order.
    pub fn order(&self) -> Order {
        self.order_seen.set(self.order_sequence());
        Order::load(self.session.memory(), self.slot)
    }

    /// The order for the loops in here: [`WorkerHandle::has_new_orders`] must still report it to the caller.
    pub(super) fn must_finish(&self) -> bool {
        !self.publishes_first && Order::load(self.session.memory(), self.slot) == Order::Finish
    }

    /// The settings as they are now.
    pub fn tuning(&self) -> Tuning {
        self.order_seen.set(self.order_sequence());
        tuning::load(self.session.memory(), self.slot)
    }

    /// From now on an order to finish doesn't end a wait for room: what is at hand is published first.
    pub fn publish_before_finish(&mut self) {
        self.publishes_first = true;
    }

    pub(super) fn order_word(&self) -> &AtomicU32 {
        self.session.memory().word32(self.slot + slot::ORDER_SEQUENCE)
    }

    pub(super) fn order_sequence(&self) -> u64 {
        u64::from(self.order_word().load(Acquire))
    }

    /// True if the order or the tuning may have changed since they were last asked for.
    #[inline]
    pub fn has_new_orders(&self) -> bool {
        self.order_sequence() != self.order_seen.get()
    }

    /// How far the source is that the worker runs, for display: the two words may be of two moments.
    pub fn note_progress(&self, done: u64, total: u64) {
        let words = slot::PROGRESS.into_iter().zip([done, total]);
        words.for_each(|(word, value)| self.session.memory().store(self.slot + word, value));
    }

    /// The program of the worker may hold this many items whose leases have ended, or are about to.
    pub fn note_handed_over(&self, items: u64) {
        self.session.memory().store(self.slot + slot::HANDED_OVER, items);
    }

    /// A batch of items, and what it took, waits not counted.
    pub fn note_items(&self, items: usize, took: Duration) {
        item_times::note(self.session.memory(), self.slot, items, took);
    }

    /// How many leases may be held at once, as far as the table goes. Beyond the usual 512 there may be as little room
    /// left as for one output: for a worker that puts all outputs of its leases together as one item.
    pub fn set_max_leases(&mut self, leases: usize) {
        if self.max_leases != MOST_MIXED_LEASES {
            self.max_leases = leases.clamp(MAX_BATCH, HOLDINGS - RESERVED_ENTRIES);
        }
    }

    /// How many leases more may be held.
    pub fn leases_left(&self) -> usize {
        self.max_leases.saturating_sub(self.leases.len())
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
    /// When its descriptor makes no sense: the memory was overwritten.
    #[inline]
    pub fn item(&self, i: usize) -> Result<Lease<'_>, Fault> {
        self.prefetch(i + PREFETCH_ITEMS);
        let memory = self.session.memory();
        let Held { entry, at: place } = self.leases[i];
        let at = self.slot.entry(entry);
        let meta = memory.meta(at);
        let mut bytes = memory.payload(at.into(), meta, place as usize)?;
        if self.sharing.as_ref().is_some_and(|sharing| sharing.is_shared(meta.queue())) {
            bytes = bytes.get(MARK_LEN..).unwrap_or_default();
        }
        let (mut id, mut mark) =
            (memory.load(at + layout::entry::SEQUENCE), memory.load(at + layout::entry::MARK));
        if let Some(span) = meta.as_span()
            && place as usize != span.first
        {
            (id, mark) = (id.wrapping_add(u64::from(place)).wrapping_sub(span.first as u64), 0);
        }
        Ok(Lease { bytes, attempt: meta.failures() + 1, queue: meta.queue(), mark, id })
    }

    /// The queue of lease `i`, and its bytes with the mark, if it has one.
    pub(super) fn marked_item(&self, i: usize) -> Result<(QueueId, &[u8]), Fault> {
        let (memory, Held { entry, at: place }) = (self.session.memory(), self.leases[i]);
        let at = self.slot.entry(entry);
        let meta = memory.meta(at);
        Ok((meta.queue(), memory.payload(at.into(), meta, place as usize)?))
    }

    /// The leases from number `i` on that lie together, as many as there are: their bytes, each followed by a line end. An item
    /// may hold line ends of its own. `None`: the lease lies by itself.
    ///
    /// # Errors
    /// As for [`WorkerHandle::item`].
    pub fn lines(&self, i: usize) -> Result<Option<(&[u8], usize)>, Fault> {
        let memory = self.session.memory();
        let Held { entry, at: place } = self.leases[i];
        let at = self.slot.entry(entry);
        let meta = memory.meta(at);
        let is_marked = self.sharing.as_ref().is_some_and(|sharing| sharing.is_shared(meta.queue()));
        let Some(span) = meta.as_span().filter(|_| !is_marked) else { return Ok(None) };
        let (first, end) = (place as usize, span.first + span.count);
        let span = Span { first, count: end.saturating_sub(first) };
        Ok(Some((memory.lines(memory.block_of(at), span)?, span.count)))
    }

    /// How often lease `i` was put off: delayed without a failure.
    pub fn put_off(&self, i: usize) -> u32 {
        let at = self.slot.entry(self.leases[i].entry);
        self.session.memory().load(at + layout::entry::PUT_OFF) as u32
    }

    /// Leases are read one after the other: this one soon.
    #[inline]
    fn prefetch(&self, i: usize) {
        let Some(&Held { entry, at: 0 }) = self.leases.get(i) else { return };
        let (memory, at) = (self.session.memory(), self.slot.entry(entry));
        let meta = memory.meta(at);
        if meta.has_block() && meta.as_span().is_none() {
            memory.will_read(memory.block_of(at), meta.len());
        }
    }

    /// From now on a crash is charged to lease `i`.
    #[inline]
    pub fn begin(&self, i: usize) {
        let Held { entry, at } = self.leases[i];
        self.session.memory().store(self.slot + slot::BEGUN, Begun { entry, at: at as usize }.word());
    }

    /// From now on a crash is charged to no item.
    #[inline]
    pub fn rest(&self) {
        self.session.memory().store(self.slot + slot::BEGUN, 0);
    }

    /// Where the worker notes the program that it has running (0: none), for the process that must kill it after the
    /// worker.
    pub fn program(&self) -> &AtomicU64 {
        self.session.memory().word(self.slot + slot::PROGRAM)
    }

    /// Bytes of one item that every one of these queues takes.
    ///
    /// # Errors
    /// Only when a queue's number makes no sense.
    pub fn max_item(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        self.least(outputs, queue::MAX_ITEM)
    }

    /// Bytes that the items of the smallest of these queues may take together.
    ///
    /// # Errors
    /// Only when a queue's number makes no sense.
    pub fn max_bytes(&self, outputs: &[QueueId]) -> Result<u64, Fault> {
        self.least(outputs, queue::MAX_BYTES)
    }

    fn least(&self, outputs: &[QueueId], limit: Field<layout::Queue>) -> Result<u64, Fault> {
        outputs.iter().try_fold(layout::MAX_ITEM, |least, &q| {
            Ok(least.min(self.session.memory().load(QueueAt::of(q)? + limit)))
        })
    }

    /// Items waiting in a queue, without the lock: for a line in the log.
    pub fn waiting(&self, q: QueueId) -> u64 {
        QueueAt::of(q).map_or(0, |queue| counts::waiting_roughly(self.session.memory(), queue))
    }

    /// Names a queue of a token, which the worker's counters leave out.
    pub fn add_hidden_queue(&mut self, queue: QueueId) {
        self.hidden.push(queue);
    }

    /// What was written outside under the item of a hidden queue after that item's time is to be undone.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn note_restored(&self, queue: QueueId) -> Result<(), Fault> {
        self.session.arena.set_note(queue, false, &RESTORED_NOTE)
    }

    /// Says that each item is for some of these outputs of the stage only: one that is not read any more is not the end of all.
    pub fn route_to(&mut self, outputs: &[QueueId]) {
        self.targets.routed = outputs.iter().filter_map(|&q| QueueAt::of(q).ok()).collect();
    }

    /// Counts outputs that went elsewhere than to a queue.
    pub fn count_emitted(&self, outputs: u64) {
        self.session.memory().add(self.slot + slot::EMITTED, outputs); // no other thread writes it
    }

    /// Whether no stage reads any of these queues any more, without the lock.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn are_closed(&self, outputs: &[QueueId]) -> Result<bool, Fault> {
        for &q in outputs {
            if !counts::is_closed(self.session.memory(), QueueAt::of(q)?) {
                return Ok(false);
            }
        }
        Ok(!outputs.is_empty())
    }

    /// For a transaction on this queue; `came`: what it needs has come while it spun.
    #[inline]
    pub(super) fn lock_priority(&self, queue: QueueAt, came: bool) -> LockPriority {
        match came {
            _ if self.session.memory().load(queue + queue::CAPACITY) < SMALL_CAPACITY_ITEMS => {
                LockPriority::High
            }
            true => LockPriority::Normal,
            false => LockPriority::Low,
        }
    }

    /// See [`Arena::is_saved`](crate::queue::Arena::is_saved).
    pub fn is_saved(&self) -> bool {
        self.session.arena.is_saved()
    }

    /// What the kernel does when this worker's process dies, for a simulated death.
    #[cfg(any(test, feature = "inject"))]
    pub fn die(&self) {
        self.session.die();
    }
}
