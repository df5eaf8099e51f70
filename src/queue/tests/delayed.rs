//! Delayed items: when they are taken, who is woken for them, and what a clock may do.

use super::super::transaction::delayed::clock;
use super::*;
use std::time::{Duration, Instant};

const NOW: u64 = 1 << 40;

fn delay(ms: u64) -> Delay {
    Delay { time: Duration::from_millis(ms), most: Duration::from_secs(60), put_off: 0 }
}

/// A queue with these items, all delayed by so many milliseconds each.
fn delayed(times: &[u64]) -> (Arena, QueueAdmin, WorkerHandle) {
    let (arena, mut admin) = arena(1000);
    let mut worker = attach(&arena, &mut admin, 0);
    for time in times {
        put(&mut worker, A, &[time.to_string().as_bytes()]);
    }
    worker.take(&[A], times.len(), Wait::No).unwrap();
    times.iter().for_each(|&time| worker.delay(0, true, delay(time)).unwrap());
    (arena, admin, worker)
}

fn take(worker: &mut WorkerHandle) -> Vec<String> {
    worker.take(&[A], 100, Wait::No).unwrap();
    let items = held(worker).into_iter().map(|item| String::from_utf8(item).unwrap()).collect();
    worker.commit(100, Wait::No).unwrap();
    worker.settle().unwrap();
    items
}

#[test]
fn others_pass_a_delayed_item_and_it_keeps_its_number_and_attempts() {
    clock::set(NOW);
    let (_, mut admin, mut worker) = delayed(&[500, 200]);
    put(&mut worker, A, &[b"fresh"]);
    assert_eq!(take(&mut worker), ["fresh"]);
    let counts = admin.counts(A).unwrap();
    assert_eq!((counts.put, counts.waiting, counts.delayed, counts.leased), (3, 0, 2, 0));
    clock::set(NOW + 199);
    assert!(take(&mut worker).is_empty());
    clock::set(NOW + 200);
    worker.take(&[A], 9, Wait::No).unwrap();
    let lease = worker.item(0).unwrap();
    assert_eq!((lease.bytes, lease.id, lease.attempt, worker.len()), (&b"200"[..], 1, 2, 1));
    admin.audit().unwrap();
}

#[test]
fn what_is_due_comes_after_what_was_given_back_and_before_what_is_new() {
    clock::set(NOW);
    let (_, _, mut worker) = delayed(&[3, 1, 2]);
    put(&mut worker, A, &[b"back", b"new"]);
    worker.take(&[A], 1, Wait::No).unwrap();
    worker.give_back(0, false).unwrap();
    clock::set(NOW + 2);
    assert_eq!(take(&mut worker), ["back", "1", "2", "new"]);
    clock::set(NOW + 3);
    assert_eq!(take(&mut worker), ["3"]);
}

#[test]
fn thousands_come_out_in_the_order_of_their_times() {
    clock::set(NOW);
    let times: Vec<u64> = (0..500).map(|n| n * 7919 % 10_007).collect();
    let (_, mut admin, mut worker) = delayed(&times);
    admin.audit().unwrap();
    clock::set(NOW + 10_007);
    let mut sorted = times.clone();
    sorted.sort_unstable();
    let mut taken = Vec::new();
    while taken.len() < times.len() {
        let some = take(&mut worker);
        assert!(!some.is_empty());
        taken.extend(some.iter().map(|item| item.parse::<u64>().unwrap()));
    }
    assert_eq!(taken, sorted);
    admin.audit().unwrap();
}

#[test]
fn delayed_items_take_room_and_hold_the_end_of_a_queue_back() {
    clock::set(NOW);
    let (_, mut admin, mut worker) = delayed(&[100]);
    admin.set_queue(A, &limits(1)).unwrap();
    worker.put(&[A], b"more", None).unwrap();
    assert!(matches!(worker.commit(0, Wait::No).unwrap(), Committed::Full { queue: A, size: 1 }));
    worker.discard_staged().unwrap();
    admin.set_ended(A, true).unwrap();
    assert_eq!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Empty);
    clock::set(NOW + 100);
    assert_eq!(take(&mut worker), ["100"]);
    assert_eq!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Ended);
}

#[test]
fn a_clock_that_goes_back_holds_no_item_for_longer_than_the_longest_delay() {
    clock::set(NOW);
    let (_, mut admin, mut worker) = delayed(&[20_000, 5_000, 50_000]);
    clock::set(NOW - 3_600_000);
    assert_eq!(take(&mut worker), ["5000"], "the next one is due now");
    clock::set(NOW - 3_600_000 + 15_000);
    assert_eq!(take(&mut worker), ["20000"], "and the others follow it as before");
    clock::set(NOW);
    assert_eq!(take(&mut worker), ["50000"], "a clock that goes forward makes them due early");
    admin.audit().unwrap();
}

#[test]
fn a_sleeper_wakes_when_an_item_is_due_that_another_worker_has_delayed() {
    let (arena, mut admin) = arena(10);
    let mut worker = attach(&arena, &mut admin, 0);
    admin.open_slot(SlotId(1), &Tuning::default()).unwrap();
    put(&mut worker, A, &[b"first", b"second"]);
    worker.take(&[A], 2, Wait::No).unwrap();
    let sleeper = std::thread::spawn(move || {
        let mut worker = WorkerHandle::open(arena, SlotId(1)).unwrap();
        worker.tuning();
        worker.take(&[A], 1, Wait::Forever).unwrap();
        (held(&worker), Instant::now())
    });
    let delayed = Instant::now();
    worker.delay(0, true, delay(30_000)).unwrap();
    worker.delay(0, true, delay(50)).unwrap();
    let (items, woken) = sleeper.join().unwrap();
    assert_eq!(items, [b"second"]);
    assert!(woken - delayed >= Duration::from_millis(49), "{:?}", woken - delayed);
}

