//! The pipelines that ship with the project do what they say.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use support::{Folder, Run, command, process, project, wait_until};

fn shipped(name: &str) -> PathBuf {
    project().join("pipelines").join(name)
}

fn start(name: &str) -> Run {
    let folder = Folder::new();
    let mut command = command(&folder);
    command.arg(shipped(name));
    Run::of(folder, command)
}

#[test]
fn process_prints_hello_three_times_a_second_apart_and_says_that_it_is_done() {
    let began = Instant::now();
    let mut run = start("process.toml");
    let first = wait_until("the first", || (run.lines().len() == 1).then(Instant::now));
    let third = wait_until("the third", || (run.lines().len() == 3).then(Instant::now));
    assert_eq!(run.finish(), ["hello"; 3]);
    assert!((third - first).as_secs_f64() > 1.9, "{:?}", third - first);
    assert!(began.elapsed().as_secs_f64() > 2.9);
    assert!(run.stderr().contains("done"), "{}", run.stderr());
}

#[test]
fn pool_names_its_parent_then_says_ten_hellos_four_at_a_time_by_four_processes() {
    let began = Instant::now();
    let mut run = start("pool.toml");
    let parent = run.pid();
    let lines = run.finish();
    let took = began.elapsed().as_secs_f64();
    assert!(took > 2.9, "{took}");
    let mut said = Vec::new();
    let mut pids = Vec::new();
    assert_eq!(lines[0], format!("parent id is {parent}"));
    for line in &lines[1..] {
        let rest = line.strip_prefix(" Sub-process(es) ").unwrap();
        let (pid, hello) = rest.split_once(" said ").unwrap();
        pids.push(pid.to_owned());
        said.push(hello.to_owned());
    }
    said.sort();
    assert_eq!(said, (0..10).map(|n| format!("hello {n}.")).collect::<Vec<_>>());
    let mut first_four = pids[..4].to_vec();
    first_four.sort();
    first_four.dedup();
    assert_eq!(first_four.len(), 4, "{lines:?}");
}

#[test]
fn a_header_comes_first_and_once_whoever_is_killed() {
    let rules =
        "give_up = { restarts = 100000 }\nattempts = 1000\nbackoff = { initial = '1ms', max = '1ms' }";
    let text = format!(
        "[stages.tasks]\nuse = 'count'\nwith = {{ to = 100 }}\noutput = 'a'\n\
         [stages.say]\nuse = 'format'\nwith = {{ header = 'head of {{parent}}', template = '{{item}}' }}\n\
         input = 'a'\noutput = 'b'\nprocesses = 4\nsleep = '20ms'\n{rules}\n\
         [stages.show]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'b'\n"
    );
    let mut run = Run::start(&text);
    let mut killed = std::collections::BTreeSet::new();
    while run.child.try_wait().unwrap().is_none() && killed.len() < 40 {
        for pid in run.workers("say") {
            if process::kill(pid, 9) {
                killed.insert(pid);
            }
        }
    }
    let parent = run.pid();
    let mut lines = run.finish();
    assert!(killed.len() >= 20, "only {} deaths", killed.len());
    assert_eq!(lines.remove(0), format!("head of {parent}"));
    let mut numbers: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

#[test]
fn even_consumer_shows_even_numbers_only_and_stops_cleanly() {
    let mut run = start("even_consumer.toml");
    assert_eq!(wait_until("workers", || Some(run.workers("produce")).filter(|w| w.len() == 2)).len(), 2);
    wait_until("both products", || (run.stderr().matches("produce[").count() >= 2).then_some(()));
    wait_until("an item consumed", || run.stderr().contains("consume_even[0]").then_some(()));
    run.signal(libc::SIGINT);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    for line in run.lines() {
        let number: u64 = line.parse().unwrap();
        assert!(number <= 10 && number.is_multiple_of(2), "{number}");
    }
}

#[test]
fn word_count_counts_as_wc_does() {
    let mut run = start("word_count.toml");
    let counted: u64 = run.finish()[0].parse().unwrap();
    let shell = "cat LICENSE-* *.md docs/*.md | wc -w";
    let root = project();
    let output =
        Command::new("sh").args(["-c", shell]).current_dir(root).env("LC_ALL", "C.UTF-8").output().unwrap();
    let expected: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(counted, expected);
}

#[test]
fn follow_log_sees_what_is_appended_and_what_comes_after_a_rotation() {
    let folder = Folder::new();
    let log = folder.file("app.log", "an ERROR at the start\nall fine\n");
    let mut command = command(&folder);
    command.arg(shipped("follow_log.toml")).env("LOG", &log);
    let mut run = Run::of(folder, command);
    wait_until("the first line", || (run.lines().len() == 1).then_some(()));
    append(&log, "nothing\nanother ERROR\nERROR without an end");
    wait_until("the second line", || (run.lines().len() == 2).then_some(()));
    append(&log, " of line\n");
    wait_until("the third line", || (run.lines().len() == 3).then_some(()));
    std::fs::rename(&log, log.with_extension("log.1")).unwrap();
    append(&log, "ERROR after the rotation\n");
    wait_until("the fourth line", || (run.lines().len() == 4).then_some(()));
    run.signal(libc::SIGTERM);
    let lines = run.finish();
    let expected = [
        "an ERROR at the start",
        "another ERROR",
        "ERROR without an end of line",
        "ERROR after the rotation",
    ];
    assert_eq!(lines, expected);
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn an_idle_pipeline_does_not_wake_up() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.in]\nuse = 'stdin'\noutput = 'a'\n[stages.out]\nuse = 'filter'\nwith = { contains = 'x' }\ninput = 'a'\nprocesses = 3\n");
    let mut idle = command(&folder);
    idle.arg("pipeline.toml").stdin(std::process::Stdio::piped());
    let mut run = Run::of(folder, idle);
    wait_until("the workers", || (run.workers("out").len() == 3).then_some(()));
    let switches =
        || -> u64 { process::in_folder(run.folder.path()).into_iter().map(process::context_switches).sum() };
    // Quiet is a condition that can only be seen over some time: two seconds without a single wake-up.
    wait_until("two quiet seconds", || {
        let before = switches();
        std::thread::sleep(std::time::Duration::from_secs(2));
        (switches() == before).then_some(())
    });
    drop(run.child.stdin.take());
    assert_eq!(run.wait(), 0);
}

