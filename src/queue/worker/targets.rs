//! The output queues of a transaction: what fits into them, and how it gets there.

use super::staging::{Piece, StagedExtent, StagedQueue, Staging};
use crate::model::WhenFull;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::{Meta, Span};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{MAX_BATCH, MAX_FAN, QueueAt, SlotAt, block, descriptor, entry, queue};
use crate::queue::transaction::holdings;
use crate::queue::transaction::{counts, drop_old, ring, tx::Tx};

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub queue: QueueAt,
    policy: WhenFull,
    closed: bool,
    capacity: u64,
    before: u64,
    /// Items that there is room for, or, for drop-old, items left in this transaction.
    left: u64,
    /// Staged items that the transaction is about.
    taken: usize,
    /// Those of them that are published.
    puts: usize,
}

impl Target {
    /// An output for it has to wait for room.
    fn waits(&self) -> bool {
        !self.closed && self.policy != WhenFull::DropNew
    }

    /// `n` staged items more, of which as many are published as there is room for.
    fn admit(&mut self, n: usize) {
        let puts = if self.closed { 0 } else { self.left.min(n as u64) };
        (self.left, self.taken, self.puts) = (self.left - puts, self.taken + n, self.puts + puts as usize);
    }
}

/// The output queues of a transaction. Kept between transactions, as a buffer.
pub(super) struct Targets {
    list: Vec<Target>,
    /// All outputs of the stage, if each item is for some of them only: else each output of a transaction names them all.
    pub routed: Vec<QueueAt>,
    /// The queue that has no room for the first output that does not fit, and its size.
    pub full: Option<(Target, u64)>,
    descriptors: Vec<(u64, Meta)>,
}

impl Targets {
    /// With room for what is pushed inside the lock.
    pub(super) fn new() -> Targets {
        let descriptors = Vec::with_capacity(MAX_BATCH);
        Targets { list: Vec::with_capacity(MAX_FAN + 1), routed: Vec::new(), full: None, descriptors }
    }

    /// How many of the staged outputs, at most `limit`, are published now.
    pub(super) fn fit(&mut self, tx: &Tx<'_>, staging: &Staging, limit: usize) -> Result<usize, Fault> {
        if staging.is_regardless {
            let all = staging.outputs.len().min(limit);
            return self.fit_all(tx, staging, all).map(|()| all);
        }
        self.list.clear();
        self.full = None;
        let mut fits = 0;
        for (queues, len) in staging.outputs.runs() {
            let wanted = len.min(limit - fits);
            let n = self.admit(tx, staging, queues, wanted)?;
            fits += n;
            if n < wanted || fits == limit {
                break;
            }
        }
        Ok(fits)
    }