#[test]
fn a_sleeper_that_leaves_for_another_item_hands_the_next_due_time_on() {
    let (arena, mut admin) = arena(10);
    let mut worker = attach(&arena, &mut admin, 0);
    for slot in [1, 2] {
        admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
    }
    put(&mut worker, A, &[b"failed"]);
    worker.take(&[A], 1, Wait::No).unwrap();
    let (taken, takes) = std::sync::mpsc::channel();
    let sleepers = [1, 2].map(|slot| {
        let (arena, taken) = (arena.clone(), taken.clone());
        std::thread::spawn(move || {
            let mut worker = WorkerHandle::open(arena, SlotId(slot)).unwrap();
            worker.tuning();
            worker.take(&[A], 1, Wait::Forever).unwrap();
            taken.send(held(&worker)).unwrap(); // and it is at work for ever
        })
    });
    worker.delay(0, true, delay(100)).unwrap();
    put(&mut worker, A, &[b"new"]);
    assert_eq!(takes.recv().unwrap(), [b"new"]);
    assert_eq!(takes.recv().unwrap(), [b"failed"]);
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

#[test]
fn a_waiter_in_a_workers_place_wakes_when_an_item_is_due() {
    let (_, _, mut worker) = delayed(&[30]);
    let began = Instant::now();
    assert_eq!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Empty);
    worker.waiter().sleep();
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert!(matches!(worker.take(&[A], 1, Wait::Forever).unwrap(), Taken::Items { .. }));
}

fn at_most(ms: u64) -> Tuning {
    let max = Duration::from_millis(ms);
    Tuning { retry: Retry { max, ..Tuning::default().retry }, ..Tuning::default() }
}

#[test]
fn a_lower_limit_of_delays_holds_for_what_waits_already() {
    for replaced in [false, true] {
        clock::set(NOW);
        let (_arena, mut admin, mut worker) = delayed(&[40_000, 60_000]);
        let slot = SlotId(u16::from(replaced));
        admin.open_slot(slot, &at_most(60_000)).unwrap();
        admin.set_queues_of(slot, &[A], 1).unwrap();
        clock::set(NOW + 2_000);
        assert!(take(&mut worker).is_empty(), "as the settings were");
        let lower = at_most(1_000);
        match replaced {
            false => admin.tune(slot, &lower).unwrap(),
            true => {
                admin.open_slot(slot, &lower).unwrap();
                admin.set_queues_of(slot, &[A], 1).unwrap();
            }
        }
        assert_eq!(take(&mut worker), ["40000"]);
        assert_eq!(take(&mut worker), ["60000"]);
        admin.audit().unwrap();
    }
}

#[test]
fn a_sleeper_hears_that_items_wait_less_long() {
    clock::set(NOW);
    let (arena, mut admin, _) = delayed(&[40_000]);
    admin.open_slot(SlotId(0), &at_most(60_000)).unwrap();
    admin.set_queues_of(SlotId(0), &[A], 1).unwrap();
    admin.open_slot(SlotId(1), &Tuning::default()).unwrap();
    let sleeper = std::thread::spawn(move || {
        clock::set(NOW);
        let mut worker = WorkerHandle::open(arena, SlotId(1)).unwrap();
        worker.tuning();
        worker.take(&[A], 1, Wait::Forever).unwrap();
        held(&worker)
    });
    admin.tune(SlotId(0), &at_most(200)).unwrap();
    assert_eq!(sleeper.join().unwrap(), [b"40000"]);
}

#[test]
fn an_item_that_finds_no_room_among_the_delayed_goes_back_at_once() {
    clock::set(NOW);
    let (arena, mut admin) = arena(10);
    let mut worker = attach(&arena, &mut admin, 0);
    put(&mut worker, A, &[b"item"]);
    worker.take(&[A], 1, Wait::No).unwrap();
    let queue = QueueAt::of(A).unwrap();
    for word in [queue::DELAYED, queue::DELAY_USED] {
        arena.0.store(queue + word, layout::DELAYED_MAX);
    }
    worker.delay(0, true, delay(100)).unwrap();
    assert_eq!(arena.0.load(queue + queue::RETURNED), 1);
    arena.0.store(queue + queue::DELAYED, layout::DELAYED_MAX + 1);
    assert!(worker.take(&[A], 1, Wait::No).is_err(), "a count that can't be is damage");
}

#[test]
fn a_removed_queue_forgets_its_delayed_items() {
    clock::set(NOW);
    let (arena, mut admin, _) = delayed(&[100, 200, 300]);
    assert_eq!(admin.remove_queue(A).unwrap(), 3);
    admin.set_queue(A, &limits(10)).unwrap();
    let mut next = attach(&arena, &mut admin, 1);
    clock::set(NOW + 1000);
    assert!(take(&mut next).is_empty());
    assert_eq!(admin.counts(A).unwrap(), QueueCounts::default());
    admin.audit().unwrap();
}
