//! What is too long to be an item: left out, told, a dead letter of its own, and reading goes on.

mod support;

use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use support::{Folder, Run, command, process, wait_until};

/// The rest of a pipeline whose source is `r`.
const TAIL: &str = "output = 'q'\n[queues.q]\nmax_item = '1KiB'\n\
                    [stages.s]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'q'\n";

/// For a storm of kills.
const RESTARTS: &str =
    "backoff = { initial = '1ms', max = '5ms' }\ngive_up = { restarts = 1000, within = '1m' }\n";

/// A line in the middle that is too long.
fn text() -> String {
    format!("before\n{}\nafter\n", "z".repeat(2000))
}

/// The letters of a run.
fn letters(run: &Run) -> Vec<Value> {
    serde_json::from_str(&run.tell(&["dead", "list", "--json", "pipeline"])).unwrap()
}

/// The run must have told it once, with its place, and ended with what is before and after it.
#[track_caller]
fn assert_left_out(run: &mut Run, file: &str, offset: u64) {
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), ["before", "after"]);
    let reported =
        format!("{file}, byte {offset}: 2000 bytes are too long for an item (max_item: 1024 bytes)");
    assert_eq!(run.stderr().matches(&reported).count(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("stage r: 1 too long, 2 emitted, 0 restarts"), "{}", run.stderr());
    let letters = letters(run);
    assert_eq!(letters.len(), 1, "{letters:?}");
    let place = json!({ "file": file, "offset": offset, "length": 2000, "max_item": 1024 });
    assert_eq!(letters[0]["cause"], json!({ "too-long": place }));
    assert_eq!((&letters[0]["stage"], &letters[0]["item"]), (&json!("r"), &json!("z".repeat(1024))));
}

fn in_file(source: &str, file: &str, text: &[u8]) -> Run {
    let folder = Folder::new();
    std::fs::write(folder.path().join(file), text).unwrap();
    folder.file("pipeline.toml", &format!("[stages.r]\n{source}\n{TAIL}"));
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml", "--report", "report.json"]);
    if source.contains("stdin") {
        command.stdin(File::open(folder.path().join(file)).unwrap());
    }
    Run::of(folder, command)
}

#[test]
fn a_line_of_a_file_that_is_too_long_is_left_out_told_and_no_item_of_the_ledger() {
    let mut run = in_file("use = 'lines'\nwith = { path = 'l.txt' }", "l.txt", text().as_bytes());
    let file = format!("`{}`", run.folder.path().join("l.txt").display());
    assert_left_out(&mut run, &file, 7);
    let report = std::fs::read(run.folder.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!((&report["exit_code"], &report["too_long"]), (&json!(3), &json!(1)));
    assert_eq!((&report["dead_letters"], &report["adds_up"]), (&json!(0), &json!(true)));
    assert_eq!((&report["queues"][0]["put"], &report["queues"][0]["dead"]), (&json!(2), &json!(0)));
}

#[test]
fn so_is_one_of_standard_input_whatever_that_is() {
    assert_left_out(&mut in_file("use = 'stdin'", "l.txt", text().as_bytes()), "standard input", 7);
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("[stages.r]\nuse = 'stdin'\n{TAIL}"));
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml"]).stdin(Stdio::piped());
    let mut run = Run::of(folder, command);
    run.child.stdin.take().unwrap().write_all(text().as_bytes()).unwrap();
    assert_left_out(&mut run, "standard input", 7);
}

#[test]
fn so_is_one_that_a_streams_program_writes_in_any_framing() {
    assert_left_out(
        &mut in_file("command = ['cat', 'l.txt']", "l.txt", text().as_bytes()),
        "the output of `cat`",
        7,
    );
    let frames = format!("6:before,2000:{},5:after,", "z".repeat(2000));
    assert_left_out(
        &mut in_file("command = ['cat', 'l.txt']\nframing = 'netstring'", "l.txt", frames.as_bytes()),
        "the output of `cat`",
        9,
    );
}

#[test]
fn so_is_one_of_a_file_in_any_framing() {
    let nul = text().replace('\n', "\0");
    let with = "use = 'lines'\nwith = { path = 'l', framing = 'nul' }";
    let mut run = in_file(with, "l", nul.as_bytes());
    let file = format!("`{}`", run.folder.path().join("l").display());
    assert_left_out(&mut run, &file, 7);
    let mut frames = Vec::new();
    for item in ["before", &"z".repeat(2000), "after"] {
        frames.extend_from_slice(&(item.len() as u32).to_be_bytes());
        frames.extend_from_slice(item.as_bytes());
    }
    let mut run = in_file("use = 'stdin'\nwith = { framing = 'u32be' }", "l", &frames);
    assert_left_out(&mut run, "standard input", 10);
}

