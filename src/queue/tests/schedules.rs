//! The real code under shuttle: `A -> two movers -> B (capacity 1 or 2) -> two movers -> C`, in random orders of steps, while one
//! worker is killed at any store, and the supervisor, too, in the midst of its release. No worker may sleep for ever (shuttle reports
//! a deadlock), and every item must arrive once. In some scenes the first two keep the order (then one worker moves on, and
//! sees it), or are of a stage that is failing: one worker probes, and its success wakes all. In one A is full of items that fail
//! until the last one is tried, for which its writer waits for extra room.
//!
//! `MPRUN_SCHEDULES` (60) sets how many orders of each scene are tried. A failure prints its schedule; `shuttle::replay` plays
//! it again.

use super::super::arena::explored;
use super::super::arena::inject::Killed;
use super::super::transaction::delayed::clock;
use super::*;
use shuttle::rand::Rng;
use shuttle::sync::mpsc::{Sender, channel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// What is moved: short ones, and one in a block.
const ITEMS: [&[u8]; 6] = [b"1", b"22", &[b'3'; 100], b"4444", b"55555", b"666666"];
/// The window of A, where the order is kept.
const W: QueueId = QueueId(3);
const STAGE: StageId = StageId(0);
static IS_SEEN_FAILING: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy, Debug)]
struct Scene {
    capacity: u64,
    batch: usize,
    a_worker_dies: bool,
    the_supervisor_dies: bool,
    keeps_order: bool,
    /// Tries of items of A that fail: the first ones.
    failures: u32,
    /// A has as little room as B, a worker fills it under way, and all fails there until the last item is tried.
    fills: bool,
}

/// Of the worker that fills A, where one does.
const WRITER: u16 = 5;

impl Scene {
    /// How many of [`ITEMS`] are moved.
    fn items(self) -> usize {
        if self.failures > 0 || self.keeps_order { 6 } else { 4 }
    }

    /// Two move A to B, then one or two move B to C; one may fill A.
    fn workers(self) -> u16 {
        match self {
            Self { fills: true, .. } => WRITER,
            Self { keeps_order: true, .. } => 3,
            _ => 4,
        }
    }

    fn last_item(self) -> &'static [u8] {
        ITEMS[self.items() - 1]
    }

    /// Of a worker whose items fail.
    fn tuning(self) -> Tuning {
        let retry = Retry { delay: Duration::from_millis(100), max: Duration::from_secs(1) };
        Tuning { attempts: 99, retry, ..Tuning::default() }
    }
}

fn way(slot: u16) -> (QueueId, QueueId) {
    if slot <= 2 { (A, B) } else { (B, C) }
}

/// Puts what is not in A yet.
fn fill(worker: &mut WorkerHandle, items: &[&[u8]]) {
    for item in items {
        worker.put(&[A], item, None).unwrap();
        let done = worker.commit(0, Wait::Forever).unwrap();
        assert!(matches!(done, Committed::Done { .. }), "{done:?}");
    }
}

