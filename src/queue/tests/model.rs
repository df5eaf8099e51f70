//! What the queues must do, as plain lists: every operation is a sequence of atomic steps, and a death gives back
//! what was held. The crash and the property tests hold the real thing against it.

use super::super::arena::descriptor::{Meta, Span};
use super::super::arena::layout::{DescriptorAt, QueueAt, entry, queue};
use super::super::arena::place::Field;
use super::super::transaction::delayed::{self, Delay, clock};
use super::super::{FailureAttribution, QueueId, WhenFull, WorkerHandle};
use super::*;
use std::collections::VecDeque;
use std::time::Duration;

pub(super) const ATTEMPTS: u32 = 3;
const MAX_HELD: usize = 512;
const MAX_PUBLISHED: usize = 512;
/// When every test begins.
const START: u64 = 1 << 40;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// The clock of due times stands at the start again.
pub(super) fn start_clock() {
    clock::set(START);
}

/// An item's delay tells it apart, as its payload does.
fn millis(seconds: u64, seed: u64) -> u64 {
    seconds * 1000 + seed
}

#[derive(Clone, PartialEq)]
pub(super) struct Item {
    pub bytes: Vec<u8>,
    pub id: u64,
    pub failures: u32,
    pub mark: u64,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Item { bytes, id, failures, mark } = self;
        let start = &bytes[..bytes.len().min(2)];
        write!(f, "[#{id} {} bytes {start:?} failures {failures} mark {mark}]", bytes.len())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// The next to be taken is in front.
    pub waiting: VecDeque<Item>,
    /// How many of them were given back.
    pub returned: usize,
    /// When each is due; a heap, as which one is dropped depends on that.
    pub delayed: Vec<(u64, Item)>,
    pub capacity: usize,
    pub policy: WhenFull,
    pub closed: bool,
    pub pushed: u64,
    pub done: u64,
    pub dead: u64,
    pub dropped_old: u64,
    pub dropped_new: u64,
}

impl Queue {
    pub fn new(capacity: usize, policy: WhenFull) -> Queue {
        let (waiting, delayed, returned, closed) = (VecDeque::new(), Vec::new(), 0, false);
        let (pushed, done, dead, dropped_old, dropped_new) = (0, 0, 0, 0, 0);
        Queue {
            waiting,
            returned,
            delayed,
            capacity,
            policy,
            closed,
            pushed,
            done,
            dead,
            dropped_old,
            dropped_new,
        }
    }

    fn queued(&self) -> usize {
        self.waiting.len() + self.delayed.len()
    }

    fn give_back(&mut self, item: Item) {
        self.waiting.push_front(item);
        self.returned += 1;
    }

    fn pop_waiting(&mut self) -> Option<Item> {
        self.returned = self.returned.saturating_sub(1);
        self.waiting.pop_front()
    }

    /// Given back first, then what is due, then the ring.
    fn pop(&mut self, now: u64) -> Option<Item> {
        match self.delayed.first() {
            Some((due, _)) if self.returned == 0 && *due <= now => Some(self.pop_delayed()),
            _ => self.pop_waiting(),
        }
    }

    fn delay(&mut self, due: u64, item: Item) {
        let mut i = self.delayed.len();
        self.delayed.push((due, item));
        while i > 0 && self.delayed[i].0 < self.delayed[(i - 1) / 2].0 {
            self.delayed.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
    }

    fn pop_delayed(&mut self) -> Item {
        let first = self.delayed.swap_remove(0).1;
        let mut i = 0;
        while let Some(child) =
            (2 * i + 1..(2 * i + 3).min(self.delayed.len())).min_by_key(|&child| self.delayed[child].0)
            && self.delayed[child].0 < self.delayed[i].0
        {
            self.delayed.swap(i, child);
            i = child;
        }
        first
    }

    /// Whatever waits first, then those at the end of the heap.
    fn drop_oldest(&mut self, n: usize) {
        for _ in 0..n {
            let dropped = self.pop_waiting().or_else(|| self.delayed.pop().map(|(_, item)| item));
            self.dropped_old += u64::from(dropped.is_some());
        }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.waiting.push_back(Item { bytes, id: self.pushed, failures: 0, mark: 0 });
        self.pushed += 1;
    }
}

#[derive(Clone, Debug)]
struct Output {
    queues: Vec<usize>,
    bytes: Vec<u8>,
    lease: Option<usize>,
}

/// One worker: what it holds, oldest first, by queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    pub leases: Vec<(usize, Item)>,
    finished: Vec<(usize, Item)>,
    staged: VecDeque<Output>,
    begun: Option<(usize, u64)>,
    turn: usize,
    /// The first lease ends as a dead letter.
    dead_lease: bool,
    /// The last take came back empty: what is finished ends at once.
    hungry: bool,
}

