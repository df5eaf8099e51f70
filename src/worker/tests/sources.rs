use super::*;
use crate::stage::{Emitter, Failure, Next};
use std::time::{Duration, Instant};

/// Emits 1 ..= to, `per_step` at a time.
pub(super) struct Count {
    pub to: u64,
    pub per_step: u64,
    pub position: u64,
}

impl Count {
    pub fn new(to: u64, per_step: u64) -> Count {
        Count { to, per_step, position: 0 }
    }
}

impl Source for Count {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.position == self.to {
            return Ok(Next::End);
        }
        for _ in 0..self.per_step.min(self.to - self.position) {
            self.position += 1;
            // Longer than 8 bytes: goes through a block of queue memory.
            out.emit(format!("number {:04}", self.position))?;
        }
        Ok(if self.position.is_multiple_of(7) { Next::Checkpoint } else { Next::More })
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(&self.position.to_le_bytes());
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.position = u64::from_le_bytes(state.try_into()?);
        Ok(())
    }
}

pub(super) fn numbers(to: u64) -> Vec<String> {
    (1..=to).map(|n| format!("number {n:04}")).collect()
}

#[test]
fn a_source_runs_to_its_end_and_stays_there() {
    let mut bench = Bench::new();
    assert_eq!(bench.run_source(Count::new(1000, 1), Persistence::State), Some(Ending::Finished));
    let report = bench.admin.report(WORKER).unwrap();
    assert_eq!((report.counts.taken, report.counts.done, report.counts.emitted), (0, 0, 1000));
    // A fresh process of the same stage has nothing to add.
    assert_eq!(bench.run_source(Count::new(1000, 1), Persistence::State), Some(Ending::Finished));
    assert_eq!(bench.output(), numbers(1000));
    bench.check();
}

#[test]
fn a_source_without_memory_starts_anew() {
    let mut bench = Bench::new();
    bench.run_source(Count::new(3, 1), Persistence::Nothing);
    bench.run_source(Count::new(3, 1), Persistence::Nothing);
    assert_eq!(bench.output(), [numbers(3), numbers(3)].concat());
}

#[test]
fn a_source_whose_output_nobody_reads_ends() {
    let mut bench = Bench::new();
    bench.admin.set_closed(OUT, true).unwrap();
    assert_eq!(bench.run_source(Count::new(u64::MAX, 1), Persistence::State), Some(Ending::OutputClosed));
}

#[test]
fn a_recycled_source_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.recycle.items = Some(10);
    let mut lives = 1;
    while bench.run_source(Count::new(95, 1), Persistence::State) == Some(Ending::Recycled) {
        lives += 1;
    }
    assert_eq!(lives, 10);
    assert_eq!(bench.output(), numbers(95));
}

#[test]
fn an_order_to_finish_ends_a_source_that_waits_for_room_and_loses_nothing() {
    let mut bench = Bench::new();
    bench.admin.set_queue(OUT, &limits(2)).unwrap();
    let arena = bench.arena.clone();
    let orders = std::thread::spawn(move || {
        let mut admin = QueueAdmin::open(arena).unwrap();
        while admin.counts(OUT).unwrap().waiting < 2 {
            std::thread::yield_now();
        }
        admin.order(WORKER, crate::queue::Order::Finish).unwrap();
    });
    assert_eq!(bench.run_source(Count::new(100, 5), Persistence::State), Some(Ending::Ordered));
    orders.join().unwrap();
    let reader = bench.reader();
    assert_eq!(bench.run_source(Count::new(100, 5), Persistence::State), Some(Ending::Finished));
    bench.admin.set_ended(OUT, true).unwrap();
    assert_eq!(reader.join().unwrap(), numbers(100));
}

#[test]
fn a_pause_follows_each_item_and_gets_shorter_while_it_lasts() {
    let mut bench = Bench::new();
    bench.tuning.sleep = Duration::from_secs(3600);
    let (arena, tuning) = (bench.arena.clone(), bench.tuning);
    let orders = std::thread::spawn(move || {
        let mut admin = QueueAdmin::open(arena).unwrap();
        while admin.counts(OUT).unwrap().waiting < 1 {
            std::thread::yield_now();
        }
        admin.tune(WORKER, &Tuning { sleep: Duration::from_millis(10), ..tuning }).unwrap();
    });
    let start = Instant::now();
    assert_eq!(bench.run_source(Count::new(4, 1), Persistence::State), Some(Ending::Finished));
    orders.join().unwrap();
    assert!(start.elapsed() > Duration::from_millis(30));
    assert_eq!(bench.output(), numbers(4));
}

#[test]
fn a_failing_source_publishes_nothing_of_its_last_step() {
    struct Fails;
    impl Source for Fails {
        fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
            out.emit("half")?;
            Err(Failure::new("the other half is missing"))
        }
    }
    let mut bench = Bench::new();
    let ending = bench.run_source(Fails, Persistence::State);
    assert_eq!(ending, Some(Ending::Failed("the other half is missing".into())));
    assert!(bench.output().is_empty());
}
