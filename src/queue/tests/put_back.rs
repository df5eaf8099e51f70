//! An item that the supervisor puts back is put once, and adds up.

use crate::queue::{
    Arena, FailureAttribution, Limits, Origin, PutBack, QueueAdmin, QueueId, SlotId, Taken, Tuning, Wait,
    WhenFull, WorkerHandle,
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
    assert_eq!(admin.put_back(Q, b"short", 1, None).unwrap(), PutBack::Done);
    assert_eq!(admin.put_back(Q, b"short", 1, None).unwrap(), PutBack::Already);
    assert_eq!(admin.put_back(Q, &long, 2, None).unwrap(), PutBack::Done);
    assert_eq!(admin.put_back(Q, b"x", 3, None).unwrap(), PutBack::Full);
    assert_eq!(admin.put_back(Q, &[0; 1025], 3, None).unwrap(), PutBack::TooLong);
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
    assert_eq!(admin.put_back(Q, b"x", 1, None).unwrap(), PutBack::Ended);
    admin.set_closed(Q, false).unwrap();
    admin.set_ended(Q, true).unwrap();
    assert_eq!(admin.put_back(Q, b"x", 1, None).unwrap(), PutBack::Ended);
    assert_eq!(admin.counts(Q).unwrap().put, 0);
}

#[test]
fn a_tap_sees_the_next_item_that_is_put_and_takes_nothing() {
    let (_arena, mut admin) = admin();
    assert!(admin.tap(Q).unwrap().is_none(), "nothing was looked for yet");
    admin.put_back(Q, &[b'x'; 300], 1, None).unwrap();
    admin.put_back(Q, b"next", 2, None).unwrap();
    let seen = admin.tap(Q).unwrap().unwrap();
    assert_eq!((seen.id, seen.len, seen.start), (0, 300, vec![b'x'; 160]));
    assert!(admin.tap(Q).unwrap().is_none(), "nothing was put since");
    assert_eq!(admin.counts(Q).unwrap().waiting, 2);
}

#[test]
fn an_item_that_was_a_dead_letter_is_named_as_before_and_numbers_are_never_shared() {
    let (arena, mut admin) = admin();
    let named = Origin { birth: 7, number: 70 };
    assert_eq!(admin.put_back(Q, b"new", 1, None).unwrap(), PutBack::Done);
    assert_eq!(admin.put_back(Q, &[9; 100], 2, Some(named)).unwrap(), PutBack::Done);
    assert_eq!(admin.put_back(Q, &[9; 100], 2, Some(named)).unwrap(), PutBack::Already);
    assert_eq!(admin.put_back(Q, b"x", 3, Some(named)).unwrap(), PutBack::Full);
    admin.audit().unwrap();
    admin.open_slot(SlotId(0), &Tuning::default()).unwrap();
    let mut worker = WorkerHandle::open(arena.clone(), SlotId(0)).unwrap();
    assert!(matches!(worker.take(&[Q], 9, Wait::No).unwrap(), Taken::Items { .. }));
    let all = |worker: &WorkerHandle| {
        let of =
            |i| (worker.item(i).unwrap().id, worker.item(i).unwrap().bytes.len(), worker.origin(i).unwrap());
        [of(0), of(1)]
    };
    let [first, second] = all(&worker);
    assert_eq!(first, (0, 100, named));
    assert_eq!((second.0, second.1, second.2.number), (1, 3, 1));
    assert!(second.2.birth != 0 && second.2.birth != 7);
    // Killed, both come again as they were.
    worker.die();
    admin.release(SlotId(0), FailureAttribution::Nobody, 3, &mut |_| Ok(())).unwrap();
    admin.open_slot(SlotId(0), &Tuning::default()).unwrap();
    let mut worker = WorkerHandle::open(arena, SlotId(0)).unwrap();
    worker.take(&[Q], 9, Wait::No).unwrap();
    assert_eq!(all(&worker), [first, second]);
    worker.commit(2, Wait::No).unwrap();
    worker.settle().unwrap();
    let counts = admin.counts(Q).unwrap();
    assert_eq!((counts.put, counts.done, counts.delayed, counts.bytes), (2, 2, 0, 0));
    admin.audit().unwrap();
}
