//! The stages keep their promises through the real binary, workers killed and all.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::storm::storm;
use support::{Folder, Run, command, process, wait_until};

const STORMY: &str = "[defaults]\nattempts = 200\nretry = { delay = '1ms', max = '5ms' }\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";

#[test]
fn lines_of_a_pipe_come_exactly_once_though_the_reader_is_killed() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}[queues.a]\ncapacity = 50\n\
             [stages.read]\nuse = 'stdin'\noutput = 'a'\nprocesses = 2\n[stages.total]\nuse = 'sum'\ninput = 'a'\n"
        ),
    );
    let mut piped = command(&folder);
    piped.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, piped);
    // The same few lines over and over: nothing can be told by looking at the content.
    let kills = storm(&mut run, "read", 20, |_| b"1\n1\n2\n".repeat(5000));
    assert_eq!(run.finish(), ["400000"], "after {kills} kills");
}

#[test]
fn lines_of_several_workers_are_never_mixed_in_a_pipe() {
    let folder = Folder::new();
    let lengths = [1usize, 4000, 4095, 4096, 5000, 70_000];
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let text: String =
        (0..1500).map(|i| letters[i % 26..=i % 26].repeat(lengths[i % lengths.len()]) + "\n").collect();
    folder.file("input.txt", &text);
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'lines'\nwith = { path = 'input.txt' }\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nprocesses = 4\n",
    );
    let mut piped = command(&folder);
    let output = piped.args(["-q", "pipeline.toml"]).stdin(Stdio::null()).output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(sorted(&seen) == sorted(&text), "lines were mixed or lost");
}

#[test]
fn an_item_that_takes_too_long_becomes_a_dead_letter() {
    const LENGTH: usize = 8 << 20;
    let folder = Folder::new();
    folder.file("input.txt", &format!("{}\n", "x".repeat(LENGTH)));
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'lines'\nwith = { path = 'input.txt' }\noutput = 'a'\n\
         [stages.search]\nuse = 'filter'\nwith = { matches = '([a-x]+[0-4])+[5-9]' }\ninput = 'a'\n\
         attempts = 1\nitem_timeout = '1ms'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let letters = std::fs::read_to_string(run.folder.path().join("state/mprun/pipeline/dead.jsonl")).unwrap();
    let letter: serde_json::Value = serde_json::from_str(letters.trim_end()).unwrap();
    assert_eq!(letter["item"].as_str().map(str::len), Some(LENGTH));
    assert_eq!(letter["cause"], "timed-out");
}

#[test]
fn quick_items_never_meet_their_time_limit() {
    let mut run = Run::start(
        "[stages.count]\nuse = 'count'\nwith = { to = 4 }\noutput = 'a'\nsleep = '120ms'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item} {pid}' }\ninput = 'a'\nitem_timeout = '100ms'\n",
    );
    let lines = run.finish();
    let pids: std::collections::BTreeSet<&str> =
        lines.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!((lines.len(), pids.len()), (4, 1), "{lines:?}");
}

