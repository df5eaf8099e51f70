//! An item that the supervisor puts back is put once, and adds up.

use crate::queue::{
    Arena, Limits, PutBack, QueueAdmin, QueueId, SlotId, Taken, Tuning, Wait, WhenFull, WorkerHandle,
};

const Q: QueueId = QueueId(0);

fn steward() -> (Arena, QueueAdmin) {
    let arena = Arena::create().unwrap();
    let mut steward = QueueAdmin::open(arena.clone()).unwrap();
    let limits = Limits { capacity: 2, max_bytes: 4096, max_item: 1024, when_full: WhenFull::Block };
    steward.set_queue(Q, &limits).unwrap();
    (arena, steward)
}

#[test]
fn it_is_put_once_however_often_it_is_asked_for() {
    let (arena, mut steward) = steward();
    let long = vec![7; 100];
    assert_eq!(steward.put_back(Q, b"short", 1).unwrap(), PutBack::Done);
    assert_eq!(steward.put_back(Q, b"short", 1).unwrap(), PutBack::Already);
    assert_eq!(steward.put_back(Q, &long, 2).unwrap(), PutBack::Done);
    assert_eq!(steward.put_back(Q, b"x", 3).unwrap(), PutBack::Full);
    assert_eq!(steward.put_back(Q, &[0; 1025], 3).unwrap(), PutBack::TooLong);
    steward.audit().unwrap();
    steward.open_slot(SlotId(0), &Tuning::default()).unwrap();
    let mut port = WorkerHandle::open(arena, SlotId(0)).unwrap();
    assert!(matches!(port.take(&[Q], 9, Wait::No).unwrap(), Taken::Items { .. }));
    assert_eq!((port.item(0).unwrap().bytes, port.item(1).unwrap().bytes), (&b"short"[..], long.as_slice()));
    port.commit(2, Wait::No).unwrap();
    port.settle().unwrap();
    let counts = steward.counts(Q).unwrap();
    assert_eq!((counts.put, counts.done, counts.bytes), (2, 2, 0));
    steward.audit().unwrap();
}

#[test]
fn a_queue_that_nobody_reads_or_that_has_ended_takes_nothing() {
    let (_arena, mut steward) = steward();
    steward.set_closed(Q, true).unwrap();
    assert_eq!(steward.put_back(Q, b"x", 1).unwrap(), PutBack::Ended);
    steward.set_closed(Q, false).unwrap();
    steward.set_ended(Q, true).unwrap();
    assert_eq!(steward.put_back(Q, b"x", 1).unwrap(), PutBack::Ended);
    assert_eq!(steward.counts(Q).unwrap().put, 0);
}

#[test]
fn a_tap_sees_the_next_item_that_is_put_and_takes_nothing() {
    let (_arena, mut steward) = steward();
    assert!(steward.tap(Q).unwrap().is_none(), "nothing was looked for yet");
    steward.put_back(Q, &[b'x'; 300], 1).unwrap();
    steward.put_back(Q, b"next", 2).unwrap();
    let seen = steward.tap(Q).unwrap().unwrap();
    assert_eq!((seen.id, seen.len, seen.start), (0, 300, vec![b'x'; 160]));
    assert!(steward.tap(Q).unwrap().is_none(), "nothing was put since");
    assert_eq!(steward.counts(Q).unwrap().waiting, 2);
}
