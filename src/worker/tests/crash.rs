//! Dies at every single store to queue memory, in both loops, with a successor that goes on: exactly once, always.

use super::sources::{Count, numbers};
use super::stages::{Expand, Total, expanded};
use super::*;

/// Runs a life that dies at store `n`, then as many as it takes; false when `n` is past the end of the first life.
fn dies_at(bench: &mut Bench, n: u64, mut life: impl FnMut(&mut Bench) -> Option<Ending>) -> bool {
    bench.dies_at = Some(n);
    let died = life(bench).is_none();
    if died {
        while life(bench).is_none() {}
    }
    died
}

/// For every store of a first life: `run` with a fresh bench and a small output queue gives `expected`.
fn at_every_store(expected: &[String], input: &[&str], life: impl Fn(&mut Bench) -> Option<Ending>) {
    for n in 0.. {
        let mut bench = Bench::new();
        bench.input(input);
        bench.steward.set_queue(OUT, &limits(3)).unwrap();
        let reader = bench.reader();
        let died = dies_at(&mut bench, n, &life);
        bench.steward.set_ended(OUT, true).unwrap();
        assert_eq!(reader.join().unwrap(), expected, "killed at store {n}");
        bench.check();
        if !died {
            assert!(n > 100, "only {n} stores");
            return;
        }
    }
}

#[test]
fn a_source_killed_at_any_store_loses_and_doubles_nothing() {
    at_every_store(&numbers(20), &[], |bench| bench.run_source(Count::new(20, 3), Memory::State));
}

#[test]
fn a_stage_killed_at_any_store_loses_and_doubles_nothing() {
    let items = ["2", "0", "5", "1", "3", "1"];
    at_every_store(&expanded(&items), &items, |bench| bench.run_stage(Expand, Memory::Nothing));
}

#[test]
fn a_state_killed_at_any_store_counts_every_item_once() {
    let expected = ["so far 1", "so far 3", "so far 6", "so far 10", "so far 15", "in all 15"];
    let expected = expected.map(str::to_owned);
    at_every_store(&expected, &["1", "2", "3", "4", "5"], |bench| {
        bench.run_stage(Total::default(), Memory::State)
    });
}
