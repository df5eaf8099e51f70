use super::*;
use crate::stage::{Emitter, Failure, Item};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Emits `n` outputs for the item `n`; fails on `bad…` after two outputs, panics on `panic…`.
pub(super) struct Expand;

impl Stage for Expand {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let text = item.text()?;
        assert!(!text.starts_with("panic"), "told to");
        if text.starts_with("bad") {
            out.emit("half of it")?;
            out.emit("the other half")?;
            return Err(Failure::new("it is bad"));
        }
        (0..text.parse::<u32>()?).try_for_each(|i| out.emit(format!("{text}.{i} or so")))
    }
}

pub(super) fn expanded(items: &[&str]) -> Vec<String> {
    let outputs = items
        .iter()
        .flat_map(|item| (0..item.parse().unwrap()).map(move |i: u32| format!("{item}.{i} or so")));
    outputs.collect()
}

/// Emits the running total after each item, and the total at the end.
#[derive(Default)]
pub(super) struct Total(pub u64);

impl Stage for Total {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let number: Result<u64, _> = item.text()?.parse();
        self.0 += number.as_ref().unwrap_or(&1000); // a failed item spoils the state
        out.emit(format!("so far {}", self.0))?;
        number?;
        Ok(())
    }

    fn finish(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        out.emit(format!("in all {}", self.0))
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(&self.0.to_le_bytes());
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.0 = u64::from_le_bytes(state.try_into()?);
        Ok(())
    }
}

#[test]
fn outputs_come_in_the_order_of_the_items() {
    let mut bench = Bench::new();
    let items: Vec<String> = (0..400).map(|i| (i % 5).to_string()).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    bench.input(&items);
    assert_eq!(bench.run_stage(Expand, Persistence::Nothing), Some(Ending::InputEnded));
    assert_eq!(bench.output(), expanded(&items));
    bench.check();
}

#[test]
fn an_item_may_have_more_outputs_than_its_queue_has_room() {
    let mut bench = Bench::new();
    bench.admin.set_queue(OUT, &limits(2)).unwrap();
    bench.input(&["3", "2000", "1"]);
    let reader = bench.reader();
    assert_eq!(bench.run_stage(Expand, Persistence::Nothing), Some(Ending::InputEnded));
    bench.admin.set_ended(OUT, true).unwrap();
    assert_eq!(reader.join().unwrap(), expanded(&["3", "2000", "1"]));
}

#[test]
fn a_failed_item_is_tried_again_and_harms_no_other() {
    let mut bench = Bench::new();
    bench.tuning.attempts = 3;
    bench.input(&["1", "2", "bad", "3", "bad too", "2"]);
    assert_eq!(bench.run_stage(Expand, Persistence::Nothing), Some(Ending::InputEnded));
    assert_eq!(bench.output(), expanded(&["1", "2", "3", "2"]));
    let counts = bench.admin.counts(IN).unwrap();
    assert_eq!((counts.done, counts.dead), (4, 2));
    let letters = std::fs::read_to_string(bench.spec().dead_letters.path).unwrap();
    let letter = letters.lines().find(|line| line.contains("\"bad too\"")).unwrap();
    assert!(letter.contains("\"attempts\":3") && letter.contains("it is bad"), "{letter}");
}

/// Puts `later` off five times, and rejects `never`.
#[derive(Default)]
struct Verdicts(u32);

impl Stage for Verdicts {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        out.emit(item.bytes())?;
        match item.text()? {
            "later" if self.0 < 5 => {
                self.0 += 1;
                Err(Failure::later("the server is away"))
            }
            "never" => Err(Failure::reject("it makes no sense")),
            _ => Ok(()),
        }
    }
}

#[test]
fn what_is_put_off_uses_up_no_attempt_and_what_is_rejected_uses_one() {
    let mut bench = Bench::new();
    bench.tuning.attempts = 2;
    bench.input(&["1", "later", "never", "2"]);
    assert_eq!(bench.run_stage(Verdicts::default(), Persistence::Nothing), Some(Ending::InputEnded));
    let mut output = bench.output();
    output.sort();
    assert_eq!(output, ["1", "2", "later"]);
    let counts = bench.admin.counts(IN).unwrap();
    assert_eq!((counts.done, counts.dead), (3, 1));
    let letters = std::fs::read_to_string(bench.spec().dead_letters.path).unwrap();
    assert!(letters.contains("\"attempts\":1") && letters.contains("it makes no sense"), "{letters}");
}

#[test]
fn a_failed_item_spoils_no_state() {
    let mut bench = Bench::new();
    bench.tuning.attempts = 2;
    bench.input(&["1", "2", "x", "3", "y", "4"]);
    assert_eq!(bench.run_stage(Total::default(), Persistence::State), Some(Ending::InputEnded));
    assert_eq!(bench.output(), ["so far 1", "so far 3", "so far 6", "so far 10", "in all 10"]);
}

#[test]
fn the_last_word_is_said_once() {
    let mut bench = Bench::new();
    bench.input(&["1", "2"]);
    for _ in 0..3 {
        assert_eq!(bench.run_stage(Total::default(), Persistence::State), Some(Ending::InputEnded));
    }
    assert_eq!(bench.output().last().unwrap(), "in all 3");
    assert_eq!(bench.admin.counts(OUT).unwrap().put, 3);
}

