//! The output queues of a transaction: what fits into them, and how it gets there.

use super::staging::{Disposition, Group, Put, Staging};
use crate::model::WhenFull;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{MAX_FAN, QueueAt, queue};
use crate::queue::transaction::{counts, drop_old, ring, tx::Tx};
use std::ops::Range;

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub queue: QueueAt,
    policy: WhenFull,
    closed: bool,
    capacity: u64,
    before: u64,
    /// Slots left, or, for drop-old, puts left in this transaction.
    left: u64,
    puts: usize,
    dropped: u64,
}

impl Target {
    /// All puts of this transaction wait for room: nothing is thrown away.
    fn takes_all(&self) -> bool {
        !self.closed && self.policy == WhenFull::Block
    }
}

#[inline]
fn push<'a>(
    tx: &mut Tx<'_>,
    target: &Target,
    n: usize,
    puts: impl Iterator<Item = &'a Put>,
) -> Result<(), Fault> {
    match n {
        0 => Ok(()),
        _ => ring::push(tx, target.queue, n, puts.map(|put| (put.data, put.meta))),
    }
}

/// The output queues of a transaction, and which of the staged groups fit. Kept between transactions, as a buffer.
pub(super) struct Targets {
    list: Vec<Target>,
    /// The queue that has no room for the first group that does not fit, and its size.
    pub full: Option<(Target, u64)>,
}

impl Targets {
    /// With room for what is pushed inside the lock.
    pub(super) fn new() -> Targets {
        Targets { list: Vec::with_capacity(MAX_FAN + 1), full: None }
    }

    /// The groups to publish now, at most `limit`; sets the disposition of their puts.
    pub(super) fn fit(
        &mut self,
        tx: &Tx<'_>,
        staging: &mut Staging,
        limit: usize,
    ) -> Result<Range<usize>, Fault> {
        let start = staging.published;
        let end = (start + limit).min(staging.groups.len());
        let Staging { runs, groups, puts, decided, .. } = staging;
        for (queue, run) in runs.of(start..end) {
            let fitting = match queue {
                Some(q) if !*decided => self.admit_all(tx, q, run.len())?,
                Some(_) | None => None,
            };
            let fitting = match fitting {
                Some(n) => n,
                None => self.admit_each(tx, &groups[run.clone()], puts)?,
            };
            if fitting < run.len() {
                return Ok(start..run.start + fitting);
            }
        }
        Ok(start..end)
    }

    /// How many of the groups fit, one after the other; sets the disposition of their puts.
    fn admit_each(&mut self, tx: &Tx<'_>, groups: &[Group], puts: &mut [Put]) -> Result<usize, Fault> {
        for (i, group) in groups.iter().enumerate() {
            let puts = &mut puts[group.first as usize..(group.first + group.count) as usize];
            if !self.admit(tx, puts)? {
                return Ok(i);
            }
        }
        Ok(groups.len())
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.full = None;
    }

    /// How many of `n` outputs fit that all go to one queue, if no policy or end of it decides on each.
    #[inline]
    fn admit_all(&mut self, tx: &Tx<'_>, q: QueueId, n: usize) -> Result<Option<usize>, Fault> {
        let i = self.index(tx, q)?;
        let target = &mut self.list[i];
        if !target.takes_all() {
            return Ok(None);
        }
        let fits = target.left.min(n as u64);
        (target.left, target.puts) = (target.left - fits, target.puts + fits as usize);
        if fits < n as u64 {
            self.full = Some((*target, target.before));
        }
        Ok(Some(fits as usize))
    }

    /// True if the group fits: then its slots are counted as used.
    fn admit(&mut self, tx: &Tx<'_>, puts: &mut [Put]) -> Result<bool, Fault> {
        for put in puts.iter() {
            let i = self.index(tx, put.queue)?;
            let target = &self.list[i];
            let waits = target.policy != WhenFull::DropNew && put.disposition == Disposition::Publish;
            if waits && !target.closed && target.left == 0 {
                self.full = Some((*target, target.before));
                return Ok(false);
            }
        }
        for put in puts.iter_mut() {
            let i = self.index(tx, put.queue)?;
            let target = &mut self.list[i];
            put.disposition = match put.disposition {
                Disposition::Publish if target.closed => Disposition::Void,
                Disposition::Publish if target.left == 0 => Disposition::Drop,
                other => other,
            };
            match put.disposition {
                Disposition::Publish => (target.left, target.puts) = (target.left - 1, target.puts + 1),
                Disposition::Drop => target.dropped += 1,
                Disposition::Void => {}
            }
        }
        Ok(true)
    }

    #[inline]
    fn index(&mut self, tx: &Tx<'_>, q: QueueId) -> Result<usize, Fault> {
        let queue = QueueAt::of(q)?;
        if let Some(i) = self.list.iter().position(|target| target.queue == queue) {
            return Ok(i);
        }
        let capacity = tx.get(queue + queue::CAPACITY);
        let before = counts::queued(tx, queue);
        let policy = WhenFull::from_word(tx.memory.load(queue + queue::WHEN_FULL));
        let left = match policy {
            WhenFull::DropOld => capacity,
            WhenFull::Block | WhenFull::DropNew => capacity.saturating_sub(before),
        };
        let closed = tx.get(queue + queue::FLAGS) & queue::CLOSED != 0;
        let target = Target { queue, policy, closed, capacity, before, left, puts: 0, dropped: 0 };
        if self.list.len() > MAX_FAN {
            return Err(Fault::damaged("the number of output queues", queue, self.list.len() as u64));
        }
        self.list.push(target);
        Ok(self.list.len() - 1)
    }

    /// No stage reads any of the outputs. The stage's own hidden queue always has a reader.
    pub(super) fn are_closed(&self, hidden: Option<QueueId>) -> bool {
        let mut outputs = self.list.iter().filter(|target| Some(target.queue.id()) != hidden).peekable();
        outputs.peek().is_some() && outputs.all(|target| target.closed)
    }

    pub(super) fn publish(
        &self,
        tx: &mut Tx<'_>,
        staging: &Staging,
        fits: Range<usize>,
    ) -> Result<(), Fault> {
        for target in &self.list {
            let overflow = target.before.saturating_add(target.puts as u64).saturating_sub(target.capacity);
            if target.policy == WhenFull::DropOld && target.puts > 0 && overflow > 0 {
                drop_old::oldest(tx, target.queue, overflow)?;
            }
            if target.dropped > 0 {
                tx.add(target.queue + queue::DROPPED_NEW, target.dropped);
            }
        }
        for (queue, run) in staging.runs.of(fits) {
            let puts = &staging.puts[staging.puts_of(run)];
            for target in self.list.iter().filter(|target| queue.is_none_or(|q| q == target.queue.id())) {
                match queue.is_some() && target.takes_all() && !staging.decided {
                    true => push(tx, target, puts.len(), puts.iter())?,
                    false => {
                        let is_published = |put: &&Put| {
                            put.queue == target.queue.id() && put.disposition == Disposition::Publish
                        };
                        let n = puts.iter().filter(is_published).count();
                        push(tx, target, n, puts.iter().filter(is_published))?;
                    }
                }
            }
        }
        Ok(())
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