impl Worker {
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    fn remove(&mut self, i: usize) -> (usize, Item) {
        self.dead_lease &= i > 0;
        self.leases.remove(i)
    }

    fn discard(&mut self) {
        self.dead_lease = false;
        self.staged.clear();
    }
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub queues: Vec<Queue>,
    pub workers: Vec<Worker>,
    pub now: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Stage an output of so many bytes for the queues, for a lease.
    Put(Vec<usize>, usize, Option<usize>),
    Commit(usize),
    Take(Vec<usize>, usize),
    Begin(usize),
    Rest,
    GiveBack(usize, bool),
    /// Delay a lease, by seconds and what the operation's seed adds.
    Delay(usize, bool, u64),
    /// The clock goes on to this many seconds after the start.
    Clock(u64),
    GiveBackAll,
    DeadLetter(usize),
    MarkDead(usize),
    Settle,
    Discard,
}

/// What an operation answered, as far as both sides can tell.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Got(usize),
    Done,
    Full(usize),
    Closed,
}

/// A payload that tells its bytes apart, so that a mix-up shows.
pub(super) fn payload(seed: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seed as u8).wrapping_mul(31).wrapping_add(i as u8) ^ (i >> 8) as u8).collect()
}

impl Model {
    /// How long after the start it is.
    pub fn seconds(&self) -> u64 {
        (self.now - START) / 1000
    }

    pub fn new(queues: Vec<Queue>, workers: usize) -> Model {
        Model { queues, workers: vec![Worker::default(); workers], now: START }
    }

    /// What the worker's operation does, step by step: `after` is called with the state after each atomic step.
    pub fn apply(&mut self, who: usize, op: &Op, seed: u64, after: &mut dyn FnMut(&Model)) -> Answer {
        let answer = match op {
            Op::Put(queues, len, lease) => {
                let output = Output { queues: queues.clone(), bytes: payload(seed, *len), lease: *lease };
                self.workers[who].staged.push_back(output);
                Answer::Nothing
            }
            Op::Commit(upto) => return self.commit(who, *upto, after),
            Op::Take(inputs, max) => self.take(who, inputs, *max),
            Op::Begin(i) => {
                let worker = &mut self.workers[who];
                worker.begun = worker.leases.get(*i).map(|(q, item)| (*q, item.id));
                Answer::Nothing
            }
            Op::Rest => {
                self.workers[who].begun = None;
                Answer::Nothing
            }
            Op::GiveBack(i, charged) => {
                let (q, mut item) = self.workers[who].remove(*i);
                item.failures += u32::from(*charged);
                self.queues[q].give_back(item);
                Answer::Nothing
            }
            Op::Delay(i, charged, seconds) => {
                let (q, mut item) = self.workers[who].remove(*i);
                item.failures += u32::from(*charged);
                self.queues[q].delay(self.now + millis(*seconds, seed), item);
                Answer::Nothing
            }
            Op::Clock(seconds) => {
                self.now = START + seconds * 1000;
                Answer::Nothing
            }
            Op::GiveBackAll => return self.give_back_all(who, after),
            Op::DeadLetter(i) => {
                let (q, _) = self.workers[who].remove(*i);
                self.queues[q].dead += 1;
                Answer::Nothing
            }
            Op::MarkDead(i) => {
                let worker = &mut self.workers[who];
                worker.leases[..=*i].rotate_right(1);
                worker.dead_lease = true;
                Answer::Nothing
            }
            Op::Settle => {
                self.settle(who);
                Answer::Nothing
            }
            Op::Discard => {
                self.workers[who].discard();
                Answer::Nothing
            }
        };
        after(self);
        answer
    }

    fn settle(&mut self, who: usize) {
        for (q, _) in self.workers[who].finished.drain(..) {
            self.queues[q].done += 1;
        }
    }

