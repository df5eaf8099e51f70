//! Nobody sleeps for ever while there is something to do: the lock's and the events' protocols, explored in every
//! order of steps, with kills, stops, deadlines and changed limits. Each rule of the protocol is also left out once:
//! the model must then find the lost wake-up, or it proves nothing.

#[path = "wakeup_model/events.rs"]
mod events;
#[path = "wakeup_model/explore.rs"]
mod explore;
#[path = "wakeup_model/lock.rs"]
mod lock;

use events::{Queue, Scene, queue, read, write};

#[test]
fn the_lock_is_handed_on_whoever_dies() {
    for kernel_wakes_marked in [false, true] {
        let rules = lock::Rules { kernel_wakes_marked, ..lock::REAL };
        lock::check(3, 2, 0, rules).must_hold("3 processes, twice");
        lock::check(3, 2, 2, rules).must_hold("3 processes, twice, 2 deaths");
    }
    lock::check(4, 1, 1, lock::REAL).must_hold("4 processes, a death");
}

#[test]
fn a_lock_without_one_of_its_rules_is_found_out() {
    use lock::{REAL, Rules, check};
    check(3, 1, 0, Rules { unlock_wakes: false, ..REAL }).must_break("no wake in unlock");
    check(3, 1, 0, Rules { keeps_waiters: false, ..REAL }).must_break("others that sleep are forgotten");
    check(3, 2, 1, Rules { release_wakes: false, ..REAL }).must_break("no wake in release");
    check(2, 1, 1, Rules { pending: false, ..REAL }).must_break("the kernel does not know of the lock");
    check(2, 1, 1, Rules { clears_pending_first: true, ..REAL })
        .must_break("pending cleared before the unlock");
}

/// Two writers and two readers of one queue.
fn crowd(capacity: u8, max: usize) -> Scene {
    let jobs = vec![write(&[&[0], &[0]]), write(&[&[0], &[0]]), read(&[0], max, 2), read(&[0], max, 2)];
    Scene { queues: vec![queue(capacity)], jobs, ..Scene::default() }
}

/// The smallest crowd in which a wake-up can go to the wrong one, on both sides.
fn few() -> Scene {
    Scene { jobs: vec![write(&[&[0]]), write(&[&[0]]), read(&[0], 1, 1), read(&[0], 1, 1)], ..crowd(1, 1) }
}

/// A writer of two queues, a writer of one of them, and a reader of that one only.
fn mixed_writers() -> Scene {
    let full = Queue { waiting: vec![1], ..queue(1) };
    let jobs = vec![write(&[&[0, 1]]), write(&[&[0]]), read(&[0], 1, 3)];
    Scene { queues: vec![full.clone(), full], jobs, ..Scene::default() }
}

/// A reader of two queues beside readers of one.
fn mixed_readers() -> Scene {
    let jobs =
        vec![read(&[0, 1], 1, 2), read(&[0], 1, 1), read(&[1], 1, 1), write(&[&[0], &[1]]), write(&[&[0]])];
    Scene { queues: vec![queue(2), queue(2)], jobs, ..Scene::default() }
}

/// A queue bounded by bytes: a large and a small item want room.
fn bytes() -> Scene {
    let sized = |size| events::Job::Write { outputs: vec![(vec![0], size)] };
    let jobs = vec![sized(2), sized(3), sized(1), read(&[0], 1, 3)];
    Scene { queues: vec![Queue { max_bytes: 3, ..queue(4) }], jobs, ..Scene::default() }
}

#[test]
fn nobody_sleeps_beside_an_item_or_room() {
    events::check(&crowd(1, 1), events::REAL).must_hold("crowd, capacity 1");
    events::check(&crowd(2, 1), events::REAL).must_hold("crowd, capacity 2");
    events::check(&crowd(2, 2), events::REAL).must_hold("crowd, batches");
    events::check(&mixed_writers(), events::REAL).must_hold("mixed writers");
    events::check(&mixed_readers(), events::REAL).must_hold("mixed readers");
    events::check(&bytes(), events::REAL).must_hold("bytes");
}

