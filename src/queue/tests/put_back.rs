//! An item that the supervisor puts back is put once, and adds up.

use crate::queue::{
    Arena, Limits, PutBack, QueueAdmin, QueueId, SlotId, Taken, Tuning, Wait, WhenFull, WorkerHandle,
};

const Q: QueueId = QueueId(0);

fn admin() -> (Arena, QueueAdmin) {
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    let limits = Limits { capacity: 2, max_bytes: 4096, max_item: 1024, when_full: WhenFull::Block };
    admin.set_queue(Q, &limits).unwrap();
    (arena, admin)
}

#[test]
fn it_is_put_once_however_often_it_is_asked_for() {
    let (arena, mut admin) = admin();
    let long = vec![7; 100];
    assert_eq!(admin.put_back(Q, b"short", 1).unwrap(), PutBack::Done);
    assert_eq!(admin.put_back(Q, b"short", 1).unwrap(), PutBack::Already);
    assert_eq!(admin.put_back(Q, &long, 2).unwrap(), PutBack::Done);
    assert_eq!(admin.put_back(Q, b"x", 3).unwrap(), PutBack::Full);
    assert_eq!(admin.put_back(Q, &[0; 1025], 3).unwrap(), PutBack::TooLong);
    admin.audit().unwrap();
    admin.open_slot(SlotId(0), &Tuning::default()).unwrap();
    let mut worker = WorkerHandle::open(arena, SlotId(0)).unwrap();
    assert!(matches!(worker.take(&[Q], 9, Wait::No).unwrap(), Taken::Items { .. }));
    assert_eq!(
        (worker.item(0).unwrap().bytes, worker.item(1).unwrap().bytes),
        (&b"short"[..], long.as_slice())
    );
    worker.commit(2, Wait::No).unwrap();
    worker.settle().unwrap();
    let counts = admin.counts(Q).unwrap();
    assert_eq!((counts.put, counts.done, counts.bytes), (2, 2, 0));
    admin.audit().unwrap();
}

#[test]
fn a_queue_that_nobody_reads_or_that_has_ended_takes_nothing() {
    let (_arena, mut admin) = admin();
    admin.set_closed(Q, true).unwrap();
    assert_eq!(admin.put_back(Q, b"x", 1).unwrap(), PutBack::Ended);
    admin.set_closed(Q, false).unwrap();
    admin.set_ended(Q, true).unwrap();
    assert_eq!(admin.put_back(Q, b"x", 1).unwrap(), PutBack::Ended);
    assert_eq!(admin.counts(Q).unwrap().put, 0);
}

#[test]
fn a_tap_sees_the_next_item_that_is_put_and_takes_nothing() {
    let (_arena, mut admin) = admin();
    assert!(admin.tap(Q).unwrap().is_none(), "nothing was looked for yet");
    admin.put_back(Q, &[b'x'; 300], 1).unwrap();
    admin.put_back(Q, b"next", 2).unwrap();
    let seen = admin.tap(Q).unwrap().unwrap();
    assert_eq!((seen.id, seen.len, seen.start), (0, 300, vec![b'x'; 160]));
    assert!(admin.tap(Q).unwrap().is_none(), "nothing was put since");
    assert_eq!(admin.counts(Q).unwrap().waiting, 2);
}
