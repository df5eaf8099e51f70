//! The link's side of the arena: items come in with their marks, commits go out.
//!
//! Of each shared queue that this machine reads there are two in the arena: the queue itself, in which each item stands behind its
//! mark (the sequence of its lease, 16 bytes), and the *held* queue, whose one item is the set of all sequences that the machine
//! has. Of each stage that reads or writes a shared queue there is a *line*, whose items are its commits. Only the link puts into the
//! first two and takes from the last two.
//!
//! | killed … | what is left | the next link |
//! |---|---|---|
//! | with the held set leased, before the transaction | nothing of it | release: the set goes back as it was |
//! | after the transaction of `store` | the items and their sequences | holds them |
//! | after that of `end` | neither the commits nor their sequences | |
//! | with items leased to look for those that go, or some of them given back | all of them, in the queue or leased | release: they go back, in another order |
//! | with the token leased, before the transaction of `put_token` | the token as it was, and a note beside it | release; puts it again |
//! | after it | the position of the broker | the same |
//! | after the transaction of `drop_unbegun` or `withdraw` | neither the items nor their sequences | gives back after `Held` what the broker still leases to it |

use super::held::HeldSet;
use super::news::{News, Waiter};
use super::pace::Pace;
use crate::broker::link::{Ends, Event, LineId, Remains};
use crate::broker::{Commit, Lease, MARK_LEN, Sequence, SharedQueue, Verdict};
use crate::queue::{self, Arena, Committed, Fault, PutError, QueueId, SlotId, Taken, Wait, WorkerHandle};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Items or commits of one transaction: beside them there are the held sets.
const MOST_AT_ONCE: usize = 400;
/// Items that wait on this machine, of one queue: as many as one look takes.
const MOST_WAITING: usize = MOST_AT_ONCE;
/// Bytes of the commits of one request, and of the items that are taken at once, where more than one has that many together. More at
/// once goes no faster: it only passes through memory that no cache holds.
const MOST_BYTES: usize = 1 << 20;
/// Items that this machine has of one queue: each transaction writes their sequences anew.
const MOST_HELD: usize = 4096;
/// A full disk is tried again.
const DISK_RETRY: Duration = Duration::from_millis(100);