/// `failures`: tries that fail still.
fn carry(worker: &mut WorkerHandle, scene: Scene, (from, to): (QueueId, QueueId), failures: &AtomicU32) {
    loop {
        match worker.take(&[from], scene.batch, Wait::Forever).unwrap() {
            Taken::Items { .. } => {}
            Taken::Ended => break,
            Taken::Empty | Taken::Ordered => {
                worker.order();
            }
        }
        let fails = |first: &[u8]| {
            if scene.fills && first == scene.last_item() {
                failures.store(0, Relaxed);
            }
            failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        while from == A && !worker.is_empty() && fails(worker.item(0).unwrap().bytes) {
            let failed = worker.fail(0, true, &scene.tuning(), "no such host").unwrap();
            IS_SEEN_FAILING.fetch_or(matches!(failed, Failed::Again { failing: true, .. }), Relaxed);
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
fn start_worker(
    stage: &Stage,
    admin: &mut QueueAdmin,
    slot: u16,
    kill_at: Option<u64>,
    report: &Sender<(u16, bool)>,
) {
    let (scene, failures) = (stage.scene, stage.failures.clone());
    let filled = admin.counts(A).unwrap().put as usize;
    let (arena, report) = (stage.arena.clone(), report.clone());
    shuttle::thread::spawn(move || {
        let mut worker = WorkerHandle::open(arena, SlotId(slot)).unwrap();
        worker.order();
        kill_at.into_iter().for_each(explored::kill_at_store);
        let died = dies(|| match slot {
            WRITER => fill(&mut worker, &ITEMS[filled..scene.items()]),
            _ => carry(&mut worker, scene, way(slot), &failures),
        });
        if died {
            worker.die();
        }
        report.send((slot, died)).unwrap();
    });
}

/// What workers share.
struct Stage {
    arena: Arena,
    scene: Scene,
    failures: Arc<AtomicU32>,
}

fn set_up(scene: Scene) -> (Stage, QueueAdmin) {
    let (arena, mut admin) = arena(scene.capacity);
    for q in [A, C].into_iter().filter(|&q| q == C || !scene.fills) {
        admin.set_queue(q, &limits(ITEMS.len() as u64)).unwrap();
    }
    if scene.keeps_order {
        admin.begin_order((A, &[B]), W, 1).unwrap();
    }
    admin.open_stage(STAGE).unwrap();
    if !scene.fills {
        let mut writer = attach(&arena, &mut admin, 0);
        put(&mut writer, A, &ITEMS[..scene.items()]);
        writer.settle().unwrap();
        admin.set_ended(A, true).unwrap();
    }
    (Stage { arena, scene, failures: Arc::new(AtomicU32::new(scene.failures)) }, admin)
}

fn open_slot(admin: &mut QueueAdmin, scene: Scene, slot: u16) {
    let fails = scene.failures > 0 && slot <= 2;
    // What the others move is not delayed when one dies over it: it would be passed.
    let tuning = if fails { scene.tuning() } else { Tuning::default() };
    admin.open_slot(SlotId(slot), &tuning).unwrap();
    if fails {
        admin.set_queues_of(SlotId(slot), &[A, B], 1).unwrap();
        admin.set_stage_of(SlotId(slot), STAGE).unwrap();
    }
}

fn release(stage: &Stage, admin: &mut QueueAdmin, slot: u16) {
    if stage.scene.the_supervisor_dies {
        explored::kill_at_store(shuttle::rand::thread_rng().gen_range(0..60));
        let died =
            dies(|| _ = admin.release(SlotId(slot), FailureAttribution::Begun, 99, &mut |_| Ok(())).unwrap());
        explored::cancel_kill();
        if died {
            admin.die();
            *admin = QueueAdmin::open(stage.arena.clone()).unwrap();
        }
    }
    admin.release(SlotId(slot), FailureAttribution::Begun, 99, &mut |_| Ok(())).unwrap();
    open_slot(admin, stage.scene, slot);
}

fn play(scene: Scene) {
    explored::start();
    clock::set(1 << 40);
    // Whoever sleeps until a moment may sleep as long: time passes there, and nowhere else.
    explored::let_time_pass(|| clock::set(clock::now() + 60_000));
    let (stage, mut admin) = set_up(scene);
    let (report, reports) = channel();
    let mut dice = shuttle::rand::thread_rng();
    let victim = if scene.a_worker_dies { dice.gen_range(1..=scene.workers()) } else { 0 };
    for slot in 1..=scene.workers() {
        open_slot(&mut admin, scene, slot);
        let kill_at = (slot == victim).then(|| dice.gen_range(0..150));
        start_worker(&stage, &mut admin, slot, kill_at, &report);
    }
    let (mut first_done, mut all_done) = (0, 0);
    while all_done < scene.workers() {
        let (slot, died) = reports.recv().unwrap();
        if died {
            release(&stage, &mut admin, slot);
            start_worker(&stage, &mut admin, slot, None, &report);
            continue;
        }
        all_done += 1;
        first_done += u16::from(slot <= 2);
        if slot == WRITER {
            admin.set_ended(A, true).unwrap();
        }
        if slot <= 2 && first_done == 2 {
            admin.set_ended(B, true).unwrap();
        }
    }
    settle_accounts(&stage, &mut admin);
}

fn settle_accounts(Stage { arena, scene, .. }: &Stage, admin: &mut QueueAdmin) {
    let n = scene.items();
    let counts = admin.audit().unwrap();
    for (q, counts) in &counts[..2] {
        assert_eq!((counts.put, counts.done), (n as u64, n as u64), "queue {}: {counts:?}", q.0);
    }
    let mut last = attach(arena, admin, 0);
    last.take(&[C], 9, Wait::No).unwrap();
    let mut arrived = held(&last);
    if !scene.keeps_order {
        arrived.sort();
    }
    let lengths = |items: &[Vec<u8>]| items.iter().map(Vec::len).collect::<Vec<_>>();
    assert!(arrived == ITEMS[..n], "{scene:?}: items of {:?} bytes", lengths(&arrived));
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

const CALM: Scene = Scene {
    capacity: 1,
    batch: 1,
    a_worker_dies: false,
    the_supervisor_dies: false,
    keeps_order: false,
    failures: 0,
    fills: false,
};

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

#[test]
fn nor_where_the_order_is_kept() {
    explore(Scene { keeps_order: true, ..CALM });
    explore(Scene { keeps_order: true, a_worker_dies: true, capacity: 2, batch: 2, ..CALM });
    explore(Scene { keeps_order: true, a_worker_dies: true, the_supervisor_dies: true, ..CALM });
}

#[test]
fn nor_in_a_stage_that_is_failing() {
    explore(Scene { failures: 9, ..CALM });
    explore(Scene {
        failures: 9,
        a_worker_dies: true,
        the_supervisor_dies: true,
        capacity: 2,
        batch: 2,
        ..CALM
    });
    explore(Scene { failures: 9, keeps_order: true, a_worker_dies: true, ..CALM });
    assert!(IS_SEEN_FAILING.load(Relaxed));
}

#[test]
fn nor_where_a_writer_waits_for_room_beside_items_that_fail() {
    let filled = Scene { failures: u32::MAX, fills: true, ..CALM };
    explore(filled);
    explore(Scene { a_worker_dies: true, capacity: 2, batch: 2, ..filled });
    explore(Scene { a_worker_dies: true, the_supervisor_dies: true, ..filled });
}