    /// Everything of the first `n` staged outputs is taken, whatever room there is: it waits elsewhere.
    pub(super) fn fit_all(&mut self, tx: &Tx<'_>, staging: &Staging, n: usize) -> Result<(), Fault> {
        self.list.clear();
        self.full = None;
        let mut left = n;
        for (queues, len) in staging.outputs.runs() {
            let wanted = len.min(left);
            for &q in queues {
                let i = self.index(tx, staging, q)?;
                self.list[i].left = u64::MAX;
            }
            self.admit(tx, staging, queues, wanted)?;
            left -= wanted;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// How many of `n` outputs fit that go to the same queues.
    fn admit(
        &mut self,
        tx: &Tx<'_>,
        staging: &Staging,
        queues: &[QueueId],
        n: usize,
    ) -> Result<usize, Fault> {
        let is_decided =
            staging.queues.iter().any(|staged| staged.is_decided && queues.contains(&staged.queue));
        if !is_decided {
            return self.admit_alike(tx, staging, queues, n);
        }
        for i in 0..n {
            if self.admit_next(tx, staging, queues)? == 0 {
                return Ok(i);
            }
        }
        Ok(n)
    }

    /// Outputs that are all items.
    fn admit_alike(
        &mut self,
        tx: &Tx<'_>,
        staging: &Staging,
        queues: &[QueueId],
        n: usize,
    ) -> Result<usize, Fault> {
        let (mut fits, mut places) = (n, [0; MAX_FAN]);
        for (&q, place) in queues.iter().zip(&mut places) {
            *place = self.index(tx, staging, q)?;
            let target = self.list[*place];
            if target.waits() && target.left < fits as u64 {
                fits = target.left as usize;
                self.full = Some((target, target.before));
            }
        }
        places[..queues.len()].iter().for_each(|&place| self.list[place].admit(fits));
        Ok(fits)
    }

    /// One output, of which some queue may get no item: that was decided when it was put.
    #[cold]
    fn admit_next(&mut self, tx: &Tx<'_>, staging: &Staging, queues: &[QueueId]) -> Result<usize, Fault> {
        let mut items = [QueueId(0); MAX_FAN];
        let mut n = 0;
        for &q in queues {
            let i = self.index(tx, staging, q)?;
            let taken = self.list[i].taken;
            if staging.queues.iter().any(|staged| staged.queue == q && staged.is_item(taken)) {
                items[n] = q;
                n += 1;
            }
        }
        if self.admit_alike(tx, staging, &items[..n], 1)? == 0 {
            return Ok(0);
        }
        for q in queues.iter().filter(|q| !items[..n].contains(q)) {
            let i = self.index(tx, staging, *q)?;
            self.list[i].taken += 1;
        }
        Ok(1)
    }

    #[inline]
    fn index(&mut self, tx: &Tx<'_>, staging: &Staging, q: QueueId) -> Result<usize, Fault> {
        let queue = QueueAt::of(q)?;
        if let Some(i) = self.list.iter().position(|target| target.queue == queue) {
            return Ok(i);
        }
        let capacity = counts::capacity(tx, queue);
        let before = counts::queued(tx, queue);
        let policy = WhenFull::from_word(tx.memory.load(queue + queue::WHEN_FULL));
        let left = match policy {
            WhenFull::DropOld => capacity,
            WhenFull::Block if staging.line == Some(q) && before > 0 && has_no_bytes(tx, queue) => 0,
            WhenFull::Block | WhenFull::DropNew => capacity.saturating_sub(before),
        };
        let closed = tx.get(queue + queue::FLAGS) & queue::CLOSED != 0;
        let target = Target { queue, policy, closed, capacity, before, left, taken: 0, puts: 0 };
        if self.list.len() > MAX_FAN {
            return Err(Fault::damaged("the number of output queues", queue, self.list.len() as u64));
        }
        self.list.push(target);
        Ok(self.list.len() - 1)
    }

    /// No stage reads any of the outputs. The queues of tokens always have a reader.
    pub(super) fn are_closed(&self, tx: &Tx<'_>, hidden: &[QueueId]) -> bool {
        if !self.routed.is_empty() {
            return self.routed.iter().all(|&queue| tx.get(queue + queue::FLAGS) & queue::CLOSED != 0);
        }
        let mut outputs = self.list.iter().filter(|target| !hidden.contains(&target.queue.id())).peekable();
        outputs.peek().is_some() && outputs.all(|target| target.closed)
    }

    /// Publishes what fits; blocks leave the worker's holdings.
    pub(super) fn publish(
        &mut self,
        tx: &mut Tx<'_>,
        slot: SlotAt,
        staging: &mut Staging,
    ) -> Result<(), Fault> {
        let Targets { list, descriptors, .. } = self;
        for target in list {
            let overflow = target.before.saturating_add(target.puts as u64).saturating_sub(target.capacity);
            if target.policy == WhenFull::DropOld && target.puts > 0 && overflow > 0 {
                drop_old::oldest(tx, target.queue, overflow)?;
            }
            take_share(tx, slot, target, descriptors, staging)?;
            if target.puts > 0 {
                ring::push(tx, target.queue, target.puts as u64, descriptors.drain(..))?;
            }
        }
        Ok(())
    }

    /// What [`Targets::publish`] would put into the queues, queue after queue; it is in none of them yet.
    pub(super) fn collect(
        &mut self,
        tx: &mut Tx<'_>,
        slot: SlotAt,
        staging: &mut Staging,
    ) -> Result<&mut Vec<(u64, Meta)>, Fault> {
        let Targets { list, descriptors, .. } = self;
        descriptors.clear();
        for target in list {
            take_share(tx, slot, target, descriptors, staging)?;
        }
        Ok(descriptors)
    }

    /// After the commit: readers have something to read, and other writers perhaps still room.
    pub(super) fn notify(&self, tx: &mut Tx<'_>) {
        for target in &self.list {
            if target.puts > 0 {
                tx.notify(target.queue + queue::NOT_EMPTY);
            }
            if counts::queued(tx, target.queue) < target.capacity {
                tx.notify(target.queue + queue::NOT_FULL);
            }
        }
    }

    pub(super) fn first_sizes(&self, tx: &Tx<'_>) -> (u64, u64) {
        self.list.first().map_or((0, 0), |target| (target.before, counts::queued(tx, target.queue)))
    }
}

/// Whether the items of a queue, and what is staged for it, take all of its bytes.
fn has_no_bytes(tx: &Tx<'_>, queue: QueueAt) -> bool {
    tx.get(queue + queue::BYTES) > tx.get(queue + queue::MAX_BYTES)
}

/// The descriptors of a target's share of what is staged leave the worker's holdings.
fn take_share(
    tx: &mut Tx<'_>,
    slot: SlotAt,
    target: &Target,
    descriptors: &mut Vec<(u64, Meta)>,
    staging: &mut Staging,
) -> Result<(), Fault> {
    let i = staging.index(target.queue.id());
    let mut publication = Publication { slot, target, descriptors, dropped: 0, freed: 0, blocks: 0 };
    publication.take(tx, &mut staging.queues[i])?;
    let Publication { dropped, freed, blocks, .. } = publication;
    staging.blocks -= blocks.min(staging.blocks);
    if dropped > 0 {
        tx.add(target.queue + queue::DROPPED_NEW, dropped as u64);
    }
    if freed > 0 {
        tx.subtract(target.queue + queue::BYTES, freed);
    }
    Ok(())
}

/// One transaction's publishing to one queue.
struct Publication<'a> {
    slot: SlotAt,
    target: &'a Target,
    descriptors: &'a mut Vec<(u64, Meta)>,
    /// Items that the queue's policy gave up.
    dropped: usize,
    /// Bytes that became free.
    freed: u64,
    /// Blocks that are not held any more.
    blocks: usize,
}

impl Publication<'_> {
    /// Takes the target's share of the staged items.
    fn take(&mut self, tx: &mut Tx<'_>, staged: &mut StagedQueue) -> Result<(), Fault> {
        let (mut left, mut puts) = (self.target.taken, self.target.puts);
        while left > 0 {
            let Some(piece) = staged.pieces.front_mut() else {
                return Err(Fault::damaged("what a worker has staged", self.target.queue, left as u64));
            };
            let items = piece.items();
            let n = items.min(left);
            let published =
                if matches!(piece, Piece::Item { .. } | Piece::Extent(_)) { n.min(puts) } else { 0 };
            match piece {
                Piece::Item { data, meta, .. } if published == 1 => self.descriptors.push((*data, *meta)),
                Piece::Item { data, meta, .. } => {
                    self.drop_items(1);
                    self.freed += tx.end_items(*data, *meta, 1)?;
                }
                Piece::Extent(extent) => self.extent(tx, extent, n, published)?,
                Piece::Dropped(items) => (self.dropped, *items) = (self.dropped + n, *items - n),
                Piece::Void(items) => *items -= n,
            }
            if n == items {
                if let Some(entry) = piece.entry() {
                    holdings::clear(tx, self.slot, entry);
                    self.blocks += 1;
                }
                staged.pieces.pop_front();
            }
            (left, puts) = (left - n, puts - published);
        }
        Ok(())
    }

