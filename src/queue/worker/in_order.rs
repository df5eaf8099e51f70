//! Publishing in the order of the input (`order = "input"`): the outputs of the next item go out; those of any other wait in
//! the window, see `transaction/window.rs`. What keeps the order is the input queue, so it begins and ends for workers at
//! work too, between two of their transactions.

use super::end::end_committed;
use super::handle::WorkerHandle;
use super::leases::{self, DeadLease, Held, HeldSpan};
use super::published::Published;
use super::staging::{Spare, Staging};
use super::targets::Targets;
use super::wait::Wait;
use crate::model::WhenFull;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::layout::{Class, EventAt, QueueAt, SlotAt, entry, queue, slot};
use crate::queue::arena::worker_time::{self, Waiting};
use crate::queue::arena::{fault::Fault, memory::Memory};
use crate::queue::transaction::failing::Place;
use crate::queue::transaction::holdings::{self, EndedQueues, EntryPart, FreeEntries};
use crate::queue::transaction::oldest::{self, NextItem};
use crate::queue::transaction::{counts, places, tx::Tx, window};

/// Where the oldest leases stand in the order of their queue.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub window: QueueAt,
    /// The number of the first.
    pub first: u64,
    /// Leases from the first on whose numbers follow each other.
    pub run: usize,
    pub turn: Turn,
}

/// Whether it is their turn to come out.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// They were taken before there was an order.
    Before,
    /// They are the next.
    Next,
    Later,
}

/// `None`: there is no lease, or its queue keeps no order.
pub(super) fn standing(tx: &Tx<'_>, slot: SlotAt, leases: &[Held]) -> Result<Option<Standing>, Fault> {
    let Some(&held) = leases.first() else { return Ok(None) };
    let input = QueueAt::of(tx.memory.meta(slot.entry(held.entry)).queue())?;
    let Some(window) = window::of(tx, input) else { return Ok(None) };
    let (first, next) = (number(tx.memory, slot, held), window::first_place(tx, window));
    let mut run = run_len(tx.memory, slot, leases);
    let turn = if places::is_before(first, next) {
        run = run.min(usize::try_from(next.wrapping_sub(first)).unwrap_or(run));
        // The others have closed places in front of the next that has outputs still.
        Turn::Before
    } else if first == next && tx.get(window + queue::NEXT_PLACE) == next {
        Turn::Next
    } else {
        Turn::Later
    };
    Ok(Some(Standing { window, first, run, turn }))
}

fn number(memory: &Memory, slot: SlotAt, Held { entry, at }: Held) -> u64 {
    let from = slot.entry(entry);
    let first = memory.meta(from).as_span().map_or(u64::from(at), |span| span.first as u64);
    memory.load(from + entry::SEQUENCE).wrapping_add(u64::from(at)).wrapping_sub(first)
}

/// Leases from the first on whose numbers follow each other.
fn run_len(memory: &Memory, slot: SlotAt, leases: &[Held]) -> usize {
    let (mut run, mut expected) = (0, None);
    for HeldSpan { entry, at, items } in leases::spans(leases) {
        let first = number(memory, slot, Held { entry, at: at as u16 });
        if expected.is_some_and(|expected| expected != first) {
            break;
        }
        run += items;
        expected = Some(first.wrapping_add(items as u64));
    }
    run
}

impl WorkerHandle {
    /// Whether the queue of the oldest lease keeps the order of its items.
    pub fn is_in_order(&self) -> bool {
        self.leases.first().is_some_and(|held| {
            let memory = self.session.memory();
            let input = QueueAt::of(memory.meta(self.slot.entry(held.entry)).queue());
            input.is_ok_and(|input| memory.load(input + queue::WINDOW) != 0)
        })
    }

    /// How many of the oldest leases may be published together: all, or those that follow each other in a queue that keeps
    /// their order.
    pub fn publishable(&self) -> usize {
        match self.is_in_order() {
            true => run_len(self.session.memory(), self.slot, &self.leases),
            false => self.leases.len(),
        }
    }

    /// Holds a block for a list of outputs from now on; where there is none left it waits, and an order to finish ends that:
    /// then false.
    #[cold]
    pub(super) fn reserve_list(&mut self, window: QueueAt, class: Class, wait: Wait) -> Result<bool, Fault> {
        if let Some(smaller) = self.staging.list.take() {
            self.free_blocks(&[smaller.entry])?;
        }
        let reserved = self.reserve_list_or_wait(window, class, wait);
        self.end_wait_for_disk();
        reserved
    }

    fn reserve_list_or_wait(&mut self, window: QueueAt, class: Class, wait: Wait) -> Result<bool, Fault> {
        loop {
            match self.try_reserve_list(window, class) {
                Err(full @ (Fault::DiskFull(..) | Fault::Exhausted(_))) => {
                    if self.must_finish() && wait != Wait::Regardless {
                        return Ok(false);
                    }
                    let (event, sequence, until) = self.register_for_disk(window, &full)?;
                    self.sleep_on(&[(event, sequence)], until, Waiting::Blocked)?;
                }
                reserved => return reserved.map(|()| true),
            }
        }
    }

