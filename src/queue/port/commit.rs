//! Publishing: staged outputs become items, and the leases they came from end, in one transaction.

use super::super::descriptor::Meta;
use super::super::event::Event;
use super::super::holdings::{self, Bitmap, End, Ended};
use super::super::layout::{self, MAX_BATCH, MAX_FAN, queue, slot};
use super::super::tx::Tx;
use super::super::worker_time::COUNTED;
use super::super::{Fault, QueueId, Waiting, WhenFull, counts, drop_old, ring};
use super::put::{Fate, Group, NO_LEASE, Put, PutError, Staging};
use super::{Port, Wait};
use std::ops::Range;

/// What came of a [`Port::commit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Committed {
    /// All outputs are out and the leases have ended. So many waited in the first output queue, before and after.
    Done {
        /// Waiting before.
        before: u64,
        /// Waiting after.
        after: u64,
    },
    /// No room in the time given; what is out is marked, the rest stays staged: call again.
    Full {
        /// Which queue is full.
        queue: QueueId,
        /// Items waiting there.
        size: u64,
    },
    /// Nobody reads any of the outputs any more. The staged outputs are gone, the leases stay.
    Closed,
    /// Told to finish while there was no room; the rest stays staged.
    Ordered,
}

/// Unfinished leases that one transaction may mark.
const MAX_MARKS: usize = 64;

pub(super) enum Step {
    AllOut { before: u64, after: u64 },
    Progress,
    Full { queue: QueueId, size: u64, event: Event, sequence: u32 },
    Closed,
}

impl Port {
    /// Publishes all staged outputs and ends the leases `0 .. upto`, all in one transaction if there is room for it
    /// all; else in parts, each lease ending together with the last of its outputs.
    ///
    /// When it returns early some leases may have ended already: they are gone from the front ([`Port::len`] tells
    /// how many are left), so the next call's `upto` is less by as many.
    ///
    /// Without staged outputs the leases are only noted as finished: the next `take` (or `pause`) ends them. If the last
    /// `take` came back empty they end at once: a [`Sleeper`](super::Sleeper) may wait for just that.
    ///
    /// # Errors
    /// Only when the memory is damaged.
    pub fn commit(&mut self, upto: usize, wait: Wait) -> Result<Committed, Fault> {
        let mut upto = upto.min(self.leases.len());
        if self.staging.is_empty() {
            self.finished.extend(self.leases.drain(..upto));
            if !self.unslept.is_empty() {
                self.settle()?;
            }
            return Ok(Committed::Done { before: 0, after: 0 });
        }
        let mut slept = None;
        let mut first_before = None;
        loop {
            if wait != Wait::No {
                // Before the transaction: in it a sleeper announces itself, and costs its waker a system call.
                self.look_for_room()?;
            }
            let held = self.leases.len();
            let step = self.try_publish(upto, slept.take(), false)?;
            upto -= held - self.leases.len();
            match step {
                Step::AllOut { before, after } => {
                    return Ok(Committed::Done { before: first_before.unwrap_or(before), after });
                }
                Step::Closed => {
                    self.discard_staged()?;
                    return Ok(Committed::Closed);
                }
                Step::Progress => {}
                Step::Full { queue, size, event, sequence } => {
                    first_before.get_or_insert(size);
                    if wait.is_over() {
                        return Ok(Committed::Full { queue, size });
                    }
                    if wait == Wait::Undisturbed && self.is_disturbed() && !self.must_finish() {
                        return Ok(Committed::Full { queue, size });
                    }
                    if self.must_finish() && wait != Wait::Regardless {
                        return Ok(Committed::Ordered);
                    }
                    self.sleep_on(&[(event, sequence)], wait, Waiting::Blocked)?;
                    slept = Some(event);
                }
            }
        }
    }

