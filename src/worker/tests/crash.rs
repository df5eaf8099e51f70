//! Dies at every single store to queue memory, in both loops, with a successor that goes on: exactly once, always.

use super::sources::{Count, numbers};
use super::stages::{Expand, Total, expanded};
use super::*;
use crate::append::death;
use crate::stage::{Context, Opened, TokenNotes};

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
        bench.admin.set_queue(OUT, &limits(3)).unwrap();
        let reader = bench.reader();
        let died = dies_at(&mut bench, n, &life);
        bench.admin.set_ended(OUT, true).unwrap();
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
    at_every_store(&numbers(20), &[], |bench| bench.run_source(Count::new(20, 3), Persistence::State));
}

#[test]
fn a_stage_killed_at_any_store_loses_and_doubles_nothing() {
    let items = ["2", "0", "5", "1", "3", "1"];
    at_every_store(&expanded(&items), &items, |bench| bench.run_stage(Expand, Persistence::Nothing));
}

#[test]
fn a_state_killed_at_any_store_counts_every_item_once() {
    let expected = ["so far 1", "so far 3", "so far 6", "so far 10", "so far 15", "in all 15"];
    let expected = expected.map(str::to_owned);
    at_every_store(&expected, &["1", "2", "3", "4", "5"], |bench| {
        bench.run_stage(Total::default(), Persistence::State)
    });
}

#[test]
fn a_line_that_is_too_long_is_one_letter_and_no_item_wherever_its_reader_is_killed() {
    let folder = std::env::temp_dir().join(format!("mprun-long-lines-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // Longer than one read, so that a worker may be killed in the middle of it.
    let text = ["before\n", &"z".repeat(200_000), "\nafter\n", &"y".repeat(99), "\nlast\n", &"x".repeat(50)];
    std::fs::write(folder.join("text"), text.concat()).unwrap();
    let mut again = 0;
    for n in 0.. {
        let mut bench = Bench::new();
        bench.dead_letters = folder.join(format!("dead-{n}"));
        bench.admin.set_queue(OUT, &Limits { max_item: 16, ..limits(3) }).unwrap();
        let reader = bench.reader();
        let died = dies_at(&mut bench, n, |bench| {
            let with = serde_json::json!({ "path": folder.join("text") });
            let opened =
                crate::Registry::builtin().open("lines", with.as_object().unwrap(), &Context::default());
            let Ok(Opened::Source(source)) = opened else { panic!("no source") };
            bench.live(|worker| SourceLoop::new(worker, source, Persistence::State).run())
        });
        bench.admin.set_ended(OUT, true).unwrap();
        assert_eq!(reader.join().unwrap(), ["before", "after", "last"], "killed at store {n}");
        let mut letters = offsets(&bench.dead_letters);
        let all = letters.len();
        letters.dedup();
        assert_eq!(letters, [7, 200_014, 200_119], "killed at store {n}");
        assert!(all <= 4, "killed at store {n}: {all} letters");
        again += u64::from(all > 3);
        if !died {
            // Only between a letter and the end of its commit is it written twice.
            assert!(n > 100 && again < n / 3, "{again} of {n}");
            break;
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// One life of a `file` sink.
fn write_to(path: &std::path::Path, bench: &mut Bench, log: &UndoLog) -> Option<Ending> {
    let context = Context {
        run: "run".into(),
        undo_log: Some(log.clone()),
        notes: Some(TokenNotes::new(bench.arena.clone(), TOKEN)),
        ..Context::default()
    };
    bench.live(|worker| {
        let with = serde_json::json!({ "path": path });
        let opened = crate::Registry::builtin().open("file", with.as_object().unwrap(), &context);
        let Ok(Opened::Stage(stage)) = opened else { panic!("no stage") };
        StageLoop::new(worker, stage, Persistence::Turns).run()
    })
}

#[test]
fn a_file_has_each_item_once_wherever_its_writer_is_killed() {
    let folder = std::env::temp_dir().join(format!("mprun-once-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("out");
    let items = ["1", "22", "3, an item that is longer than a page", "4", "5", "6"];
    for n in 0.. {
        let (mut bench, log) = (Bench::new(), UndoLog::create().unwrap());
        bench.has_output = false;
        bench.input(&items);
        std::fs::write(&path, "from another run\n").unwrap();
        // A place to die in a write counts as a store: to a queue that nobody uses here.
        let arena = bench.arena.clone();
        death::at_each_step(move || arena.clear_notes(OUT).unwrap());
        let died = dies_at(&mut bench, n, |bench| write_to(&path, bench, &log));
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable(); // what a dead worker held comes before what waits
        assert_eq!(lines, items, "killed at store {n}");
        bench.check();
        if !died {
            assert!(n > 200, "only {n} stores");
            break;
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Where the letters of a file say that they begin.
fn offsets(path: &std::path::Path) -> Vec<u64> {
    let letters = std::fs::read_to_string(path).unwrap();
    let cause = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["cause"].clone();
    letters.lines().map(|line| cause(line)["too-long"]["offset"].as_u64().unwrap()).collect()
}