    fn try_reserve_list(&mut self, window: QueueAt, class: Class) -> Result<(), Fault> {
        let WorkerHandle { session, slot, staging, .. } = self;
        let mut tx = session.begin()?;
        let entry = FreeEntries::one(*slot, &tx)?;
        let block = places::reserve_list(&mut tx, window, class)?;
        tx.memory.store_descriptor(slot.entry(entry), block.word(), Meta::reserved(window.id(), 0));
        holdings::mark(&mut tx, *slot, entry);
        tx.commit()?;
        staging.list = Some(Spare { queue: window.id(), class, block, entry });
        Ok(())
    }

    /// What is finished without outputs ends before anything waits for its turn: it may be the turn of just that.
    pub(super) fn end_finished_in_order(&mut self) -> Result<(), Fault> {
        if !self.finished.is_empty() && self.is_in_order() { self.settle() } else { Ok(()) }
    }
}

/// What a worker holds, for one transaction that publishes into the window.
pub(super) struct WindowPublication<'w> {
    pub slot: SlotAt,
    pub leases: &'w mut Vec<Held>,
    /// Empty: they have ended before. Kept as a buffer.
    pub finished: &'w mut Vec<EntryPart>,
    pub staging: &'w mut Staging,
    pub targets: &'w mut Targets,
    pub dead_lease: &'w mut Option<DeadLease>,
    /// Where the failures of its stage are counted.
    pub place: Option<&'w Place>,
    /// Set if the stage was failing until then.
    pub has_recovered: &'w mut bool,
}

impl WindowPublication<'_> {
    /// What is staged for the leases `0 .. upto` waits in the window, and they end. What is the next comes out at once.
    /// `None`: done. Else nothing has happened, and why.
    pub(super) fn commit(
        self,
        tx: &mut Tx<'_>,
        standing: Standing,
        upto: usize,
    ) -> Result<Option<Published>, Fault> {
        let WindowPublication { slot, leases, finished, staging, targets, dead_lease, place, has_recovered } =
            self;
        let outputs = staging.outputs.first_of(upto).unwrap_or_else(|| staging.outputs.len());
        targets.fit_all(tx, staging, outputs)?;
        if targets.are_closed(tx, &[]) {
            return Ok(Some(Published::Closed));
        }
        let class = places::list_class(staging.queues.iter().map(|staged| staged.pieces.len()).sum());
        let is_large = |list: &Spare| class.is_none_or(|class| list.class.index() >= class.index());
        if let Some(class) = class
            && !staging.list.as_ref().is_some_and(is_large)
        {
            return Ok(Some(Published::NeedsList(standing.window, class)));
        }
        let list = class.and_then(|_| staging.list.take()).map(|list| {
            holdings::clear(tx, slot, list.entry);
            list.block
        });
        holdings::forget_begun(tx, slot);
        let descriptors = targets.collect(tx, slot, staging)?;
        if list.is_some() || !descriptors.is_empty() {
            let places = (standing.first, upto as u64);
            window::record(tx, standing.window, places, descriptors, list)?;
            descriptors.clear();
        }
        leases::join(finished, &leases[..upto]);
        let mut ended = EndedQueues::default();
        let dead = end_committed(tx, (slot, place), finished, dead_lease.as_ref(), &mut ended)?;
        *has_recovered = ended.recovered.is_some();
        if worker_time::is_on() {
            tx.add(slot + slot::EMITTED, outputs as u64);
            tx.add(slot + slot::COMPLETED, upto as u64 - dead);
        }
        tx.commit()?;
        leases.drain(..upto);
        finished.clear();
        dead_lease.take_if(|_| dead > 0);
        staging.outputs.publish(outputs, upto);
        staging.named = staging.named.saturating_sub(upto);
        ended.notify(tx);
        Ok(None)
    }
}

/// What a worker sleeps on until it is its turn; `None`: it is.
pub(super) fn await_turn(tx: &mut Tx<'_>, standing: Standing) -> Option<(EventAt, u32)> {
    let event = standing.window + queue::NOT_FULL;
    (standing.turn == Turn::Later).then(|| (event, tx.register_waiter(event)))
}

/// Whether an output of the oldest lease may take more bytes than its queue has left, because no reader would ever free any: all
/// else waits for this lease, or for an item that no other worker has, and so each may be waiting here.
pub(super) fn may_exceed(
    tx: &Tx<'_>,
    (slot, leases): (SlotAt, &[Held]),
    output: QueueAt,
) -> Result<bool, Fault> {
    let Some(standing) = standing(tx, slot, leases)? else { return Ok(false) };
    if standing.turn == Turn::Next {
        return Ok(counts::is_idle(tx, output));
    }
    let blocks = tx.memory.load(output + queue::WHEN_FULL) == WhenFull::Block as u64;
    Ok(blocks && !is_held_by_others(tx, (slot, leases), standing)?)
}

/// Whether another worker has the item whose outputs come next, or it is finished: then that will go on by itself.
pub(super) fn is_held_by_others(
    tx: &Tx<'_>,
    (slot, leases): (SlotAt, &[Held]),
    standing: Standing,
) -> Result<bool, Fault> {
    let next = window::first_place(tx, standing.window);
    if leases.iter().any(|&held| number(tx.memory, slot, held) == next) {
        return Ok(false);
    }
    let place = oldest::where_is(tx, standing.window, next, u64::MAX)?;
    Ok(matches!(place, NextItem::Leased | NextItem::Finished))
}