#[test]
fn a_followed_file_is_read_on_behind_it_and_status_counts_it() {
    let run = in_file("use = 'lines'\nwith = { path = 'l.txt', follow = true }", "l.txt", text().as_bytes());
    wait_until("the line after it", || (run.lines() == ["before", "after"]).then_some(()));
    let seen: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    assert_eq!(seen["stages"][0]["totals"]["too_long"], 1);
    assert_eq!((&seen["totals"]["too_long"], &seen["dead_letters"]), (&json!(1), &json!(0)));
    assert!(run.tell(&["status"]).contains("1 dead letter of what was too long for an item"));
    assert_eq!(run.ask(&["status", "--check"]).code, Some(3));
    assert_eq!(run.tell(&["audit"]).lines().last(), Some("every item is accounted for"));
    // It is no item, so it can't be put back; but it can be dropped.
    assert!(run.tell(&["dead", "list"]).contains("2000 bytes at byte 7"), "{}", run.tell(&["dead", "list"]));
    let refused = run.ask(&["dead", "retry", "--all"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), "0 dead letters put back\n"));
    assert!(!refused.stderr.is_empty());
    assert_eq!(run.tell(&["dead", "drop", "--all"]), "1 dropped\n");
}

#[test]
fn of_one_item_for_a_program_it_stays_a_failed_attempt() {
    let mut run = Run::start(&format!(
        "[stages.one]\nuse = 'count'\nwith = {{ to = 1 }}\noutput = 'i'\n\
         [stages.r]\nmode = 'each'\ninput = 'i'\ncommand = 'head -c 2000 /dev/zero'\nattempts = 2\n{TAIL}"
    ));
    assert_eq!(run.wait(), 3);
    let letters = letters(&run);
    assert_eq!((&letters[0]["item"], &letters[0]["attempts"]), (&json!("1"), &json!(2)));
}

/// Writes `mib` MiB without an end of line, then the rest, and closes.
fn feed(mut into: impl Write, mib: usize) {
    into.write_all(b"before\n").unwrap();
    let piece = vec![b'z'; 1 << 20];
    (0..mib).for_each(|_| into.write_all(&piece).unwrap());
    into.write_all(b"\nafter\n").unwrap();
}

#[test]
fn an_endless_line_takes_little_memory_in_a_pipe_and_from_a_program() {
    const MIB: usize = 96;
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!("[stages.r]\nuse = 'stdin'\n{TAIL}[stages.p]\ncommand = 'cat fifo'\noutput = 'q'\n"),
    );
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml"]).stdin(Stdio::piped());
    let mut run = Run::of(folder, command);
    let stdin = run.child.stdin.take().unwrap();
    let feeders = [
        std::thread::spawn(move || feed(stdin, MIB)),
        std::thread::spawn(move || feed(File::options().write(true).open(fifo).unwrap(), MIB)),
    ];
    let mut peak = 0;
    let code = wait_until("the end", || {
        let both = run.workers("r").into_iter().chain(run.workers("p"));
        peak = both.filter_map(process::private_kib).fold(peak, u64::max);
        run.child.try_wait().unwrap()
    });
    for feeder in feeders {
        feeder.join().unwrap();
    }
    assert_eq!(code.code(), Some(3), "{}", run.stderr());
    run.wait();
    let mut lines = run.lines();
    lines.sort();
    assert_eq!(lines, ["after", "after", "before", "before"]);
    assert!(peak > 0 && peak < 48 << 10, "{peak} KiB");
}

#[test]
fn readers_killed_in_a_long_line_emit_no_tail_of_it() {
    let folder = Folder::new();
    let path = folder.path().join("l.txt");
    std::fs::write(&path, "before\n").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_at(b"\nafter\n", 64 << 20).unwrap(); // the line is a hole
    let pipeline =
        format!("[stages.r]\nuse = 'lines'\nwith = {{ path = 'l.txt' }}\nprocesses = 2\n{RESTARTS}{TAIL}");
    folder.file("pipeline.toml", &pipeline);
    let mut run = Run::in_folder(folder, &[]);
    let mut kills = 0;
    wait_until("the end under a storm of kills", || {
        if kills < 40 {
            let workers = run.workers("r");
            kills += workers.into_iter().filter(|&pid| process::kill(pid, libc::SIGKILL)).count();
        }
        run.child.try_wait().unwrap()
    });
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), ["before", "after"]);
    let places: std::collections::BTreeSet<String> =
        letters(&run).iter().map(|letter| letter["cause"].to_string()).collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(kills > 5, "{kills} kills");
}
