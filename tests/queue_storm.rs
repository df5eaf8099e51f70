//! Real processes, real SIGKILLs: A -> B -> C with several workers each, killed, stopped and replaced at random, and
//! in the second part the supervisor too. In the end count, sum and xor are exact and the audit is clean.
//!
//! `MPRUN_STORM_SECONDS` (20) sets the time; with `--features inject` the workers also kill themselves at stores of
//! their own choice, which hits the few nanoseconds inside the lock far more often.

#[path = "queue_storm/crew.rs"]
mod crew;
#[path = "queue_storm/load.rs"]
mod load;

use crew::Crew;
use load::{POSITION, SINKS, SUMS, Sum};
use mprun::queue::{Arena, QueueAdmin, QueueId, SlotId, Taken, Tuning, Wait, WorkerHandle};
use std::time::{Duration, Instant};

fn seconds() -> f64 {
    std::env::var("MPRUN_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20.0)
}

/// How many items went in; panics unless exactly those came out, once each.
fn settle_accounts(arena: &Arena) -> u64 {
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    for (q, counts) in admin.audit().unwrap() {
        let settled = counts.done + counts.waiting;
        assert_eq!((counts.put, counts.leased, counts.dead), (settled, 0, 0), "queue {}: {counts:?}", q.0);
    }
    let slot = SlotId(100);
    admin.open_slot(slot, &Tuning::default()).unwrap();
    let mut worker = WorkerHandle::open(arena.clone(), slot).unwrap();
    let mut token = |q: QueueId| {
        assert!(
            matches!(worker.take(&[q], 1, Wait::No).unwrap(), Taken::Items { .. }),
            "queue {} lost its token",
            q.0
        );
        let lease = worker.item(0).unwrap();
        let token = (lease.bytes.to_vec(), lease.mark);
        worker.commit(1, Wait::No).unwrap();
        token
    };
    // A producer that was ordered to finish in the middle has left a mark: that many more are published.
    let (position, mark) = token(POSITION);
    let put = u64::from_le_bytes(position.try_into().unwrap()) + mark;
    let seen =
        (0..SINKS).map(|n| Sum::from_bytes(&token(QueueId(SUMS + n)).0)).fold(Sum::default(), Sum::plus);
    assert_eq!(seen, Sum::of(put));
    put
}

fn workers_die(capacity: u64, seconds: f64) {
    let arena = Arena::create().unwrap();
    crew::set_up(&arena, capacity);
    let mut crew = Crew::start(&arena, capacity);
    crew.storm(Instant::now() + Duration::from_secs_f64(seconds));
    let deaths = crew.finish();
    let items = settle_accounts(&arena);
    println!("capacity {capacity}: {items} items exactly once through {deaths} deaths");
    assert!(items > 100 && deaths > 20, "capacity {capacity}: {items} items, {deaths} deaths");
}

/// The supervisor runs in a child of its own and is killed every few milliseconds; this process only keeps the
/// memory, and sees to it that nobody of the old crew is alive when the next supervisor starts.
fn supervisors_die(seconds: f64) {
    let arena = Arena::create().unwrap();
    crew::set_up(&arena, 30);
    // SAFETY: a plain system call: orphans become our children, so that they can be waited for.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut lives, me) = (0, std::process::id() as i32);
    let mut last_status = 1;
    while last_status != 0 {
        lives += 1;
        let last = Instant::now() >= until;
        let (memory, seed) = (arena.clone(), dice.u64(..));
        let supervisor = crew::fork(move || {
            crew::die_with(me);
            let mut crew = Crew::start(&memory, seed);
            crew.storm(if last { Instant::now() } else { Instant::now() + Duration::from_secs(3600) });
            crew.finish();
        });
        if !last {
            std::thread::sleep(Duration::from_micros(dice.u64(500..20_000)));
            crew::kill(supervisor, libc::SIGKILL);
        }
        while let Some((pid, status)) = crew::wait(-1, libc::WUNTRACED) {
            if libc::WIFSTOPPED(status) {
                // Its supervisor stopped it and died, before it could ask to die with it.
                crew::kill(pid, libc::SIGKILL);
            } else if pid == supervisor {
                last_status = status;
            }
        }
        assert!(!last || last_status == 0, "the last supervisor failed");
    }
    let items = settle_accounts(&arena);
    println!("crash only: {items} items exactly once through {lives} lives of the supervisor");
    assert!(items > 100 && lives > 20, "{items} items, {lives} lives");
}

/// One test, as it waits for every child of the process.
#[test]
fn nothing_is_lost_or_doubled_whoever_is_killed() {
    let share = seconds() / 4.0;
    for capacity in [2, 50, 4096] {
        workers_die(capacity, share);
    }
    supervisors_die(share);
}