    /// Items that find no room. Those of a queue without a reader count nowhere.
    fn drop_items(&mut self, n: usize) {
        if !self.target.closed {
            self.dropped += n;
        }
    }

    /// The next `n` items of an extent; the first of them are published, the others dropped. Its head is written before the
    /// commit only as long as no queue has items of it.
    fn extent(
        &mut self,
        tx: &mut Tx<'_>,
        extent: &mut StagedExtent,
        n: usize,
        published: usize,
    ) -> Result<(), Fault> {
        let StagedExtent { block, first, count, unpublished, .. } = *extent;
        let left = count - first - n;
        let q = self.target.queue.id();
        self.drop_items(n - published);
        if unpublished > 0 {
            let gone = unpublished.saturating_sub(published + left);
            if gone > 0 {
                self.freed += tx.end_outstanding(block, gone as u64)?;
            }
        } else if published + left == 0 {
            self.freed += tx.free(block)?;
        } else {
            tx.memory.store(block + block::OUTSTANDING, (published + left) as u64);
        }
        if published > 0 {
            self.descriptors.push((block.word(), Meta::span(Span { first, count: published }, q)));
        }
        if left > 0 {
            let at = self.slot.entry(extent.entry) + entry::DESCRIPTOR + descriptor::META;
            tx.set(at, Meta::reserved(q, left).0);
            (extent.unpublished, extent.is_open) = (left, false);
        }
        extent.first += n;
        Ok(())
    }
}
