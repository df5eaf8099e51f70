//! In order, with an output that has no bytes left: nobody waits for an item that nobody has.

use super::super::transaction::delayed::clock;
use super::*;
use crate::queue::arena::layout::Class;
use std::sync::mpsc::channel;
use std::time::Duration;

const W: QueueId = QueueId(3);
const NOW: u64 = 1 << 40;

fn settings() -> Tuning {
    let retry = Retry { delay: Duration::from_millis(200), max: Duration::from_secs(30) };
    Tuning { attempts: 99, retry, ..Tuning::default() }
}

/// A worker that has items of A in work, whose outputs go to B in order: the first has failed, and is delayed.
fn worker_whose_first_item_failed(items: u64, max_bytes: u64) -> (Arena, QueueAdmin, WorkerHandle) {
    clock::set(NOW);
    let (arena, mut admin) = arena(1000);
    admin.set_queue(B, &Limits { max_bytes, ..limits(2000) }).unwrap();
    admin.begin_order((A, &[B]), W, 100).unwrap();
    let mut writer = attach(&arena, &mut admin, 9);
    (0..items).for_each(|i| put(&mut writer, A, &[&i.to_le_bytes()]));
    let mut worker = attach(&arena, &mut admin, 0);
    worker.take(&[A], 1, Wait::No).unwrap();
    assert!(matches!(worker.fail(0, true, &settings(), "").unwrap(), Failed::Again { .. }));
    (arena, admin, worker)
}

/// A wait without end would end no test.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("it waits for ever");
    }
    thread.join().unwrap();
}

/// Ends the oldest item, and says in which order the outputs come: their first bytes.
fn finish(admin: &mut QueueAdmin, worker: &mut WorkerHandle, outputs: usize) -> Vec<u8> {
    clock::set(clock::now() + 60_000);
    assert!(matches!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Items { .. }));
    assert_eq!(worker.item(0).unwrap().bytes, 0_u64.to_le_bytes());
    worker.put(&[B], &[0; 900], Some(0)).unwrap();
    assert!(matches!(worker.commit(1, Wait::No).unwrap(), Committed::Done { .. }));
    let mut came = Vec::new();
    while came.len() < outputs {
        worker.take(&[B], 100, Wait::No).unwrap();
        came.extend(held(worker).iter().map(|item| item[0]));
        worker.commit(worker.len(), Wait::No).unwrap();
        worker.settle().unwrap();
    }
    admin.audit().unwrap();
    came
}

#[test]
fn a_worker_with_a_later_item_does_not_wait_for_bytes_while_the_oldest_is_delayed_and_then_takes_no_more() {
    in_time(|| {
        let (_, mut admin, mut worker) = worker_whose_first_item_failed(60, 16 << 10);
        let mut taken = 0_u8;
        while let Taken::Items { .. } = worker.take(&[A], 1, Wait::No).unwrap() {
            taken += 1;
            worker.put(&[B], &[taken; 900], Some(0)).unwrap();
            assert!(matches!(worker.commit(1, Wait::No).unwrap(), Committed::Done { .. }));
        }
        assert_eq!(taken, 17, "as many as there are bytes for, and one more");
        let came = finish(&mut admin, &mut worker, 18);
        assert_eq!(came, (0..18).collect::<Vec<_>>());
        assert!(matches!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Items { .. }));
    });
}

#[test]
fn nor_does_one_with_very_many_outputs_wait_for_its_turn() {
    in_time(|| {
        let (_, mut admin, mut worker) = worker_whose_first_item_failed(2, 1 << 20);
        worker.take(&[A], 1, Wait::No).unwrap();
        for i in 0..1200_u16 {
            worker.put(&[B], &[1 + (i % 200) as u8; 9], Some(0)).unwrap();
        }
        assert!(matches!(worker.commit(1, Wait::No).unwrap(), Committed::Done { .. }));
        let came = finish(&mut admin, &mut worker, 1201);
        let all = std::iter::once(0).chain((0..1200_u16).map(|i| 1 + (i % 200) as u8));
        assert_eq!(came, all.collect::<Vec<_>>());
    });
}

#[test]
fn it_sleeps_where_no_block_is_left_and_an_order_to_finish_reaches_it() {
    in_time(|| {
        for outputs in [3, 600] {
            let (arena, mut admin, mut worker) = worker_whose_first_item_failed(2, 64 << 20);
            worker.take(&[A], 1, Wait::No).unwrap();
            worker.put(&[B], &[1; 9], Some(0)).unwrap();
            if outputs == 3 {
                Class::all().for_each(|class| arena.0.store(class.carved(), class.blocks()));
            }
            admin.order(SlotId(0), Order::Finish).unwrap();
            let refused = (0..outputs).find_map(|_| worker.put(&[B], &[1; 9000], Some(0)).err());
            assert!(matches!(refused, Some(PutError::Ordered)), "{refused:?}");
        }
    });
}

#[test]
fn an_output_that_no_stage_reads_keeps_none_from_taking_though_it_has_too_many_bytes() {
    let other = QueueId(4);
    let (arena, mut admin, mut worker) = worker_whose_first_item_failed(3, 1 << 20);
    admin.set_queue(other, &limits(100)).unwrap();
    admin.begin_order((A, &[B, other]), W, 100).unwrap();
    let mut writer = attach(&arena, &mut admin, 8);
    put(&mut writer, other, &[&[1; 9000]]);
    admin.set_queue(other, &Limits { max_bytes: 1 << 10, ..limits(100) }).unwrap();
    worker.take(&[A], 1, Wait::No).unwrap();
    worker.put(&[B], &[1; 9], Some(0)).unwrap();
    assert!(matches!(worker.commit(1, Wait::No).unwrap(), Committed::Done { .. }));
    assert_eq!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Empty, "it is full");
    admin.set_closed(other, true).unwrap();
    assert!(matches!(worker.take(&[A], 1, Wait::No).unwrap(), Taken::Items { .. }));
}