#[test]
fn waiting_for_room_is_not_an_items_own_time() {
    let folder = Folder::new();
    folder.file("input.txt", &"word ".repeat(2000));
    folder.file(
        "pipeline.toml",
        "[queues.b]\ncapacity = 300\n\
         [stages.read]\nuse = 'lines'\nwith = { path = 'input.txt' }\noutput = 'a'\n\
         [stages.split]\nuse = 'words'\ninput = 'a'\noutput = 'b'\nitem_timeout = '150ms'\nattempts = 1\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'b'\nsleep = '500us'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.finish().len(), 2000);
}

#[test]
fn log_items_says_what_the_queue_held_before_and_after() {
    let mut run = Run::start(
        "[queues.numbers]\ncapacity = 1\n\
         [stages.produce]\nuse = 'count'\nwith = { to = 3 }\noutput = 'numbers'\nlog_items = true\n\
         sleep_when_full = '20ms'\n\
         [stages.consume]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'numbers'\nlog_items = true\n\
         sleep = '100ms'\nsleep_when_empty = '20ms'\n",
    );
    assert_eq!(run.finish(), ["1", "2", "3"]);
    let log = run.stderr();
    for line in [
        "INFO  produce[0] produced 1: numbers held 0 before, 1 after\n",
        "INFO  produce[0] numbers is full (1): looking again in 20ms\n",
        "INFO  consume[0] took 3: numbers held 1 before, 0 after\n",
    ] {
        assert!(log.contains(line), "{line}is not in:\n{log}");
    }
}

#[test]
fn a_recycled_worker_has_a_successor_and_nothing_is_lost() {
    let mut run = Run::start(
        "[stages.count]\nuse = 'count'\nwith = { to = 95 }\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = { template = '{item} {pid}' }\ninput = 'a'\nrecycle = { items = 10 }\n",
    );
    let lines = run.finish();
    let (mut numbers, mut pids) = (Vec::new(), Vec::new());
    for line in &lines {
        let (number, pid) = line.split_once(' ').unwrap();
        numbers.push(number.parse::<u32>().unwrap());
        pids.push(pid);
    }
    assert_eq!(numbers, (1..=95).collect::<Vec<u32>>());
    pids.dedup();
    assert_eq!(pids.len(), 10);
}

#[test]
fn the_number_of_processes_does_not_change_what_a_seeded_source_emits() {
    let numbers = |processes: u32| {
        let mut run = Run::start(&format!(
            "[stages.roll]\nuse = 'random'\nwith = {{ max = 1000, seed = 5, times = 500 }}\noutput = 'a'\n\
             processes = {processes}\n\
             [stages.show]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\n"
        ));
        run.finish()
    };
    let alone = numbers(1);
    assert_eq!(alone.len(), 500);
    assert_eq!(numbers(3), alone);
}

#[test]
fn stages_of_ones_own_run_in_forked_workers_and_survive_their_death() {
    let program = Path::new(&support::binary()).parent().unwrap().join("examples/custom_stage");
    assert!(program.exists(), "{} is not built: cargo build --examples", program.display());
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}[stages.numbers]\nuse = 'collatz'\nwith = {{ start = 27 }}\noutput = 'a'\nsleep = '5ms'\n\
             [stages.class]\nuse = 'classify'\nwith = {{ limit = 100 }}\ninput = 'a'\noutput = 'b'\nprocesses = 2\n\
             [stages.write]\nuse = 'file'\nwith = {{ path = 'out.txt' }}\ninput = 'b'\n"
        ),
    );
    let mut custom = command(&folder);
    let home = std::mem::replace(&mut custom, Command::new(&program));
    custom.arg("pipeline.toml").current_dir(folder.path()).stdin(Stdio::null());
    custom.envs(home.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut run = Run::of(folder, custom);
    kill_slowly(&mut run, "numbers");
    run.finish();
    let text = std::fs::read_to_string(run.folder.path().join("out.txt")).unwrap();
    let mut numbers: Vec<u64> =
        text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    let mut expected = vec![27u64];
    while let Some(&last) = expected.last()
        && last != 1
    {
        expected.push(if last % 2 == 0 { last / 2 } else { 3 * last + 1 });
    }
    numbers.sort_unstable();
    expected.sort_unstable();
    assert_eq!(numbers, expected);
}

/// Leaves the stage some time to live between two deaths.
fn kill_slowly(run: &mut Run, stage: &str) {
    wait_until("the end under some kills", || {
        std::thread::sleep(Duration::from_millis(30));
        for pid in run.workers(stage) {
            process::kill(pid, libc::SIGKILL);
        }
        ended(&mut run.child)
    });
}

fn ended(child: &mut Child) -> Option<()> {
    child.try_wait().unwrap().map(drop)
}