/// What the supervisor tells a link of the arena.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkSpec {
    /// The shared queues that this machine reads.
    pub queues: Vec<LinkQueue>,
    pub lines: Vec<LinkLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkQueue {
    pub shared: SharedQueue,
    pub queue: QueueId,
    pub held: QueueId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkLine {
    /// The stage's.
    pub name: String,
    pub queue: QueueId,
    /// The stage's token, where the broker has a copy of it.
    #[serde(default)]
    pub token: Option<QueueId>,
}

/// A shared queue that this machine reads.
struct Inlet {
    shared: SharedQueue,
    queue: QueueId,
    held_queue: QueueId,
    held: HeldSet,
    pace: Pace,
    /// Bytes of an item, as of those that were there last.
    item_len: usize,
    /// Places that the link knows of.
    reported: Option<usize>,
    is_withdrawn: bool,
}

struct Line {
    queue: QueueId,
    token: Option<QueueId>,
    /// Its commits before this number the link knows of.
    next: u64,
}

pub(crate) struct LinkArena {
    handle: WorkerHandle,
    inlets: Vec<Inlet>,
    lines: Vec<Line>,
    news: News,
}

impl LinkArena {
    /// `slot`: the link's, opened by the supervisor.
    pub(crate) fn open(arena: Arena, slot: SlotId, spec: &LinkSpec) -> Result<LinkArena, Fault> {
        let mut handle = WorkerHandle::open(arena, slot)?;
        let inlet = |queue: &LinkQueue| open_inlet(&mut handle, queue);
        let inlets = spec.queues.iter().map(inlet).collect::<Result<_, _>>()?;
        let line = |line: &LinkLine| {
            line.token.into_iter().for_each(|token| handle.add_hidden_queue(token));
            Line { queue: line.queue, token: line.token, next: 1 }
        };
        let lines = spec.lines.iter().map(line).collect();
        Ok(LinkArena { handle, inlets, lines, news: News::default() })
    }

    /// What lies there when a link starts.
    pub(crate) fn remains(&mut self) -> Result<Remains, Fault> {
        let held = self.inlets.iter().map(|inlet| (inlet.shared, inlet.held.sequences().to_vec())).collect();
        let mut commits = Vec::new();
        for line in 0..self.lines.len() {
            commits.push(self.new_commits(line)?);
        }
        Ok(Remains { held, commits })
    }

    /// Items that were leased come in, each behind its mark: with their sequences, in one transaction.
    pub(crate) fn store(&mut self, queue: SharedQueue, leases: &[Lease]) -> Result<(), Fault> {
        let i = self.inlet(queue)?;
        for some in leases.chunks(MOST_AT_ONCE) {
            let held = self.inlets[i].held.with(some.iter().map(|lease| lease.sequence));
            let q = self.inlets[i].queue;
            self.replace_held(vec![(i, held)], 0, |handle| {
                some.iter().try_for_each(|lease| put_marked(handle, q, lease))
            })?;
            let reported = &mut self.inlets[i].reported;
            *reported = reported.map(|places| places.saturating_sub(some.len()));
        }
        Ok(())
    }

    /// Items that are another machine's go out, as far as no worker has begun them; this machine has none of them any more. What
    /// a worker has, or a look does not find, costs the work on it: its commit will be refused.
    pub(crate) fn drop_unbegun(&mut self, queue: SharedQueue, sequences: &[Sequence]) -> Result<(), Fault> {
        let gone: BTreeSet<Sequence> = sequences.iter().copied().collect();
        let i = self.inlet(queue)?;
        while self.handle.take_waiting(self.inlets[i].queue, MOST_AT_ONCE)? > 0
            && self.handle.len() < MOST_AT_ONCE
        {}
        // The youngest first: each goes to the front of its queue.
        for at in (0..self.handle.len()).rev() {
            if !gone.contains(&sequence_of(&self.handle, at)?.0) {
                self.handle.give_back(at, false)?;
            }
        }
        let held = self.inlets[i].held.without(gone);
        self.replace_held(vec![(i, held)], self.handle.len(), |_| Ok(()))
    }

    /// What comes back from workers stays again.
    pub(crate) fn open_again(&mut self, queue: SharedQueue) -> Result<(), Fault> {
        let i = self.inlet(queue)?;
        (self.inlets[i].is_withdrawn, self.inlets[i].reported) = (false, None);
        Ok(())
    }

    /// All items that no worker has begun go out, now and whenever one comes back. Returns them with the attempts that failed.
    pub(crate) fn withdraw(&mut self, queue: SharedQueue) -> Result<Vec<(Sequence, u32)>, Fault> {
        let i = self.inlet(queue)?;
        self.inlets[i].is_withdrawn = true;
        let mut all = Vec::new();
        while self.handle.take_waiting(self.inlets[i].queue, MOST_AT_ONCE)? > 0 {
            let n = self.handle.len();
            let leases = (0..n).map(|at| sequence_of(&self.handle, at)).collect::<Result<Vec<_>, _>>()?;
            let held = self.inlets[i].held.without(leases.iter().map(|(sequence, _)| *sequence));
            self.replace_held(vec![(i, held)], n, |_| Ok(()))?;
            all.extend(leases);
        }
        Ok(all)
    }

    /// Whether this machine holds no item of the queue.
    pub(crate) fn has_none_of(&self, queue: SharedQueue) -> bool {
        self.inlets.iter().all(|inlet| inlet.shared != queue || inlet.held.len() == 0)
    }

    /// Whether what other machines have is all that may still come: then each machine judges by itself what has failed.
    pub(crate) fn set_all_leased(&mut self, queue: SharedQueue, is_so: bool) -> Result<(), Fault> {
        let i = self.inlet(queue)?;
        self.handle.set_all_leased(self.inlets[i].queue, is_so)
    }

    /// The queue has ended: no item of it will come any more.
    pub(crate) fn close(&mut self, queue: SharedQueue) -> Result<(), Fault> {
        let i = self.inlet(queue)?;
        self.handle.end_queue(self.inlets[i].queue)
    }

    /// It has not, after all.
    pub(crate) fn reopen(&mut self, queue: SharedQueue) -> Result<(), Fault> {
        let i = self.inlet(queue)?;
        self.handle.reopen_queue(self.inlets[i].queue)
    }

    /// The commits of a line from number `first` to `last`: those that have been put, up to [`MOST_BYTES`].
    pub(crate) fn commits(&mut self, line: LineId, first: u64, last: u64) -> Result<Vec<Commit>, Fault> {
        let (q, most) = (self.line(line)?, usize::try_from(last - first).unwrap_or(usize::MAX) + 1);
        let (mut commits, mut bytes, mut bad) = (Vec::new(), 0, None);
        self.handle.look(q, first - 1, most, |id, item| {
            bytes += item.len();
            if bytes > MOST_BYTES && !commits.is_empty() {
                return false;
            }
            match Commit::decode(id + 1, &Bytes::copy_from_slice(item)) {
                Some(commit) => commits.push(commit),
                None => bad = Some(no_commit(q, id)),
            }
            bad.is_none() && commits.len() < most
        })?;
        bad.map_or(Ok(commits), Err)
    }

    /// The oldest commits of a line have been judged: they go, and so do the sequences that they end, in one transaction.
    pub(crate) fn end(&mut self, line: LineId, first: u64, verdicts: &[Verdict]) -> Result<(), Fault> {
        let q = self.line(line)?;
        let mut first = first;
        for some in verdicts.chunks(MOST_AT_ONCE) {
            self.end_some(q, first, some.len())?;
            first += some.len() as u64;
        }
        Ok(())
    }

    /// The number of the last commit of a line to which none will be added; `None`: its stage may still commit, or the link has
    /// yet to look at what it has committed.
    pub(crate) fn last(&mut self, line: LineId) -> Result<Option<u64>, Fault> {
        let q = self.line(line)?;
        let (counts, has_ended) = self.handle.counts_of(q)?;
        let is_known = counts.put < self.lines[line.0].next || counts.waiting + counts.leased == 0;
        Ok((has_ended && is_known).then_some(counts.put))
    }

    /// The token of a line's stage, of which no worker is there; `None`: it has none that the broker knows of.
    pub(crate) fn token(&mut self, line: LineId) -> Result<Option<Vec<u8>>, Fault> {
        self.line(line)?;
        let Some(token) = self.lines[line.0].token else { return Ok(None) };
        let mut found = None;
        self.handle.look(token, 0, 1, |_, bytes| {
            found = Some(bytes.to_vec());
            false
        })?;
        found.map(Some).ok_or_else(|| no_token(token))
    }

    /// The stage of the line, of which no worker is there, is to go on from this position.
    pub(crate) fn put_token(&mut self, line: LineId, position: &[u8]) -> Result<(), Fault> {
        let (Some(old), Some(token)) = (self.token(line)?, self.lines[line.0].token) else { return Ok(()) };
        // First: what the workers before have written outside is to be undone whatever becomes of the token.
        self.handle.note_restored(token)?;
        if old == position {
            return Ok(());
        }
        if !matches!(self.handle.take_first(token, Wait::No)?, Taken::Items { .. }) {
            return Err(no_token(token));
        }
        while !publish(&mut self.handle, 1, &|handle| handle.put(&[token], position, Some(0)))? {
            std::thread::sleep(DISK_RETRY);
        }
        Ok(())
    }

    /// [`Event::Room`], [`Event::Queued`] and [`Event::Withdrawn`], as far as they are news. `listens`: what happens from now on ends
    /// the wait of the [`LinkArena::waiter`].
    pub(crate) fn poll(&mut self, listens: bool) -> Result<Vec<Event>, Fault> {
        // First: what happens after it is news.
        if listens || self.inlets.iter().any(|inlet| inlet.is_withdrawn) {
            self.listen()?;
        }
        let mut events = Vec::new();
        for line in 0..self.lines.len() {
            let queued = self.new_commits(line)?.into_iter();
            events.extend(queued.map(|(number, ends)| Event::Queued { line: LineId(line), number, ends }));
        }
        for i in 0..self.inlets.len() {
            match self.inlets[i].is_withdrawn {
                true => events.extend(self.withdrawn_since(i)?),
                false => events.extend(self.room(i)?),
            }
        }
        Ok(events)
    }

    /// Waits beside it for something to look at.
    pub(crate) fn waiter(&self) -> Waiter {
        self.news.waiter()
    }

    /// What the kernel does when this process dies, for a simulated death.
    #[cfg(test)]
    pub(crate) fn die(&self) {
        self.handle.die();
    }

    fn listen(&mut self) -> Result<(), Fault> {
        let lines = self.lines.iter().map(|line| (line.queue, queue::News::Items));
        let inlet = |inlet: &Inlet| {
            let news = if inlet.is_withdrawn { queue::News::Items } else { queue::News::Room };
            (inlet.queue, news)
        };
        let listener = self.handle.listen(lines.chain(self.inlets.iter().map(inlet)))?;
        self.news.looks(listener);
        Ok(())
    }

    fn withdrawn_since(&mut self, i: usize) -> Result<Option<Event>, Fault> {
        let queue = self.inlets[i].shared;
        let leases = self.withdraw(queue)?;
        Ok((!leases.is_empty()).then_some(Event::Withdrawn { queue, leases }))
    }

    fn room(&mut self, i: usize) -> Result<Option<Event>, Fault> {
        let inlet = &mut self.inlets[i];
        let (counts, _) = self.handle.counts_of(inlet.queue)?;
        let (capacity, max_bytes) = self.handle.limits_of(inlet.queue)?;
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (waiting, delayed) = (size(counts.waiting), size(counts.delayed));
        let left = size(capacity).min(MOST_WAITING).saturating_sub(delayed);
        // What is delayed is not what workers have to do: fresh items pass it, and tell whether it or the stage is at fault.
        let taken = counts.put - counts.waiting - counts.delayed;
        let wanted = inlet.pace.wanted(taken, Instant::now()).min(left);
        let room = wanted.saturating_sub(waiting).min(MOST_HELD.saturating_sub(inlet.held.len()));
        let has_bytes = counts.bytes < max_bytes / 2 || waiting + delayed == 0;
        let there = waiting + delayed + size(counts.leased);
        inlet.item_len = size(counts.bytes).checked_div(there).unwrap_or(inlet.item_len).max(1);
        let places = if has_bytes { room.min((MOST_BYTES / inlet.item_len).max(1)) } else { 0 };
        let is_news = inlet.reported.replace(places) != Some(places);
        Ok(is_news.then_some(Event::Room { queue: inlet.shared, places }))
    }

    /// The numbers and the ends of the commits that the link does not know of yet.
    fn new_commits(&mut self, line: usize) -> Result<Vec<(u64, Ends)>, Fault> {
        let Line { queue, next, .. } = self.lines[line];
        let (mut new, mut bad) = (Vec::new(), None);
        self.handle.look(queue, next - 1, usize::MAX, |id, item| {
            match Commit::decode_ends(item) {
                Some(ends) => new.push((id + 1, ends)),
                None => bad = Some(no_commit(queue, id)),
            }
            bad.is_none()
        })?;
        if let Some((last, _)) = new.last() {
            self.lines[line].next = last + 1;
        }
        bad.map_or(Ok(new), Err)
    }

    fn end_some(&mut self, q: QueueId, first: u64, n: usize) -> Result<(), Fault> {
        let (mut ends, mut bad, mut next) = (Vec::new(), None, first);
        self.handle.look(q, 0, n, |id, item| {
            match Commit::decode_ends(item).filter(|_| id + 1 == next) {
                Some(more) => ends.extend(more),
                None => bad = Some(no_commit(q, id)),
            }
            next += 1;
            bad.is_none() && next < first + n as u64
        })?;
        if let Some(fault) = bad.or_else(|| (next != first + n as u64).then(|| no_commit(q, next))) {
            return Err(fault);
        }
        let mut held = Vec::new();
        for (i, inlet) in self.inlets.iter().enumerate() {
            let mut of_it = ends.iter().filter(|(queue, _)| *queue == inlet.shared).peekable();
            if of_it.peek().is_some() {
                held.push((i, inlet.held.without(of_it.map(|(_, sequence)| *sequence))));
            }
        }
        while self.handle.len() < n {
            if !matches!(self.handle.take(&[q], n - self.handle.len(), Wait::No)?, Taken::Items { .. }) {
                return Err(no_commit(q, first));
            }
        }
        self.replace_held(held, n, |_| Ok(()))
    }

    /// One transaction: held sets take the place of those that are there, what `put` puts becomes items, and the oldest `ended`
    /// leases end.
    fn replace_held(
        &mut self,
        held: Vec<(usize, HeldSet)>,
        ended: usize,
        put: impl Fn(&mut WorkerHandle) -> Result<(), PutError>,
    ) -> Result<(), Fault> {
        for (i, _) in &held {
            if !matches!(self.handle.take_first(self.inlets[*i].held_queue, Wait::No)?, Taken::Items { .. }) {
                return Err(no_held_set(self.inlets[*i].held_queue));
            }
        }
        while !self.try_replace(&held, ended, &put)? {
            std::thread::sleep(DISK_RETRY);
        }
        for (i, set) in held {
            self.inlets[i].held = set;
        }
        Ok(())
    }

    /// False: there was no memory for it, and nothing has happened.
    fn try_replace(
        &mut self,
        held: &[(usize, HeldSet)],
        ended: usize,
        put: &impl Fn(&mut WorkerHandle) -> Result<(), PutError>,
    ) -> Result<bool, Fault> {
        let LinkArena { handle, inlets, .. } = self;
        let upto = held.len() + ended;
        if held.is_empty() {
            handle.commit(upto, Wait::No)?;
            return handle.settle().map(|()| true);
        }
        let put_set = |handle: &mut WorkerHandle, (i, set): &(usize, HeldSet)| {
            handle.put(&[inlets[*i].held_queue], &set.encode(), Some(0))
        };
        publish(handle, upto, &|handle| {
            put(handle).and_then(|()| held.iter().try_for_each(|set| put_set(handle, set)))
        })
    }

    fn inlet(&self, queue: SharedQueue) -> Result<usize, Fault> {
        let found = self.inlets.iter().position(|inlet| inlet.shared == queue);
        found.ok_or_else(|| Fault::damaged("a shared queue's number", 0_u64, queue.0.into()))
    }

    fn line(&self, line: LineId) -> Result<QueueId, Fault> {
        let found = self.lines.get(line.0).map(|line| line.queue);
        found.ok_or_else(|| Fault::damaged("a line's number", 0_u64, line.0 as u64))
    }
}

/// One transaction: what `put` puts becomes items, and the oldest `upto` leases end. False: there was no memory for it, and nothing
/// has happened.
fn publish(
    handle: &mut WorkerHandle,
    upto: usize,
    put: &impl Fn(&mut WorkerHandle) -> Result<(), PutError>,
) -> Result<bool, Fault> {
    handle.begin_regardless();
    match put(handle) {
        Ok(()) => {}
        Err(PutError::Fault(fault)) => return Err(fault),
        Err(PutError::NoRoom | PutError::Ordered | PutError::TooLong { .. }) => {
            handle.give_up_whole()?;
            return Ok(false);
        }
    }
    match handle.publish_whole(upto)? {
        Some(Committed::Done { .. }) => Ok(true),
        None => Ok(false),
        Some(_) => Err(Fault::damaged("the end of a queue that a link fills", 0_u64, 0)),
    }
}

fn open_inlet(handle: &mut WorkerHandle, spec: &LinkQueue) -> Result<Inlet, Fault> {
    handle.add_hidden_queue(spec.held);
    let mut set = None;
    handle.look(spec.held, 0, 1, |_, bytes| {
        set = HeldSet::decode(bytes);
        false
    })?;
    let (counts, _) = handle.counts_of(spec.queue)?;
    Ok(Inlet {
        shared: spec.shared,
        queue: spec.queue,
        held_queue: spec.held,
        held: set.ok_or_else(|| no_held_set(spec.held))?,
        pace: Pace::new(counts.put - counts.waiting - counts.delayed, Instant::now()),
        item_len: 1,
        reported: None,
        is_withdrawn: false,
    })
}

fn put_marked(handle: &mut WorkerHandle, q: QueueId, lease: &Lease) -> Result<(), PutError> {
    let len = MARK_LEN + lease.item.len();
    handle.put_failed(q, len, (lease.attempts, Some(0)), |to| {
        let (mark, item) = to.split_at_mut(MARK_LEN);
        mark.copy_from_slice(&lease.sequence.to_mark());
        item.copy_from_slice(&lease.item);
    })
}

/// Of an item that the link has leased: its sequence, and the attempts that failed.
fn sequence_of(handle: &WorkerHandle, i: usize) -> Result<(Sequence, u32), Fault> {
    let lease = handle.item(i)?;
    let marked = Sequence::split_mark(lease.bytes);
    let (sequence, _) =
        marked.ok_or_else(|| Fault::damaged("an item's mark", lease.queue.0, lease.bytes.len() as u64))?;
    Ok((sequence, lease.attempt - 1))
}

fn no_commit(q: QueueId, id: u64) -> Fault {
    Fault::damaged("a commit in a line", q.0, id)
}

fn no_token(q: QueueId) -> Fault {
    Fault::damaged("the token of a stage", q.0, 0)
}

fn no_held_set(q: QueueId) -> Fault {
    Fault::damaged("the set of held sequences", q.0, 0)
}