    fn take(&mut self, who: usize, inputs: &[usize], max: usize) -> Answer {
        self.settle(who);
        let worker = &mut self.workers[who];
        worker.begun =
            worker.begun.filter(|begun| worker.leases.iter().any(|(q, item)| *begun == (*q, item.id)));
        let max = max.min(MAX_HELD.saturating_sub(worker.leases.len()));
        let mut got = 0;
        for i in 0..inputs.len() {
            let q = inputs[(worker.turn + i) % inputs.len()];
            while got < max
                && let Some(item) = self.queues[q].pop(self.now)
            {
                worker.leases.push((q, item));
                got += 1;
            }
        }
        worker.turn = worker.turn.wrapping_add(1);
        // A take of no queues finds all of them ended.
        worker.hungry = got == 0 && !inputs.is_empty();
        Answer::Got(got)
    }

    fn give_back_all(&mut self, who: usize, after: &mut dyn FnMut(&Model)) -> Answer {
        self.workers[who].discard();
        self.settle(who);
        after(self);
        while let Some((q, item)) = self.workers[who].leases.pop() {
            self.queues[q].give_back(item);
            after(self);
        }
        Answer::Nothing
    }

    fn commit(&mut self, who: usize, upto: usize, after: &mut dyn FnMut(&Model)) -> Answer {
        let worker = &mut self.workers[who];
        let mut upto = upto.min(worker.leases.len());
        if worker.staged.is_empty() {
            if upto > 0 && worker.dead_lease {
                let (q, _) = worker.remove(0);
                self.queues[q].dead += 1;
                upto -= 1;
                after(self);
            }
            let worker = &mut self.workers[who];
            worker.finished.extend(worker.leases.drain(..upto));
            if worker.hungry {
                self.settle(who);
                after(self);
            }
            return Answer::Done;
        }
        while !self.workers[who].staged.is_empty() {
            let n = match self.fitting(who) {
                Ok(n) => n,
                Err(full) => return Answer::Full(full),
            };
            let seen = self.workers[who].staged.iter().take(n + 1);
            if seen.flat_map(|output| &output.queues).all(|&q| self.queues[q].closed) {
                self.workers[who].discard();
                return Answer::Closed;
            }
            self.settle(who);
            upto -= self.publish(who, n, upto);
            after(self);
        }
        Answer::Done
    }

    /// How many staged outputs fit at once, or which queue is full.
    fn fitting(&self, who: usize) -> Result<usize, usize> {
        let mut room: Vec<usize> = self
            .queues
            .iter()
            .map(|q| match q.policy {
                WhenFull::DropOld => q.capacity,
                _ => q.capacity.saturating_sub(q.queued()),
            })
            .collect();
        for (n, output) in self.workers[who].staged.iter().take(MAX_PUBLISHED).enumerate() {
            let waits = |&&q: &&usize| {
                !self.queues[q].closed && self.queues[q].policy != WhenFull::DropNew && room[q] == 0
            };
            if let Some(&full) = output.queues.iter().find(waits) {
                return if n == 0 { Err(full) } else { Ok(n) };
            }
            for &q in output.queues.iter().filter(|&&q| !self.queues[q].closed) {
                room[q] = room[q].saturating_sub(1);
            }
        }
        Ok(self.workers[who].staged.len().min(MAX_PUBLISHED))
    }

    /// Publishes the first `n` outputs; returns how many leases ended with them.
    fn publish(&mut self, who: usize, n: usize, upto: usize) -> usize {
        let out: Vec<Output> = self.workers[who].staged.drain(..n).collect();
        for (q, queue) in self.queues.iter_mut().enumerate() {
            let puts: Vec<&Output> = out.iter().filter(|output| output.queues.contains(&q)).collect();
            let before = queue.queued();
            if puts.is_empty() || queue.closed {
                continue;
            }
            let fresh = match queue.policy {
                WhenFull::DropNew => puts.len().min(queue.capacity.saturating_sub(before)),
                WhenFull::DropOld => {
                    let over = (before + puts.len()).saturating_sub(queue.capacity);
                    queue.drop_oldest(over.min(before));
                    puts.len()
                }
                WhenFull::Block => puts.len(),
            };
            queue.dropped_new += (puts.len() - fresh) as u64;
            puts[..fresh].iter().for_each(|output| queue.push(output.bytes.clone()));
        }
        let worker = &mut self.workers[who];
        let left = worker.staged.iter().filter_map(|output| output.lease).min();
        let done = left.unwrap_or(usize::MAX).min(upto);
        for lease in out.iter().filter_map(|output| output.lease).filter(|&lease| lease >= done) {
            if let Some((_, item)) = worker.leases.get_mut(lease) {
                item.mark += 1;
            }
        }
        let mut is_dead = done > 0 && std::mem::take(&mut worker.dead_lease);
        for (q, _) in worker.leases.drain(..done) {
            let queue = &mut self.queues[q];
            let counter = if std::mem::take(&mut is_dead) { &mut queue.dead } else { &mut queue.done };
            *counter += 1;
        }
        for output in &mut worker.staged {
            output.lease = output.lease.map(|lease| lease - done);
        }
        done
    }