#[test]
fn a_panic_is_a_crash_of_its_item_only() {
    let mut bench = Bench::new();
    bench.tuning.attempts = 2;
    bench.input(&["1", "panic", "2"]);
    let mut lives = 1;
    while bench.run_stage(Expand, Persistence::Nothing).is_none() {
        lives += 1;
    }
    assert_eq!(lives, 3);
    assert_eq!(bench.dead, [(b"panic".to_vec(), 2)]);
    assert_eq!(bench.output(), expanded(&["1", "2"]));
}

#[test]
fn a_worker_that_cannot_go_on_blames_no_item() {
    struct NoDisk;
    impl Stage for NoDisk {
        fn process(&mut self, _: &Item<'_>, _: &mut Emitter<'_>) -> Result<(), Failure> {
            Err(Failure::fatal("the disk is full"))
        }
    }
    let mut bench = Bench::new();
    bench.tuning.attempts = 1;
    bench.input(&["1"]);
    assert_eq!(
        bench.run_stage(NoDisk, Persistence::Nothing),
        Some(Ending::Failed("the disk is full".into()))
    );
    assert_eq!(bench.run_stage(Expand, Persistence::Nothing), Some(Ending::InputEnded));
    assert_eq!(bench.output(), expanded(&["1"]));
}

#[test]
fn what_is_done_once_a_run_is_done_by_the_first_worker_only() {
    struct Begins(Arc<AtomicU32>, &'static str);
    impl Stage for Begins {
        fn process(&mut self, _: &Item<'_>, _: &mut Emitter<'_>) -> Result<(), Failure> {
            Ok(())
        }
        fn begin_run(&mut self) -> Result<(), Failure> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        fn save(&self, state: &mut Vec<u8>) {
            state.extend_from_slice(self.1.as_bytes());
        }
    }
    let (mut bench, times) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    bench.input(&["1", "2"]);
    for _ in 0..3 {
        assert_eq!(
            bench.run_stage(Begins(times.clone(), "a.txt"), Persistence::Once),
            Some(Ending::InputEnded)
        );
    }
    assert_eq!(times.load(Ordering::Relaxed), 1);
    // After a reload it is about another thing: for that one it is the first time.
    bench.run_stage(Begins(times.clone(), "b.txt"), Persistence::Once);
    assert_eq!(times.load(Ordering::Relaxed), 2);
}

#[test]
fn what_comes_first_is_said_once_whoever_works() {
    struct Headed;
    impl Stage for Headed {
        fn preface(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
            out.emit("first")
        }
        fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
            out.emit(item.bytes())
        }
    }
    let mut bench = Bench::new();
    bench.input(&["1", "2"]);
    for _ in 0..3 {
        assert_eq!(bench.run_stage(Headed, Persistence::Once), Some(Ending::InputEnded));
    }
    assert_eq!(bench.output(), ["first", "1", "2"]);
}

#[test]
fn a_slow_stage_holds_one_item_at_a_time() {
    struct Slow(Arena, Arc<AtomicU32>);
    impl Stage for Slow {
        fn process(&mut self, _: &Item<'_>, _: &mut Emitter<'_>) -> Result<(), Failure> {
            std::thread::sleep(Duration::from_millis(1));
            let leased = QueueAdmin::open(self.0.clone()).and_then(|mut admin| admin.counts(IN))?.leased;
            self.1.fetch_max(leased as u32, Ordering::Relaxed);
            Ok(())
        }
    }
    let (mut bench, most) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    bench.input(&["x"; 30]);
    let stage = Slow(bench.arena.clone(), most.clone());
    assert_eq!(bench.run_stage(stage, Persistence::Nothing), Some(Ending::InputEnded));
    assert_eq!(most.load(Ordering::Relaxed), 1);
}

#[test]
fn a_queue_that_is_looked_at_now_and_then_is_found_full_and_empty() {
    let mut bench = Bench::new();
    bench.admin.set_queue(OUT, &limits(1)).unwrap();
    bench.tuning.sleep_when_full = Some(Duration::from_millis(1));
    bench.tuning.sleep_when_empty = Some(Duration::from_millis(1));
    bench.tuning.log_items = true;
    bench.input(&["3", "1", "4"]);
    bench.admin.set_ended(IN, false).unwrap();
    let (arena, reader) = (bench.arena.clone(), bench.reader());
    let ending = std::thread::spawn(move || {
        let mut admin = QueueAdmin::open(arena).unwrap();
        while admin.counts(IN).unwrap().done < 3 {
            std::thread::yield_now();
        }
        admin.set_ended(IN, true).unwrap();
    });
    assert_eq!(bench.run_stage(Expand, Persistence::Nothing), Some(Ending::InputEnded));
    ending.join().unwrap();
    bench.admin.set_ended(OUT, true).unwrap();
    assert_eq!(reader.join().unwrap(), expanded(&["3", "1", "4"]));
}

#[test]
fn the_counters_leave_out_the_stages_own_memory() {
    let mut bench = Bench::new();
    bench.input(&["1", "2", "3"]);
    bench.run_stage(Total::default(), Persistence::State);
    let report = bench.admin.report(WORKER).unwrap();
    assert_eq!((report.counts.taken, report.counts.done, report.counts.emitted), (3, 3, 4));
}