    /// Where all goes to one queue that must be waited for: looks shortly whether there will be room for a good part.
    fn look_for_room(&mut self) -> Result<(), Fault> {
        let Port { hand, patience, staging, .. } = self;
        let Some(q) = staging.only else { return Ok(()) };
        let (memory, at) = (hand.memory(), layout::queue_at(q)?);
        let flags = memory.load(at + queue::FLAGS);
        if flags & queue::CLOSED == 0
            && WhenFull::from_word(memory.load(at + queue::WHEN_FULL)) == WhenFull::Block
        {
            let capacity = memory.load(at + queue::CAPACITY);
            let wanted = (staging.unpublished() as u64).min(capacity.div_ceil(2));
            let has_room = || counts::waiting_roughly(memory, q).saturating_add(wanted) <= capacity;
            if !has_room() {
                patience.look(has_room);
                self.count_looking(Waiting::Blocked);
            }
        }
        Ok(())
    }

    /// Publishes what is staged before its input is done: there is too much of it to keep back.
    pub(super) fn publish_early(&mut self) -> Result<(), PutError> {
        self.publish_early_keeping(self.staging.puts.len())
    }

    /// The same, in the middle of staging an output whose puts start at `keep`.
    pub(super) fn publish_early_keeping(&mut self, keep: usize) -> Result<(), PutError> {
        let unfinished = self.staging.puts.split_off(keep);
        let result = self.commit(0, Wait::Forever);
        if self.staging.is_empty() {
            self.staging.blocks = unfinished.iter().filter(|put| put.hold().is_some()).count();
        }
        self.staging.puts.extend(unfinished);
        match result? {
            Committed::Ordered => Err(PutError::Ordered),
            Committed::Done { .. } | Committed::Full { .. } | Committed::Closed => Ok(()),
        }
    }

    /// One transaction. `whole`: with everything, or nothing happens.
    pub(super) fn try_publish(
        &mut self,
        upto: usize,
        slept: Option<Event>,
        whole: bool,
    ) -> Result<Step, Fault> {
        let Port { hand, slot, live, leases, staging, targets, memory, .. } = self;
        let mut tx = hand.begin()?;
        if let Some(event) = slept {
            tx.expect(event); // others may sleep on
        }
        targets.clear();
        let mut fits = targets.fit(&tx, staging, MAX_BATCH)?;
        // Fewer groups may leave more leases unfinished, hence the loop; one group can always be marked.
        while let n = markable(staging, fits.clone(), upto)
            && n < fits.len()
        {
            staging.reconsider(fits);
            targets.clear();
            fits = targets.fit(&tx, staging, n)?;
        }
        if (fits.is_empty() || whole)
            && let Some((target, size)) = targets.full
        {
            let event = Event::of(target.at, queue::NOT_FULL);
            if let Some(other) = slept
                && other != event
            {
                // It was woken for room that it can't use now: somebody else may.
                tx.notify(other);
            }
            return Ok(Step::Full { queue: target.queue, size, event, sequence: tx.expect(event) });
        }
        if targets.are_closed(*memory) {
            return Ok(Step::Closed);
        }
        let puts = staging.puts_of(fits.clone());
        targets.publish(&mut tx, &staging.puts[puts.clone()])?;
        let mut after = *live;
        if staging.blocks > 0 {
            release_blocks(&mut tx, &mut after, &staging.puts[puts])?;
        }
        let done = finished_by(staging, fits.end, upto);
        let mut ended = Ended::default();
        holdings::end(&mut tx, *slot, &leases[..done], End::Done, &mut ended)?;
        leases[..done].iter().for_each(|&entry| holdings::clear(&mut after, entry));
        if done < staging.named {
            mark(&mut tx, *slot, leases, done, &staging.groups[fits.clone()]);
        }
        holdings::save(&mut tx, *slot, live, &after);
        // A token ends its old lease and is an output, but neither is work done.
        let tokens = u64::from(memory.is_some() && staging.last_queue(fits.clone()) == *memory);
        if COUNTED {
            tx.add(*slot + slot::EMITTED, fits.len() as u64 - tokens);
            tx.add(*slot + slot::COMPLETED, done as u64 - tokens.min(done as u64));
        }
        tx.commit()?;
        *live = after;
        leases.drain(..done);
        staging.published = fits.end;
        staging.named = staging.named.saturating_sub(done);
        for group in &mut staging.groups[fits.end..] {
            if group.lease != NO_LEASE {
                group.lease -= done as u32;
            }
        }
        targets.tell(&mut tx);
        ended.tell(&mut tx);
        let (before, size_after) = targets.first_sizes(&tx);
        let change = tx.change();
        drop(tx);
        if let Some(change) = change {
            self.wait_until_safe(change);
        }
        let staging = &mut self.staging;
        if staging.published < staging.groups.len() {
            return Ok(Step::Progress);
        }
        staging.clear();
        Ok(Step::AllOut { before, after: size_after })
    }
}

