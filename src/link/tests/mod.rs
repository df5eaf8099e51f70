//! The link's side of the arena, in one process.

mod crash;
mod machines;
mod promises;
mod property;

use super::arena::{LinkArena, LinkLine, LinkQueue, LinkSpec};
use crate::broker::{Commit, End, Lease, Output, Sequence, SharedQueue};
use crate::queue::{
    Arena, FailureAttribution, Limits, QueueAdmin, QueueId, SlotId, Taken, Tuning, Wait, WhenFull,
    WorkerHandle,
};

const JOBS: SharedQueue = SharedQueue(3);
const MORE: SharedQueue = SharedQueue(4);
const QUEUES: [(SharedQueue, QueueId, QueueId); 2] =
    [(JOBS, QueueId(0), QueueId(1)), (MORE, QueueId(2), QueueId(3))];
const LINE: QueueId = QueueId(4);
const TOKEN: QueueId = QueueId(5);
const LINK: SlotId = SlotId(0);
const WORKER: SlotId = SlotId(1);

/// A machine: its arena, with all that the supervisor has made there.
struct Machine {
    arena: Arena,
    admin: QueueAdmin,
}

impl Machine {
    fn new() -> Machine {
        let arena = Arena::create().unwrap();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        let limits =
            |max_item| Limits { capacity: 100, max_bytes: 1 << 20, max_item, when_full: WhenFull::Block };
        for (_, queue, held) in QUEUES {
            // Its mark makes an item longer than that.
            admin.set_queue(queue, &limits(8)).unwrap();
            admin.set_queue(held, &limits(1 << 20)).unwrap();
            admin.seed(held, b"").unwrap();
        }
        admin.set_queue(LINE, &Limits { max_bytes: 16 << 20, ..limits(4 << 20) }).unwrap();
        admin.set_queue(TOKEN, &limits(1 << 20)).unwrap();
        admin.seed(TOKEN, b"").unwrap();
        Machine { arena, admin }
    }

    fn link(&mut self) -> LinkArena {
        self.admin.open_slot(LINK, &Tuning::default()).unwrap();
        let queue = |&(shared, queue, held): &_| LinkQueue { shared, queue, held };
        let lines = vec![LinkLine { name: "stage".into(), queue: LINE, token: Some(TOKEN) }];
        let spec = LinkSpec { queues: QUEUES.iter().map(queue).collect(), lines };
        LinkArena::open(self.arena.clone(), LINK, &spec).unwrap()
    }

    fn worker(&mut self) -> WorkerHandle {
        self.admin.open_slot(WORKER, &Tuning::default()).unwrap();
        let worker = WorkerHandle::open(self.arena.clone(), WORKER).unwrap();
        worker.tuning();
        worker
    }

    fn release(&mut self, slot: SlotId) {
        self.admin.release(slot, FailureAttribution::Begun, 3, &mut |_| Ok(())).unwrap();
    }

    /// What waits in a queue, with the failed attempts. Nobody may have a lease of it.
    fn waiting(&mut self, queue: SharedQueue) -> Vec<(Sequence, u32)> {
        let (_, queue, _) = QUEUES.into_iter().find(|(shared, _, _)| *shared == queue).unwrap();
        let mut worker = self.worker();
        while worker.take_waiting(queue, 100).unwrap() > 0 {}
        let items = (0..worker.len()).map(|i| mark_of(&worker, i)).collect();
        worker.give_back_all().unwrap();
        self.release(WORKER);
        items
    }
}

fn mark_of(worker: &WorkerHandle, i: usize) -> (Sequence, u32) {
    let lease = worker.item(i).unwrap();
    (Sequence::split_mark(lease.bytes).unwrap().0, lease.attempt - 1)
}

fn lease(n: u64) -> Lease {
    // Short ones and long ones, of which none and some have failed elsewhere.
    let item = vec![b'x'; if n.is_multiple_of(3) { 3000 } else { n as usize % 9 }];
    Lease { sequence: Sequence(n, 1), item: item.into(), attempts: (n % 2) as u32, deliveries: 1 }
}

fn leases(numbers: impl IntoIterator<Item = u64>) -> Vec<Lease> {
    numbers.into_iter().map(lease).collect()
}

fn sequences(numbers: impl IntoIterator<Item = u64>) -> Vec<Sequence> {
    numbers.into_iter().map(|n| Sequence(n, 1)).collect()
}

/// A commit that ends leases of both queues.
fn commit(jobs: &[u64], more: &[u64]) -> Commit {
    let end = |queue| move |&n: &u64| End { queue, sequence: Sequence(n, 1), dead: None };
    let ends = jobs.iter().map(end(JOBS)).chain(more.iter().map(end(MORE))).collect();
    Commit { ends, outputs: vec![Output { queue: MORE, item: vec![7; 100].into() }], ..Commit::default() }
}

/// What a stage's worker does with the leases that it has: they end with a commit.
fn commit_all(worker: &mut WorkerHandle, commit: &Commit) {
    let n = worker.len();
    worker.put(&[LINE], &commit.encode(), n.checked_sub(1)).unwrap();
    worker.commit(n, Wait::No).unwrap();
}

fn take(worker: &mut WorkerHandle, queue: QueueId, n: usize) -> usize {
    match worker.take(&[queue], n, Wait::No).unwrap() {
        Taken::Items { .. } => worker.len(),
        Taken::Empty | Taken::Ended | Taken::Ordered => 0,
    }
}