#[test]
fn not_even_when_somebody_dies() {
    for scene in [few(), mixed_writers()] {
        events::check(&Scene { kills: 1, ..scene }, events::REAL).must_hold("a death");
    }
    let jobs = vec![write(&[&[0, 1], &[0]]), read(&[0, 1], 1, 2), read(&[0], 1, 2)];
    let scene = Scene { queues: vec![queue(1), queue(1)], jobs, kills: 1, ..Scene::default() };
    events::check(&scene, events::REAL).must_hold("a death, two queues");
}

#[test]
fn nor_when_somebody_is_stopped_and_stays_so() {
    for scene in [few(), mixed_writers()] {
        events::check(&Scene { stops: 1, ..scene }, events::REAL).must_hold("a stop");
    }
}

#[test]
fn nor_when_somebody_leaves_or_limits_change() {
    for leaver in 0..4 {
        events::check(&Scene { leavers: vec![leaver], ..few() }, events::REAL).must_hold("a leaver");
    }
    for leaver in 0..3 {
        events::check(&Scene { leavers: vec![leaver], ..mixed_writers() }, events::REAL)
            .must_hold("a leaver");
    }
    for new_capacity in [(0, 2), (0, 3)] {
        let scene = Scene { new_capacity: Some(new_capacity), ..few() };
        events::check(&scene, events::REAL).must_hold("another capacity");
    }
    let no_reader = Scene {
        queues: vec![queue(1)],
        jobs: vec![write(&[&[0], &[0], &[0]]), write(&[&[0], &[0]])],
        new_capacity: Some((0, 5)),
        ..Scene::default()
    };
    events::check(&no_reader, events::REAL).must_hold("more capacity, no reader");
}

#[test]
fn a_protocol_without_one_of_its_rules_is_found_out() {
    use events::{REAL, Rules, check};
    let crowd = few();
    let many = Scene {
        jobs: vec![write(&[&[0], &[0]]), read(&[0], 1, 1), read(&[0], 1, 1)],
        queues: vec![queue(2)],
        ..Scene::default()
    };
    check(&many, Rules { take_passes_on: false, ..REAL }).must_break("take passes nothing on");
    let room = Scene {
        jobs: vec![write(&[&[0]]), write(&[&[0]]), read(&[0], 2, 1)],
        queues: vec![Queue { waiting: vec![1, 1], ..queue(2) }],
        ..Scene::default()
    };
    check(&room, Rules { put_passes_on: false, ..REAL }).must_break("put passes nothing on");
    check(&mixed_writers(), Rules { moving_on_passes_on: false, ..REAL }).must_break("moves on in silence");
    check(&many, Rules { woken_announces: false, ..REAL }).must_break("the woken does not announce others");
    let leaver = Scene { leavers: vec![1], ..many.clone() };
    check(&leaver, Rules { takes_before_leaving: false, ..REAL }).must_break("leaves with a wake-up");
    check(&Scene { kills: 1, ..crowd.clone() }, Rules { release_wakes_all: false, ..REAL })
        .must_break("release wakes none");
    check(&Scene { stops: 1, ..crowd }, Rules { stops_are_reported: false, ..REAL })
        .must_break("a stop is not reported");
    let raised = Scene {
        queues: vec![queue(1)],
        jobs: vec![write(&[&[0], &[0]])],
        new_capacity: Some((0, 2)),
        ..Scene::default()
    };
    check(&raised, Rules { capacity_rings: false, ..REAL }).must_break("a new capacity rings nothing");
    let sized = |size| events::Job::Write { outputs: vec![(vec![0], size)] };
    let large_and_small = Scene {
        queues: vec![Queue { waiting: vec![2, 1], max_bytes: 3, bytes: 3, ..queue(4) }],
        jobs: vec![sized(3), sized(1), read(&[0], 1, 1)],
        ..Scene::default()
    };
    check(&large_and_small, REAL).must_hold("a large and a small item");
    check(&large_and_small, Rules { bytes_wake_all: false, ..REAL }).must_break("freed bytes wake one");
}