/// How many leases, from the oldest, have no output left once the groups before `end` are out.
fn finished_by(staging: &Staging, end: usize, upto: usize) -> usize {
    let rest = staging.groups[end..].iter().map(|group| group.lease as usize);
    rest.min().unwrap_or(usize::MAX).min(upto)
}

/// How many of the groups can go out at once, so that the marks of unfinished leases fit into the journal.
fn markable(staging: &Staging, fits: Range<usize>, upto: usize) -> usize {
    let done = finished_by(staging, fits.end, upto);
    if staging.named <= done {
        return fits.len();
    }
    let (mut marks, mut last) = (0, NO_LEASE);
    for (n, group) in staging.groups[fits.clone()].iter().enumerate() {
        if group.lease != NO_LEASE && group.lease as usize >= done && group.lease != last {
            (marks, last) = (marks + 1, group.lease);
            if marks > MAX_MARKS {
                return n;
            }
        }
    }
    fits.len()
}

/// Published blocks leave the worker's holdings; those of dropped outputs become free.
fn release_blocks(tx: &mut Tx<'_>, after: &mut Bitmap, puts: &[Put]) -> Result<(), Fault> {
    for put in puts {
        if let Some(hold) = put.hold() {
            holdings::clear(after, hold);
            if put.fate != Fate::Publish {
                let size = tx.free(put.data)?;
                tx.subtract(layout::queue_at(put.queue)? + queue::BYTES, size);
            }
        }
    }
    Ok(())
}

/// Leases that stay remember how many of their outputs are out: a later try skips as many.
fn mark(tx: &mut Tx<'_>, slot: usize, leases: &[u16], done: usize, out: &[Group]) {
    for group in out {
        let lease = group.lease as usize;
        if group.lease != NO_LEASE && lease >= done && lease < leases.len() {
            tx.add(layout::holding(slot, leases[lease] as usize) + 24, 1);
        }
    }
}

/// One output queue in this transaction.
#[derive(Clone, Copy)]
struct Target {
    queue: QueueId,
    at: usize,
    policy: WhenFull,
    closed: bool,
    capacity: u64,
    before: u64,
    /// Slots left, or, for drop-old, puts left in this transaction.
    left: u64,
    puts: usize,
    dropped: u64,
}

/// The output queues of a transaction, and which of the staged groups fit. Kept between transactions, as a buffer.
pub(super) struct Targets {
    list: Vec<Target>,
    /// The queue that has no room for the first group that does not fit, and its size.
    full: Option<(Target, u64)>,
}

impl Targets {
    /// With room for what is pushed inside the lock.
    pub fn new() -> Targets {
        Targets { list: Vec::with_capacity(MAX_FAN + 1), full: None }
    }

    /// The groups to publish now, at most `limit`; sets the fate of their puts.
    fn fit(&mut self, tx: &Tx<'_>, staging: &mut Staging, limit: usize) -> Result<Range<usize>, Fault> {
        let start = staging.published;
        let end = (start + limit).min(staging.groups.len());
        if let Some(q) = staging.only
            && !staging.decided
            && let Some(n) = self.admit_all(tx, q, end - start)?
        {
            return Ok(start..start + n);
        }
        for i in start..end {
            let group = staging.groups[i];
            let puts = &mut staging.puts[group.first as usize..(group.first + group.count) as usize];
            if !self.admit(tx, puts)? {
                return Ok(start..i);
            }
        }
        Ok(start..end)
    }

    fn clear(&mut self) {
        self.list.clear();
        self.full = None;
    }

