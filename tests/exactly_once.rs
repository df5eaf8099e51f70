//! Exactly once into a file: each item is one line of it, whoever is killed in the middle of a write.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use support::once::{ALL, PARTS, STORMY, assert_once, assert_stormed, assert_there, feed, item, whole_lines};
use support::{Folder, Run, command, process, wait_until};

const TYPED: &str = "[stages.read]\nuse = 'stdin'\noutput = 'a'\n";

fn write(with: &str) -> String {
    format!("[stages.write]\nuse = 'file'\nwith = {{ {with} }}\ninput = 'a'\nprocesses = 4\n")
}

fn read(run: &Run) -> String {
    read_in(&run.folder)
}

fn read_in(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("out.txt")).unwrap_or_default()
}

/// Kills the four workers again and again until all is written.
fn storm(folder: Folder) -> Run {
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let kills = support::storm::storm(&mut run, "write", PARTS, feed);
    assert_eq!(run.wait(), 0);
    assert_stormed(kills);
    run
}

#[test]
fn four_workers_killed_again_and_again_write_each_line_once() {
    let folder = Folder::new();
    folder.file("out.txt", "from the run before\n");
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out.txt'")));
    let run = storm(folder);
    assert_once(&read(&run), ALL);
}

#[test]
fn what_replaces_a_file_under_the_storm_has_each_line_once() {
    let folder = Folder::new();
    folder.file("out.txt", "from the run before\n");
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out.txt', replace = true")));
    let run = storm(folder);
    assert_once(&read(&run), ALL);
}

#[test]
fn a_file_that_is_rotated_under_the_storm_has_each_line_once_with_those_before() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out-{time:%S}.txt'")));
    let path = folder.path().to_owned();
    let run = storm(folder);
    let files = fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path());
    let text: String = files
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("out")))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    drop(run);
    assert_once(&text, ALL);
}

#[test]
fn a_file_that_is_moved_under_the_storm_has_each_line_once_with_those_before() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out.txt'")));
    let path = folder.path().to_owned();
    let mover = thread::spawn(move || {
        let mut moved = Vec::new();
        while !IS_OVER.load(Relaxed) {
            let (from, to) = (path.join("out.txt"), path.join(format!("out.txt.{}", moved.len())));
            // Some of it, once in a while: its writers see it within a second, those that begin at once.
            if fs::metadata(&from).is_ok_and(|about| about.len() > 20_000) {
                fs::rename(&from, &to).unwrap();
                moved.push(to);
            }
            thread::sleep(Duration::from_millis(5));
        }
        moved
    });
    let run = storm(folder);
    IS_OVER.store(true, Relaxed);
    let moved = mover.join().unwrap();
    let text: String = moved.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!moved.is_empty());
    assert_once(&(text + &read(&run)), ALL);
}

#[test]
fn with_another_writer_nothing_is_lost_or_torn_and_a_line_comes_twice_only_with_a_warning() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out.txt', append = true")));
    let path = folder.path().join("out.txt");
    let other = thread::spawn(move || {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let mut lines = 0;
        while !IS_OVER.load(Relaxed) {
            file.write_all(b"theirs\n").unwrap();
            lines += 1;
            thread::sleep(Duration::from_micros(500));
        }
        lines
    });
    let run = storm(folder);
    IS_OVER.store(true, Relaxed);
    let theirs = other.join().unwrap();
    let text = read(&run);
    // Behind half a line, which a kill leaves for a moment, one of theirs has no line of its own.
    assert_eq!(text.matches("theirs\n").count(), theirs);
    let warned = run.stderr().contains("come twice");
    let (twice, torn) = assert_there(&text, ALL, |line| line == "theirs");
    assert!(warned || twice + torn == 0, "{twice} lines come twice and {torn} are torn, and no warning");
}

/// SIGUSR2 puts the program in its own place: the notes of dead workers are there as before.
#[test]
fn over_upgrades_in_place_under_the_storm_each_line_comes_once() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out.txt'")));
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    run.wait_for_log("up after");
    let (kills, upgrades) = support::storm::storm_with_upgrades(&mut run, "write", PARTS, feed);
    assert_eq!(run.wait(), 0);
    assert_stormed(kills);
    assert!(upgrades > 1, "{}", run.stderr());
    assert_once(&read(&run), ALL);
}

/// A durable run that copies `n` items; `more`: keys of the stage that writes, and of the whole.
fn durable(n: u32, (head, more): (&str, &str)) -> Folder {
    let folder = Folder::new();
    folder.file("input.txt", &(1..=n).map(|n| item(n) + "\n").collect::<String>());
    let text = format!(
        "{head}{STORMY}[stages.read]\nuse = 'lines'\nwith = {{ path = 'input.txt' }}\noutput = 'a'\n{}{more}\
         [queues.a]\ndurable = true\ncapacity = 100\n",
        write("path = 'out.txt'")
    );
    folder.file("pipeline.toml", &text);
    folder
}

fn start(folder: &Folder) -> Child {
    let mut command = command(folder);
    command.arg("pipeline.toml").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_stop_right_behind_a_kill_leaves_each_line_once_for_the_run_that_resumes() {
    const N: u32 = 1500;
    let folder = durable(N, ("drain_timeout = '20ms'\n", "sleep = '1ms'\n"));
    let written = (|| whole_lines(&read_in(&folder)), N as usize);
    let stops = support::storm::stops_behind_kills(&folder, "write", || start(&folder), written);
    assert!(stops > 5, "only {stops} stops");
    assert_once(&read_in(&folder), N);
}

/// All that is written of a durable run, over deaths of everything.
#[test]
fn a_durable_run_whose_processes_all_die_again_and_again_has_each_line_once() {
    const N: u32 = 200_000;
    let folder = durable(N, ("", ""));
    let written = (|| whole_lines(&read_in(&folder)), N as usize);
    let deaths = support::storm::deaths_of_everything(&folder, 40, || start(&folder), written);
    assert!(deaths > 5, "only {deaths} deaths");
    assert_once(&read_in(&folder), N);
}

/// Nobody takes the place of the worker that is killed: the lines that it has written last don't count, and don't stay.
#[test]
fn at_the_end_of_a_run_a_file_holds_what_is_done_and_nothing_else() {
    for sink in ["use = 'file'\nwith = { path = 'out.txt' }\n", "use = 'filter'\nwith = { contains = '1' }\n"]
    {
        for round in 0..10 {
            let folder = Folder::new();
            let text = format!(
                "[stages.count]\nuse = 'count'\nwith = {{ format = '1{{item}}' }}\noutput = 'a'\n\
                 [stages.write]\n{sink}input = 'a'\nrestart = 'never'\n"
            );
            folder.file("pipeline.toml", &text);
            let mut run = Run::in_folder(folder, &["--report", "report.json"]);
            let printed = |run: &Run| if sink.contains("file") { read(run) } else { run.stdout() };
            wait_until("some lines", || (printed(&run).lines().count() > 100 * round).then_some(()));
            for pid in run.workers("write") {
                process::kill(pid, libc::SIGKILL);
            }
            assert_eq!(run.wait(), 1);
            let report = fs::read_to_string(run.folder.path().join("report.json")).unwrap();
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            let done = &report["stages"][1]["done"];
            let text = printed(&run);
            assert!(text.is_empty() || text.ends_with('\n'), "a torn line at the end");
            assert_eq!(text.lines().count() as u64, done.as_u64().unwrap(), "{}", run.stderr());
        }
    }
}
