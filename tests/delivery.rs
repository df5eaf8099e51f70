//! Under a storm of kill -9 every item has its effect exactly once in the queues.

mod support;

use std::time::{Duration, Instant};
use support::{Run, process, wait_until};

const STORMY: &str = "[defaults]\nattempts = 200\nretry = { delay = '1ms', max = '5ms' }\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";

/// A cheap generator: no test needs good randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }
}

/// Kills a random worker of the stages every few milliseconds until the run has ended: more than `least` in all.
fn storm(run: &mut Run, stages: &[&str], least: u32) {
    let mut dice = Dice(u64::from(run.pid()));
    let mut kills = 0;
    let start = Instant::now();
    while run.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(300), "the run hangs:\n{}", run.stderr());
        let workers = run.workers(stages[dice.roll(stages.len())]);
        if !workers.is_empty() {
            kills += u32::from(process::kill(workers[dice.roll(workers.len())], libc::SIGKILL));
        }
        std::thread::sleep(Duration::from_millis(1 + dice.roll(5) as u64));
    }
    assert!(kills > least, "only {kills} kills");
}

/// What the run printed. Standard output is outside of the queues: a worker that is killed between printing the sum and
/// ending its input has its successor print the very same line again.
fn printed(run: &mut Run) -> Vec<String> {
    let mut lines = run.finish();
    lines.dedup();
    lines
}

#[test]
fn two_hundred_thousand_items_survive_a_storm_of_kills_exactly_once() {
    let n = 200_000u64;
    let mut run = Run::start(&format!(
        "{STORMY}[queues.a]\ncapacity = 64\n[queues.b]\ncapacity = 100\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\nprocesses = 2\n\
         [stages.pass]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\noutput = 'b'\nprocesses = 3\n\
         [stages.total]\nuse = 'sum'\ninput = 'b'\n"
    ));
    storm(&mut run, &["number", "pass", "total"], 20);
    assert_eq!(printed(&mut run), [(n * (n + 1) / 2).to_string()]);
}

#[test]
fn long_items_survive_a_storm_too() {
    let n = 20_000u64;
    let filler = "-".repeat(3000);
    let mut run = Run::start(&format!(
        "{STORMY}[queues.a]\ncapacity = 64\n[queues.b]\ncapacity = 8\n[queues.c]\ncapacity = 1000\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n}, format = '{{item}} {filler}' }}\noutput = 'a'\n\
         [stages.split]\nuse = 'words'\ninput = 'a'\noutput = 'b'\nprocesses = 2\n\
         [stages.numbers]\nuse = 'filter'\nwith = {{ matches = '^[0-9]+$' }}\ninput = 'b'\noutput = 'c'\nprocesses = 2\n\
         [stages.total]\nuse = 'sum'\ninput = 'c'\n"
    ));
    storm(&mut run, &["number", "split", "numbers", "total"], 20);
    assert_eq!(printed(&mut run), [(n * (n + 1) / 2).to_string()]);
}

#[test]
fn lines_of_a_file_are_read_exactly_once_though_the_reader_is_killed() {
    let folder = support::Folder::new();
    let text: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    folder.file("numbers/1.txt", &text[..text.len() / 2]);
    folder.file("numbers/2.txt", "");
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}[queues.a]\ncapacity = 300\n\
             [stages.read]\nuse = 'lines'\nwith = {{ path = 'numbers/*.txt' }}\noutput = 'a'\nprocesses = 2\n\
             [stages.total]\nuse = 'sum'\ninput = 'a'\nsleep = '0ms'\n"
        ),
    );
    let half: u64 = text[..text.len() / 2].lines().map(|line| line.parse::<u64>().unwrap()).sum();
    let mut run = Run::in_folder(folder, &[]);
    storm(&mut run, &["read", "total"], 5);
    assert_eq!(printed(&mut run), [half.to_string()]);
}

#[test]
fn a_poison_item_becomes_a_dead_letter_and_harms_no_other() {
    let folder = support::Folder::new();
    let is_poison = |n: u64| n % 7 == 3;
    let item = |n| if is_poison(n) { format!("n{n}") } else { n.to_string() };
    folder.file("items.txt", &(1..=200).map(|n| item(n) + "\n").collect::<String>());
    folder.file(
        "pipeline.toml",
        "[defaults]\nattempts = 2\nretry = { delay = '0s' }\nwhen_failing = 'dead-letter'\n\
         [stages.read]\nuse = 'lines'\nwith = { path = 'items.txt' }\noutput = 'a'\n\
         [stages.even]\nuse = 'filter'\nwith = { keep = 'even' }\ninput = 'a'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let good: Vec<String> = (1..=200).filter(|n| n % 2 == 0 && !is_poison(*n)).map(item).collect();
    assert_eq!(run.lines(), good, "each good item once, in its place");
    let letters = std::fs::read_to_string(run.folder.path().join("state/mprun/pipeline/dead.jsonl")).unwrap();
    let letter = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let dead: Vec<_> =
        letters.lines().map(letter).map(|l| (l["item"].clone(), l["attempts"].clone())).collect();
    let poison: Vec<(serde_json::Value, serde_json::Value)> =
        (1..=200).filter(|n| is_poison(*n)).map(|n| (item(n).into(), 2.into())).collect();
    assert_eq!(dead, poison, "each bad item once, after its second try");
}

#[test]
fn a_killed_worker_delays_nobody_for_long() {
    let run = Run::start(&format!(
        "{STORMY}[stages.tick]\nuse = 'tick'\nwith = {{ every = '1ms' }}\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = {{ template = '{{pid}}' }}\ninput = 'a'\nprocesses = 2\n"
    ));
    wait_until("output of both", || {
        let mut seen = run.lines();
        seen.sort();
        seen.dedup();
        (seen.len() >= 2).then_some(())
    });
    let before = run.lines().len();
    run.workers("show").iter().for_each(|&pid| assert!(process::kill(pid, libc::SIGKILL)));
    wait_until("more output", || (run.lines().len() > before + 50).then_some(()));
}