    /// The worker has died and was settled; returns how many items ended as dead letters.
    pub fn die(&mut self, who: usize, attribution: FailureAttribution) -> u64 {
        let worker = std::mem::take(&mut self.workers[who]);
        let mut held: Vec<(usize, Item)> = worker.leases.into_iter().chain(worker.finished).collect();
        held.sort_by_key(|(_, item)| std::cmp::Reverse(item.id));
        let mut dead = 0;
        for (q, mut item) in held {
            if attribution == FailureAttribution::Begun && worker.begun == Some((q, item.id)) {
                item.failures += 1;
                if item.failures >= ATTEMPTS {
                    self.queues[q].dead += 1;
                    dead += 1;
                    continue;
                }
            }
            self.queues[q].give_back(item);
        }
        dead
    }

    /// The ledger and the contents, as [`observe`] sees the real ones.
    pub fn settled(&self) -> Vec<Observed> {
        let observed = |q: &Queue| {
            let (returned, ring) = (q.waiting.range(..q.returned), q.waiting.range(q.returned..));
            let mut delayed: Vec<&(u64, Item)> = q.delayed.iter().collect();
            delayed.sort_by_key(|(due, _)| *due);
            Observed {
                items: returned.chain(delayed.iter().map(|(_, item)| item)).chain(ring).cloned().collect(),
                due: delayed.iter().map(|(due, _)| *due).collect(),
                returned: q.returned,
                put: q.pushed + q.dropped_new,
                done: q.done,
                dead: q.dead,
                dropped: q.dropped_old + q.dropped_new,
            }
        };
        self.queues.iter().map(observed).collect()
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct Observed {
    /// In the order in which they are taken once all delayed ones are due.
    pub items: Vec<Item>,
    /// When the delayed ones are due, in order.
    due: Vec<u64>,
    /// How many of the items were given back.
    returned: usize,
    put: u64,
    done: u64,
    dead: u64,
    dropped: u64,
}

/// The same operation on the real thing.
pub(super) fn run(worker: &mut WorkerHandle, op: &Op, seed: u64) -> Answer {
    let ids = |queues: &[usize]| -> Vec<QueueId> { queues.iter().map(|&q| QueueId(q as u16)).collect() };
    match op {
        Op::Put(queues, len, lease) => worker.put(&ids(queues), &payload(seed, *len), *lease).unwrap(),
        Op::Commit(upto) => {
            return match worker.commit(*upto, Wait::No).unwrap() {
                Committed::Done { .. } => Answer::Done,
                Committed::Full { queue, .. } => Answer::Full(queue.0 as usize),
                Committed::Closed => Answer::Closed,
                Committed::Ordered => panic!("nobody gave an order"),
            };
        }
        Op::Take(inputs, max) => {
            let before = worker.len();
            worker.take(&ids(inputs), *max, Wait::No).unwrap();
            return Answer::Got(worker.len() - before);
        }
        Op::Begin(i) => worker.begin(*i),
        Op::Rest => worker.rest(),
        Op::GiveBack(i, charged) => worker.give_back(*i, *charged).unwrap(),
        Op::Delay(i, charged, seconds) => {
            let time = Duration::from_millis(millis(*seconds, seed));
            worker.delay(*i, *charged, Delay { time, most: Duration::from_millis(DAY), put_off: 0 }).unwrap();
        }
        Op::Clock(seconds) => clock::set(START + seconds * 1000),
        Op::GiveBackAll => worker.give_back_all().unwrap(),
        Op::DeadLetter(i) => worker.dead_letter(*i).unwrap(),
        Op::MarkDead(i) => worker.mark_dead(*i, "no good").unwrap(),
        Op::Settle => worker.settle().unwrap(),
        Op::Discard => worker.discard_staged().unwrap(),
    }
    Answer::Nothing
}

pub(super) fn lease(worker: &WorkerHandle, i: usize) -> (usize, Item) {
    let lease = worker.item(i).unwrap();
    let (bytes, failures) = (lease.bytes.to_vec(), lease.attempt - 1);
    (lease.queue.0 as usize, Item { bytes, id: lease.id, failures, mark: lease.mark })
}

/// Ledger and contents of queues in which nothing is leased; takes everything out.
pub(super) fn observe(admin: &mut QueueAdmin, worker: &mut WorkerHandle, queues: usize) -> Vec<Observed> {
    let observed = |q: usize| {
        let id = QueueId(q as u16);
        let counts = admin.counts(id).unwrap();
        assert_eq!(counts.leased, 0, "queue {q}");
        let due = due_times(admin, id);
        let returned = returned(admin, id);
        clock::set(START + DAY);
        let mut items = Vec::new();
        while !matches!(
            worker.take(&[id], 100, Wait::No).unwrap(),
            Taken::Empty | Taken::Ended | Taken::Ordered
        ) {
            items.extend((0..worker.len()).map(|i| lease(worker, i).1));
            worker.commit(100, Wait::No).unwrap();
        }
        assert_eq!(items.len() as u64, counts.waiting + counts.delayed, "queue {q}");
        let QueueCounts { put, done, dead, dropped, .. } = counts;
        Observed { items, due, returned, put, done, dead, dropped }
    };
    (0..queues).map(observed).collect()
}

fn returned(admin: &QueueAdmin, q: QueueId) -> usize {
    admin.session.memory().load(QueueAt::of(q).unwrap() + queue::RETURNED) as usize
}

fn due_times(admin: &mut QueueAdmin, q: QueueId) -> Vec<u64> {
    let tx = admin.session.begin().unwrap();
    let mut due: Vec<u64> =
        delayed::entries(&tx, QueueAt::of(q).unwrap()).unwrap().into_iter().map(|(_, due)| due).collect();
    due.sort_unstable();
    due
}

/// What waits, and the ledger, without touching either: the real words, read as the layout says.
pub(super) fn peek(admin: &mut QueueAdmin, queues: usize) -> Vec<Observed> {
    let observed = |q: usize| {
        let id = QueueId(q as u16);
        let QueueCounts { put, done, dead, dropped, .. } = admin.counts(id).unwrap();
        let queue = QueueAt::of(id).unwrap();
        let mut delayed = delayed::entries(&admin.session.begin().unwrap(), queue).unwrap();
        delayed.sort_unstable_by_key(|&(_, due)| due);
        let given_back = returned(admin, id);
        let memory = admin.session.memory();
        let word = |word: Field<_>| memory.load(queue + word);
        let items = |at: DescriptorAt, meta: Meta, id: u64, mark: u64| {
            let first = meta.as_span().map_or(0, |span| span.first);
            let item = move |i: usize| Item {
                bytes: memory.payload(at, meta, first + i).unwrap().to_vec(),
                id: id + i as u64,
                failures: meta.failures(),
                mark: if i == 0 { mark } else { 0 },
            };
            (0..meta.items()).map(item).collect::<Vec<_>>()
        };
        let mut all = Vec::new();
        for at in (0..word(queue::RETURNED_ENTRIES))
            .rev()
            .map(|i| queue.returned(i))
            .chain(delayed.iter().map(|&(at, _)| at))
        {
            let (id, mark) = (memory.load(at + entry::SEQUENCE), memory.load(at + entry::MARK));
            all.extend(items(at.into(), memory.meta(at), id, mark));
        }
        let (mut id, mut skip) = (word(queue::HEAD), word(queue::SKIPPED) as usize);
        for slot in word(queue::FIRST_SLOT)..word(queue::LAST_SLOT) {
            let at = queue.ring_slot(word(queue::RING), slot);
            let mut meta = memory.meta(at);
            if let Some(Span { first, count }) = meta.as_span() {
                meta = meta.with_span(Span { first: first + skip, count: count - skip });
            }
            all.extend(items(at, meta, id, 0));
            (id, skip) = (id + meta.items() as u64, 0);
        }
        assert_eq!(id, word(queue::TAIL));
        let due = delayed.iter().map(|&(_, due)| due).collect();
        Observed { items: all, due, returned: given_back, put, done, dead, dropped }
    };
    (0..queues).map(observed).collect()
}
