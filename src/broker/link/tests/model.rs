//! A broker as the scripts make it, in plain values: each request happens as a whole. When, how often and whether at all is for
//! the test to say.

use crate::broker::{Full, Judged, Sequence, SharedQueue, Verdict};
use std::collections::BTreeMap;

pub(crate) const A: SharedQueue = SharedQueue(0);
pub(crate) const B: SharedQueue = SharedQueue(1);
const CAPACITY_OF_B: usize = 3;

/// A life of a machine.
pub(crate) type Consumer = u32;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Commit {
    pub(crate) number: u64,
    pub(crate) end: (SharedQueue, Sequence),
    pub(crate) output: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Join,
    AskHeld { queue: SharedQueue },
    Take { queue: SharedQueue, n: usize, look_for_expired: bool },
    Extend { queue: SharedQueue, sequences: Vec<Sequence> },
    GiveBack { queue: SharedQueue, leases: Vec<(Sequence, u32)> },
    Commit { line: usize, commits: Vec<Commit> },
    Leave,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Joined,
    Held { queue: SharedQueue, sequences: Vec<Sequence> },
    Taken { queue: SharedQueue, asked: usize, items: Vec<(Sequence, u32)> },
    Extended { queue: SharedQueue, lost: Vec<Sequence> },
    Given,
    Judged { line: usize, first: u64, judged: Judged },
    Left,
}

struct Entry {
    item: u32,
    owner: Option<Consumer>,
    is_expired: bool,
}

#[derive(Default)]
struct Record {
    last: u64,
    first: u64,
    verdicts: Vec<Verdict>,
}

#[derive(Default)]
pub(crate) struct Broker {
    queues: [BTreeMap<Sequence, Entry>; 2],
    lines: BTreeMap<(Consumer, usize), Record>,
    named: u64,
    /// A message goes out: there is an item more, or room.
    pub(crate) has_news: bool,
    /// The items in the order in which they were ended in each queue.
    pub(crate) ended: [Vec<u32>; 2],
}

impl Broker {
    pub(crate) fn put(&mut self, queue: SharedQueue, item: u32) {
        self.named += 1;
        self.has_news = true;
        let entry = Entry { item, owner: None, is_expired: false };
        self.queues[usize::from(queue.0)].insert(Sequence(self.named, 0), entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(BTreeMap::is_empty)
    }

    /// The time of every lease is over.
    pub(crate) fn expire_all(&mut self) {
        self.queues.iter_mut().flat_map(BTreeMap::values_mut).for_each(|entry| entry.is_expired = true);
    }

    fn queue(&mut self, queue: SharedQueue) -> &mut BTreeMap<Sequence, Entry> {
        &mut self.queues[usize::from(queue.0)]
    }

    fn release(&mut self, of: Consumer) {
        self.has_news = true;
        let entries = self.queues.iter_mut().flat_map(BTreeMap::values_mut);
        entries.filter(|entry| entry.owner == Some(of)).for_each(|entry| entry.owner = None);
    }

    /// What a new life of a machine does when it joins.
    pub(crate) fn supersede(&mut self, old: Consumer) {
        self.release(old);
    }

    pub(crate) fn ask(&mut self, by: Consumer, request: &Request) -> Answer {
        match request {
            Request::Join => Answer::Joined,
            Request::AskHeld { queue } => {
                let owned = self.queue(*queue).iter().filter(|(_, entry)| entry.owner == Some(by));
                Answer::Held { queue: *queue, sequences: owned.map(|(&sequence, _)| sequence).collect() }
            }
            Request::Take { queue, n, look_for_expired } => self.take(by, *queue, *n, *look_for_expired),
            Request::Extend { queue, sequences } => self.extend(by, *queue, sequences),
            Request::GiveBack { queue, leases } => {
                for (sequence, _) in leases {
                    if let Some(entry) = self.owned(by, *queue, *sequence) {
                        entry.owner = None;
                        self.has_news = true;
                    }
                }
                Answer::Given
            }
            Request::Commit { line, commits } => self.commit(by, *line, commits),
            Request::Leave => {
                self.release(by);
                Answer::Left
            }
        }
    }

    fn owned(&mut self, by: Consumer, queue: SharedQueue, sequence: Sequence) -> Option<&mut Entry> {
        self.queue(queue).get_mut(&sequence).filter(|entry| entry.owner == Some(by))
    }

    fn take(&mut self, by: Consumer, queue: SharedQueue, n: usize, look_for_expired: bool) -> Answer {
        let free = self
            .queue(queue)
            .iter_mut()
            .filter(|(_, entry)| entry.owner.is_none() || look_for_expired && entry.is_expired);
        let take = |(&sequence, entry): (&Sequence, &mut Entry)| {
            (entry.owner, entry.is_expired) = (Some(by), false);
            (sequence, entry.item)
        };
        Answer::Taken { queue, asked: n, items: free.take(n).map(take).collect() }
    }

    fn extend(&mut self, by: Consumer, queue: SharedQueue, sequences: &[Sequence]) -> Answer {
        let mut lost = Vec::new();
        for &sequence in sequences {
            match self.owned(by, queue, sequence) {
                Some(entry) => entry.is_expired = false,
                None => lost.push(sequence),
            }
        }
        Answer::Extended { queue, lost }
    }

    fn commit(&mut self, by: Consumer, line: usize, commits: &[Commit]) -> Answer {
        let first = commits[0].number;
        let mut record = self.lines.remove(&(by, line)).unwrap_or_default();
        let mut judged = Judged { before: record.last, ..Judged::default() };
        for commit in commits {
            if commit.number <= record.last && judged.before >= commit.number {
                let known = (commit.number - record.first.min(commit.number)) as usize;
                judged.verdicts.push(record.verdicts.get(known).copied().unwrap_or(Verdict::Done));
                continue;
            }
            let (queue, sequence) = commit.end;
            let is_owned = self.owned(by, queue, sequence).is_some();
            if is_owned && commit.output.is_some() && self.queues[1].len() >= CAPACITY_OF_B {
                judged.full = Some(Full::Queue(B));
                break;
            }
            judged.verdicts.push(if is_owned { Verdict::Done } else { Verdict::Refused });
            if is_owned {
                self.happen(commit);
            }
        }
        let count = judged.verdicts.len() as u64;
        if first + count > record.last + 1 {
            record = Record { last: first + count - 1, first, verdicts: judged.verdicts.clone() };
        }
        self.lines.insert((by, line), record);
        Answer::Judged { line, first, judged }
    }

    fn happen(&mut self, commit: &Commit) {
        let (queue, sequence) = commit.end;
        self.has_news = true;
        if let Some(entry) = self.queue(queue).remove(&sequence) {
            self.ended[usize::from(queue.0)].push(entry.item);
        }
        if let Some(item) = commit.output {
            self.put(B, item);
        }
    }
}
