//! Exactly once into a file: each item is one line of it, whoever is killed in the middle of a write.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use support::{Folder, Run, command, process, wait_until};

const STORMY: &str = "[defaults]\nattempts = 1000000\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";
const TYPED: &str = "[stages.read]\nuse = 'stdin'\noutput = 'a'\n";

/// Items of this many bytes and more: a batch of them is several pieces.
fn item(n: u32) -> String {
    format!("<{n} {}>", "-".repeat(n as usize % 50))
}

fn write(with: &str) -> String {
    format!("[stages.write]\nuse = 'file'\nwith = {{ {with} }}\ninput = 'a'\nprocesses = 4\n")
}

fn read(run: &Run) -> String {
    fs::read_to_string(run.folder.path().join("out.txt")).unwrap_or_default()
}

#[track_caller]
fn assert_once(text: &str, n: u32) {
    assert!(text.is_empty() || text.ends_with('\n'));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut items: Vec<String> = (1..=n).map(item).collect();
    items.sort_unstable();
    let wrong = lines.iter().zip(&items).find(|(line, item)| *line != item);
    assert!(wrong.is_none(), "a line that is torn or twice, or one before is missing: {wrong:?}");
    assert_eq!(lines.len(), items.len());
}

const PARTS: u32 = 30;
const PART: u32 = 1000;

fn feed(part: u32) -> Vec<u8> {
    (part * PART + 1..=(part + 1) * PART).flat_map(|n| (item(n) + "\n").into_bytes()).collect()
}

/// Kills the four workers again and again until all is written.
fn storm(folder: Folder) -> (Run, u32) {
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let kills = support::storm::storm(&mut run, "write", PARTS, feed);
    assert_eq!(run.wait(), 0);
    assert!(kills >= 2 * (PARTS - 1), "only {kills} kills");
    (run, kills)
}

#[test]
fn four_workers_killed_again_and_again_write_each_line_once() {
    let folder = Folder::new();
    folder.file("out.txt", "from the run before\n");
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out.txt'")));
    let (run, _) = storm(folder);
    assert_once(&read(&run), PARTS * PART);
}

#[test]
fn a_file_that_is_rotated_under_the_storm_has_each_line_once_with_those_before() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("{STORMY}{TYPED}{}", write("path = 'out-{time:%S}.txt'")));
    let path = folder.path().to_owned();
    let (run, _) = storm(folder);
    let files = fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path());
    let text: String = files
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("out")))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    drop(run);
    assert_once(&text, PARTS * PART);
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
            thread::sleep(Duration::from_millis(150));
            let to = path.join(format!("out.txt.{}", moved.len()));
            if fs::rename(path.join("out.txt"), &to).is_ok() {
                moved.push(to);
            }
        }
        moved
    });
    let (run, _) = storm(folder);
    IS_OVER.store(true, Relaxed);
    let moved = mover.join().unwrap();
    let text: String = moved.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!moved.is_empty());
    assert_once(&(text + &read(&run)), PARTS * PART);
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
    let (run, _) = storm(folder);
    IS_OVER.store(true, Relaxed);
    let theirs = other.join().unwrap();
    let text = read(&run);
    // Behind half a line, which a kill leaves for a moment, one of theirs has no line of its own.
    assert_eq!(text.matches("theirs\n").count(), theirs);
    let mut lines: Vec<&str> = text.lines().filter(|line| *line != "theirs").collect();
    lines.sort_unstable();
    let all = lines.len();
    lines.dedup();
    let (twice, warned) = (all > lines.len(), run.stderr().contains("lines may come twice"));
    let mut items: Vec<String> = (1..=PARTS * PART).map(item).collect();
    items.sort_unstable();
    let torn = lines.iter().filter(|line| items.binary_search_by(|item| item.as_str().cmp(line)).is_err());
    assert!(warned || !twice, "{} lines come twice, and no warning", all - lines.len());
    // A part that stays because something is behind it has an end of its own.
    assert!(warned || torn.count() == 0);
    let missing = items.iter().filter(|item| lines.binary_search(&item.as_str()).is_err()).count();
    assert_eq!(missing, 0);
}

/// All that is written of a durable run, over deaths of everything.
#[test]
fn a_durable_run_whose_processes_all_die_again_and_again_has_each_line_once() {
    const N: u32 = 20_000;
    let folder = Folder::new();
    let input: String = (1..=N).map(|n| item(n) + "\n").collect();
    folder.file("input.txt", &input);
    let read = "[stages.read]\nuse = 'lines'\nwith = { path = 'input.txt' }\noutput = 'a'\n";
    let text =
        format!("{STORMY}{read}{}[queues.a]\ndurable = true\ncapacity = 100\n", write("path = 'out.txt'"));
    folder.file("pipeline.toml", &text);
    let start = || -> Child {
        let mut command: Command = command(&folder);
        command.arg("pipeline.toml").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut deaths = 0;
    loop {
        let mut run = start();
        let over = thread::scope(|_| {
            thread::sleep(Duration::from_millis(20 + 7 * (deaths % 9)));
            run.try_wait().unwrap()
        });
        if let Some(status) = over {
            assert!(status.success());
            break;
        }
        if deaths >= 40 {
            assert!(run.wait().unwrap().success());
            break;
        }
        for pid in process::in_folder(folder.path()).into_iter().chain([run.id()]) {
            process::kill(pid, libc::SIGKILL);
        }
        run.wait().unwrap();
        wait_until("all of it to be gone", || process::in_folder(folder.path()).is_empty().then_some(()));
        deaths += 1;
    }
    assert!(deaths > 5, "only {deaths} deaths");
    assert_once(&fs::read_to_string(folder.path().join("out.txt")).unwrap(), N);
}
