//! What holds with many workers on one queue: order, independence, and wake-ups for one.

use super::*;
use std::time::{Duration, Instant};

const WORKERS: u16 = 3;
const EACH: u64 = 2000;

fn open_all(admin: &mut QueueAdmin, slots: std::ops::Range<u16>) {
    slots.for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
}

/// Takes until the end; each item as producer and number.
fn read_all(worker: &mut WorkerHandle) -> Vec<(u64, u64)> {
    let mut seen = Vec::new();
    worker.order();
    loop {
        match worker.take(&[A], 7, Wait::Forever).unwrap() {
            Taken::Items { .. } => {}
            Taken::Ended => return seen,
            Taken::Empty | Taken::Ordered => {
                worker.order();
            }
        }
        for i in 0..worker.len() {
            let word = u64::from_le_bytes(worker.item(i).unwrap().bytes.try_into().unwrap());
            seen.push((word >> 32, word & 0xffff_ffff));
        }
        worker.commit(worker.len(), Wait::No).unwrap();
    }
}

fn write_all(worker: &mut WorkerHandle, producer: u64) {
    for i in 0..EACH {
        worker.put(&[A], &(producer << 32 | i).to_le_bytes(), None).unwrap();
        if i % 5 == 4 {
            worker.commit(0, Wait::Forever).unwrap();
        }
    }
}

#[test]
fn every_consumer_sees_the_items_of_one_producer_in_order_and_all_see_each_once() {
    let (arena, mut admin) = arena(20);
    open_all(&mut admin, 0..2 * WORKERS);
    let all = std::thread::scope(|scope| {
        let attach = |slot| WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap();
        let readers: Vec<_> =
            (0..WORKERS).map(|n| scope.spawn(move || read_all(&mut attach(WORKERS + n)))).collect();
        let writers: Vec<_> =
            (0..WORKERS).map(|n| scope.spawn(move || write_all(&mut attach(n), n.into()))).collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        admin.set_ended(A, true).unwrap();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    for seen in &all {
        for producer in 0..u64::from(WORKERS) {
            assert!(seen.iter().filter(|item| item.0 == producer).is_sorted());
        }
    }
    let mut together = all.concat();
    together.sort_unstable();
    assert!(together.windows(2).all(|two| two[0] != two[1]));
    assert_eq!(together.len() as u64, u64::from(WORKERS) * EACH);
}

#[test]
fn what_one_of_several_held_when_it_died_is_served_before_what_still_waits() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"1", b"2", b"3", b"4", b"5"]);
    let mut victim = attach(&arena, &mut admin, 1);
    let mut other = attach(&arena, &mut admin, 2);
    victim.take(&[A], 2, Wait::No).unwrap();
    other.take(&[A], 1, Wait::No).unwrap();
    drop(victim);
    admin.release(SlotId(1), FailureAttribution::Nobody, 3, &mut |_| Ok(())).unwrap();
    other.take(&[A], 9, Wait::No).unwrap();
    assert_eq!(held(&other), [b"3", b"1", b"2", b"4", b"5"]);
}

/// A lease is out of the ring, its block in nobody's way.
#[test]
fn a_worker_stuck_with_its_leases_holds_up_nobody() {
    let (arena, mut admin) = arena(4);
    let mut writer = attach(&arena, &mut admin, 0);
    let mut stuck = attach(&arena, &mut admin, 1);
    let mut other = attach(&arena, &mut admin, 2);
    [&[1; 1000][..], b"short", &[2; 1000]].iter().for_each(|item| put(&mut writer, A, &[item]));
    stuck.take(&[A], 3, Wait::No).unwrap();
    stuck.begin(0);
    for i in 0..20_000u32 {
        let item = [i.to_le_bytes(); 250].concat();
        put(&mut writer, A, &[&item]);
        assert!(matches!(other.take(&[A], 4, Wait::No).unwrap(), Taken::Items { .. }));
        assert_eq!(other.item(0).unwrap().bytes, item);
        other.commit(1, Wait::No).unwrap();
    }
    writer.settle().unwrap();
    other.settle().unwrap();
    assert_eq!(held(&stuck), [&[1; 1000][..], b"short", &[2; 1000]]);
    let counts = admin.audit().unwrap()[0].1;
    assert_eq!((counts.leased, counts.done, counts.bytes), (3, 20_000, 2 * 1024));
}

fn times_woken() -> i64 {
    // SAFETY: fills the struct it is given.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw
    }
}

/// With a herd each of the hundred puts would wake all sixteen.
#[test]
fn a_put_wakes_one_sleeper_and_not_the_herd() {
    const WAITERS: u16 = 16;
    const PUTS: u64 = 100;
    let (arena, mut admin) = arena(10);
    open_all(&mut admin, 0..WAITERS + 1);
    let woken: i64 = std::thread::scope(|scope| {
        let attach = |slot| WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap();
        let waiters: Vec<_> = (0..WAITERS)
            .map(|slot| {
                scope.spawn(move || {
                    let mut worker = attach(slot);
                    let before = times_woken();
                    read_all(&mut worker);
                    times_woken() - before
                })
            })
            .collect();
        let mut writer = attach(WAITERS);
        for i in 0..PUTS {
            put(&mut writer, A, &[&i.to_le_bytes()]);
            let start = Instant::now();
            while admin.counts(A).unwrap().waiting > 0 {
                assert!(start.elapsed() < Duration::from_secs(10), "nobody took the item");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        admin.set_ended(A, true).unwrap();
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).sum()
    });
    assert!(woken < 8 * PUTS as i64, "{PUTS} puts, {woken} wake-ups");
}
