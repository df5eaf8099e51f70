//! The real code under shuttle: `A -> two movers -> B (capacity 1 or 2) -> two movers -> C`, in random orders of steps, while one
//! worker is killed at any store, and the supervisor, too, in the midst of its release. No worker may sleep for ever (shuttle reports
//! a deadlock), and every item must arrive once.
//!
//! `MPRUN_SCHEDULES` (60) sets how many orders of each scene are tried. A failure prints its schedule; `shuttle::replay` plays
//! it again.

use super::super::arena::explored;
use super::super::arena::inject::Killed;
use super::*;
use shuttle::rand::Rng;
use shuttle::sync::mpsc::{Sender, channel};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is moved: short ones, and one in a block.
const ITEMS: [&[u8]; 4] = [b"1", b"22", &[b'3'; 100], b"4444"];

#[derive(Clone, Copy)]
struct Scene {
    capacity: u64,
    batch: usize,
    a_worker_dies: bool,
    the_supervisor_dies: bool,
}

/// Workers 1 and 2 move A to B, 3 and 4 move B to C.
const WORKERS: u16 = 4;

fn way(slot: u16) -> (QueueId, QueueId) {
    if slot <= 2 { (A, B) } else { (B, C) }
}

fn carry(worker: &mut WorkerHandle, batch: usize, (from, to): (QueueId, QueueId)) {
    loop {
        match worker.take(&[from], batch, Wait::Forever).unwrap() {
            Taken::Items { .. } => {}
            Taken::Ended => break,
            Taken::Empty | Taken::Ordered => {
                worker.order();
            }
        }
        for i in 0..worker.len() {
            let bytes = worker.item(i).unwrap().bytes.to_vec();
            worker.begin(i);
            // What a try that died has put in part is not put again: an item has one output here.
            worker.put(&[to], &bytes, Some(i)).unwrap();
        }
        let done = worker.commit(worker.len(), Wait::Forever).unwrap();
        assert!(matches!(done, Committed::Done { .. }), "{done:?}");
    }
    worker.give_back_all().unwrap();
}

/// True if it died before `work` was done.
fn dies(work: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(()) => false,
        Err(panic) if panic.is::<Killed>() => true,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A worker's life, in the end of which it reports whether it died.
fn start_worker(arena: &Arena, slot: u16, batch: usize, kill_at: Option<u64>, report: &Sender<(u16, bool)>) {
    let (arena, report) = (arena.clone(), report.clone());
    shuttle::thread::spawn(move || {
        let mut worker = WorkerHandle::open(arena, SlotId(slot)).unwrap();
        worker.order();
        kill_at.into_iter().for_each(explored::kill_at_store);
        let died = dies(|| carry(&mut worker, batch, way(slot)));
        if died {
            worker.die();
        }
        report.send((slot, died)).unwrap();
    });
}

fn set_up(scene: Scene) -> (Arena, QueueAdmin) {
    let (arena, mut admin) = arena(scene.capacity);
    for q in [A, C] {
        admin.set_queue(q, &limits(ITEMS.len() as u64)).unwrap();
    }
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &ITEMS);
    writer.settle().unwrap();
    admin.set_ended(A, true).unwrap();
    (arena, admin)
}

fn release(arena: &Arena, admin: &mut QueueAdmin, slot: u16, dies_too: bool) {
    if dies_too {
        explored::kill_at_store(shuttle::rand::thread_rng().gen_range(0..60));
        let died =
            dies(|| _ = admin.release(SlotId(slot), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap());
        explored::cancel_kill();
        if died {
            admin.die();
            *admin = QueueAdmin::open(arena.clone()).unwrap();
        }
    }
    admin.release(SlotId(slot), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
    admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
}

fn play(scene: Scene) {
    explored::start();
    let (arena, mut admin) = set_up(scene);
    let (report, reports) = channel();
    let mut dice = shuttle::rand::thread_rng();
    let victim = if scene.a_worker_dies { dice.gen_range(1..=WORKERS) } else { 0 };
    for slot in 1..=WORKERS {
        admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
        let kill_at = (slot == victim).then(|| dice.gen_range(0..150));
        start_worker(&arena, slot, scene.batch, kill_at, &report);
    }
    let (mut first_done, mut all_done) = (0, 0);
    while all_done < WORKERS {
        let (slot, died) = reports.recv().unwrap();
        if died {
            release(&arena, &mut admin, slot, scene.the_supervisor_dies);
            start_worker(&arena, slot, scene.batch, None, &report);
            continue;
        }
        all_done += 1;
        first_done += u16::from(slot <= 2);
        if slot <= 2 && first_done == 2 {
            admin.set_ended(B, true).unwrap();
        }
    }
    settle_accounts(&arena, &mut admin);
}

fn settle_accounts(arena: &Arena, admin: &mut QueueAdmin) {
    let counts = admin.audit().unwrap();
    for (q, counts) in &counts[..2] {
        assert_eq!((counts.put, counts.done), (4, 4), "queue {}: {counts:?}", q.0);
    }
    let mut last = attach(arena, admin, 0);
    last.take(&[C], 9, Wait::No).unwrap();
    let mut arrived = held(&last);
    arrived.sort();
    assert_eq!(arrived, ITEMS);
}

fn explore(scene: Scene) {
    let n = std::env::var("MPRUN_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut config = shuttle::Config::default();
    config.stack_size = 1 << 18;
    let random = shuttle::scheduler::RandomScheduler::new(n);
    shuttle::Runner::new(random, config.clone()).run(move || play(scene));
    let few_changes = shuttle::scheduler::PctScheduler::new(3, n);
    shuttle::Runner::new(few_changes, config).run(move || play(scene));
}

const CALM: Scene = Scene { capacity: 1, batch: 1, a_worker_dies: false, the_supervisor_dies: false };

#[test]
fn nobody_sleeps_for_ever_in_any_order_of_steps() {
    explore(CALM);
    explore(Scene { capacity: 2, batch: 2, ..CALM });
}

#[test]
fn nor_when_a_worker_is_killed_at_any_store() {
    explore(Scene { a_worker_dies: true, ..CALM });
    explore(Scene { a_worker_dies: true, capacity: 2, batch: 2, ..CALM });
}

#[test]
fn nor_when_the_supervisor_is_killed_while_it_settles_a_worker() {
    explore(Scene { a_worker_dies: true, the_supervisor_dies: true, ..CALM });
}
