//! The queue in one process: what each call promises.

mod crash;
mod flow;
mod hostile;
mod kept;
mod lock;
mod many;
mod model;
mod power;
mod property;
mod put_back;
mod regress;
mod schedules;
mod whole;

use super::*;

pub(super) fn limits(capacity: u64) -> Limits {
    Limits { capacity, max_bytes: 1 << 20, max_item: 1 << 20, when_full: WhenFull::Block }
}

pub(super) const A: QueueId = QueueId(0);
pub(super) const B: QueueId = QueueId(1);
pub(super) const C: QueueId = QueueId(2);

/// An arena with two queues.
pub(super) fn arena(capacity: u64) -> (Arena, QueueAdmin) {
    let arena = Arena::create().unwrap();
    let mut steward = QueueAdmin::open(arena.clone()).unwrap();
    for q in [A, B] {
        steward.set_queue(q, &limits(capacity)).unwrap();
    }
    (arena, steward)
}

pub(super) fn port(arena: &Arena, steward: &mut QueueAdmin, slot: u16) -> WorkerHandle {
    steward.open_slot(SlotId(slot), &Tuning::default()).unwrap();
    let port = WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap();
    port.tuning();
    port
}

pub(super) fn put(port: &mut WorkerHandle, q: QueueId, items: &[&[u8]]) {
    for item in items {
        port.put(&[q], item, None).unwrap();
    }
    assert!(matches!(port.commit(0, Wait::No).unwrap(), Committed::Done { .. }));
}

pub(super) fn held(port: &WorkerHandle) -> Vec<Vec<u8>> {
    (0..port.len()).map(|i| port.item(i).unwrap().bytes.to_vec()).collect()
}