#[test]
fn pool_python_does_ten_tasks_in_four_processes() {
    let mut run = start("pool_python.toml");
    let lines = run.finish();
    let mut said: Vec<&str> = lines.iter().map(|line| line.split_once(" said ").unwrap().1).collect();
    said.sort_unstable();
    assert_eq!(said, (0..10).map(|n| format!("hello {n}.")).collect::<Vec<_>>());
    let mut pids: Vec<&str> = lines.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 4, "{lines:?}");
}

#[test]
fn grep_log_counts_what_plain_filters_find() {
    let mut run = start("grep_log.toml");
    let lines: Vec<String> = run.finish().iter().map(|line| line.trim().to_owned()).collect();
    assert_eq!(lines, ["2 10.0.0.2", "1 10.0.0.3"]);
}

#[test]
fn factors_are_found_by_all_cores_and_what_is_no_number_is_a_dead_letter() {
    let mut run = start("factors.toml");
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let mut lines = run.lines();
    lines.sort();
    let expected = [
        "1000036000099 = 1000003 * 1000033",
        "12 = 2 * 2 * 3",
        "600851475143 = 71 * 839 * 1471 * 6857",
        "97 = 97",
        "9973 = 9973",
    ];
    assert_eq!(lines, expected, "{}", run.stderr());
    let letters = std::fs::read_to_string(run.folder.path().join("state/mprun/factors/dead.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 1, "{letters}");
    assert!(letters.contains("not a number") && letters.contains("ValueError"), "{letters}");
}

#[test]
fn compress_makes_a_whole_copy_of_each_file_whatever_its_name() {
    let folder = Folder::new();
    let names = ["plain.log", "with space.log", "-rf.log", "two\nlines.log"];
    for (i, name) in names.iter().enumerate() {
        folder.file(&format!("logs/{name}"), &format!("line {i}\n").repeat(1000));
    }
    folder.file("logs/other.txt", "not this one");
    let mut command = command(&folder);
    command.arg(shipped("compress.toml")).env("DIR", folder.path().join("logs"));
    let mut run = Run::of(folder, command);
    run.finish();
    let logs = run.folder.path().join("logs");
    for (i, name) in names.iter().enumerate() {
        let output = Command::new("gzip").args(["-dc", "--"]).arg(logs.join(format!("{name}.gz"))).output();
        assert_eq!(output.unwrap().stdout, format!("line {i}\n").repeat(1000).into_bytes(), "{name}");
    }
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 9);
}
