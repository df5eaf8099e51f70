//! The queue in one process: what each call promises.

mod crash;
mod delayed;
mod extents;
mod failing;
mod flow;
mod hostile;
mod lock;
mod many;
mod model;
mod order;
mod order_killed;
mod order_life;
mod order_room;
mod power;
mod power_life;
mod property;
mod put_back;
mod recovery;
mod regress;
mod schedules;
mod turn;
#[cfg(not(miri))]
mod version6;
mod whole;

use super::*;
use arena::layout::{self, QueueAt, queue};

pub(super) fn limits(capacity: u64) -> Limits {
    Limits { capacity, max_bytes: 1 << 20, max_item: 1 << 20, when_full: WhenFull::Block }
}

pub(super) const A: QueueId = QueueId(0);
pub(super) const B: QueueId = QueueId(1);
pub(super) const C: QueueId = QueueId(2);

/// An arena with two queues.
pub(super) fn arena(capacity: u64) -> (Arena, QueueAdmin) {
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    for q in [A, B] {
        admin.set_queue(q, &limits(capacity)).unwrap();
    }
    (arena, admin)
}

pub(super) fn attach(arena: &Arena, admin: &mut QueueAdmin, slot: u16) -> WorkerHandle {
    admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
    let worker = WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap();
    worker.tuning();
    worker
}

pub(super) fn put(worker: &mut WorkerHandle, q: QueueId, items: &[&[u8]]) {
    for item in items {
        worker.put(&[q], item, None).unwrap();
    }
    assert!(matches!(worker.commit(0, Wait::No).unwrap(), Committed::Done { .. }));
}

pub(super) fn held(worker: &WorkerHandle) -> Vec<Vec<u8>> {
    (0..worker.len()).map(|i| worker.item(i).unwrap().bytes.to_vec()).collect()
}