    /// How many of `n` outputs fit that all go to one queue, if no policy or end of it needs a look at each.
    #[inline]
    fn admit_all(&mut self, tx: &Tx<'_>, q: QueueId, n: usize) -> Result<Option<usize>, Fault> {
        let i = self.index(tx, q)?;
        let target = &mut self.list[i];
        if target.closed || target.policy != WhenFull::Block {
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
            let waits = target.policy != WhenFull::DropNew && put.fate == Fate::Publish;
            if waits && !target.closed && target.left == 0 {
                self.full = Some((*target, target.before));
                return Ok(false);
            }
        }
        for put in puts.iter_mut() {
            let i = self.index(tx, put.queue)?;
            let target = &mut self.list[i];
            put.fate = match put.fate {
                Fate::Publish if target.closed => Fate::Void,
                Fate::Publish if target.left == 0 => Fate::Drop,
                fate => fate,
            };
            match put.fate {
                Fate::Publish => (target.left, target.puts) = (target.left - 1, target.puts + 1),
                Fate::Drop => target.dropped += 1,
                Fate::Void => {}
            }
        }
        Ok(true)
    }

    #[inline]
    fn index(&mut self, tx: &Tx<'_>, q: QueueId) -> Result<usize, Fault> {
        if let Some(i) = self.list.iter().position(|target| target.queue == q) {
            return Ok(i);
        }
        let at = layout::queue_at(q)?;
        let capacity = tx.get(at + queue::CAPACITY);
        let before = ring::waiting(tx, at);
        let policy = WhenFull::from_word(tx.get(at + queue::WHEN_FULL));
        let left = match policy {
            WhenFull::DropOld => capacity,
            WhenFull::Block | WhenFull::DropNew => capacity.saturating_sub(before),
        };
        let closed = tx.get(at + queue::FLAGS) & queue::CLOSED != 0;
        let target = Target { queue: q, at, policy, closed, capacity, before, left, puts: 0, dropped: 0 };
        if self.list.len() > MAX_FAN {
            return Err(Fault::damaged("the number of output queues", at as u64, self.list.len() as u64));
        }
        self.list.push(target);
        Ok(self.list.len() - 1)
    }

    /// Nobody reads any of the stage's outputs. Its own token has a reader for ever.
    fn are_closed(&self, token: Option<QueueId>) -> bool {
        let mut outputs = self.list.iter().filter(|target| Some(target.queue) != token).peekable();
        outputs.peek().is_some() && outputs.all(|target| target.closed)
    }

    fn publish(&self, tx: &mut Tx<'_>, puts: &[Put]) -> Result<(), Fault> {
        for target in &self.list {
            let overflow = target.before.saturating_add(target.puts as u64).saturating_sub(target.capacity);
            if target.policy == WhenFull::DropOld && target.puts > 0 && overflow > 0 {
                drop_old::oldest(tx, target.queue, target.at, overflow)?;
            }
            if target.dropped > 0 {
                tx.add(target.at + queue::DROPPED_NEW, target.dropped);
            }
            if target.puts == puts.len() {
                let items = puts.iter().map(|put| (put.data, put.meta));
                ring::push(tx, target.queue, target.at, target.puts, items)?;
            } else if target.puts > 0 {
                let mine = puts.iter().filter(|put| put.queue == target.queue && put.fate == Fate::Publish);
                let items: &mut dyn Iterator<Item = (u64, Meta)> = &mut mine.map(|put| (put.data, put.meta));
                ring::push(tx, target.queue, target.at, target.puts, items)?;
            }
        }
        Ok(())
    }

    /// After the commit: readers have something to read, and other writers perhaps still room.
    fn tell(&self, tx: &mut Tx<'_>) {
        for target in &self.list {
            if target.puts > 0 {
                tx.notify(Event::of(target.at, queue::NOT_EMPTY));
            }
            if ring::waiting(tx, target.at) < target.capacity {
                tx.notify(Event::of(target.at, queue::NOT_FULL));
            }
        }
    }

    fn first_sizes(&self, tx: &Tx<'_>) -> (u64, u64) {
        self.list.first().map_or((0, 0), |target| (target.before, ring::waiting(tx, target.at)))
    }
}
