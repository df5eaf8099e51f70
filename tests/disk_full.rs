//! Durable queues on a disk that is full: no process dies of it, nothing is lost, and it is said.

mod support;

use std::process::Command;
use support::{Folder, Run};

/// The text as `pipeline.toml`, with its state on a disk of its own of so many KiB, which only the run sees. So much of
/// it is taken by something else.
fn on_small_disk(text: &str, kib: u32, ballast: u32) -> Run {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let plain = support::command(&folder);
    // A mount name space of one's own needs no privilege inside a user name space of one's own.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    let script = "mount -t tmpfs -o \"size=$1k\" none state && head -c \"$2k\" /dev/zero > state/ballast && \
                  shift 2 && exec \"$@\"";
    command.args([script, "sh", &kib.to_string(), &ballast.to_string()]);
    command.arg(support::binary()).args(["run", "pipeline.toml"]);
    command.current_dir(folder.path()).stdin(std::process::Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Run::of(folder, command)
}

fn pipeline(sleep: &str) -> String {
    format!(
        "[defaults]\ngive_up = {{ restarts = 0, within = '1m' }}\n[queues.a]\ncapacity = 8000\ndurable = true\nmax_bytes = '3MiB'\n[queues.b]\nmax_bytes = '1MiB'\n\
         [stages.first]\nuse = 'words'\ninput = 'a'\noutput = 'b'\nsleep = '{sleep}'\n\
         [stages.numbers]\nuse = 'filter'\nwith = {{ matches = '^[0-9]+$' }}\ninput = 'b'\noutput = 'c'\n\
         [stages.total]\nuse = 'sum'\ninput = 'c'\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 6000, format = '{{item}} {}' }}\noutput = 'a'\n",
        "x".repeat(900)
    )
}

#[test]
fn a_full_disk_is_a_full_queue() {
    let mut run = on_small_disk(&pipeline("1h"), 8000, 6200);
    run.wait_for_log("waiting for room");
    support::wait_until("the reason", || {
        let said = run.ask(&["status", "--check"]);
        let is_said = said.stdout.contains("number[0] waits: no room on the disk for ");
        (is_said && said.code == Some(1)).then_some(())
    });
    let state = run.folder.path().join("state/ballast");
    let seen_by_it = format!("/proc/{}/root{}", run.pid(), state.display());
    std::fs::remove_file(seen_by_it).unwrap();
    run.edit(&pipeline("0s"));
    support::wait_until("room", || {
        let said = run.ask(&["status", "--check"]);
        (!said.stdout.contains("no room on the disk")).then_some(())
    });
    assert_eq!(run.finish(), ["18003000"]);
    assert!(!run.stderr().contains("SIGBUS"), "{}", run.stderr());
}

/// A state folder that has room for little more than the workers' places.
const COUNTED: &str = "[queues.q]\ndurable = true\ncapacity = 64\n[stages.read]\nuse = 'count'\nwith = { to = 3000 }\noutput = 'q'\n\
                       [stages.write]\nuse = 'file'\ninput = 'q'\nwith = { path = 'out.txt' }\n";

#[test]
fn on_a_small_disk_the_room_of_what_is_done_serves_what_comes() {
    let mut run = on_small_disk(COUNTED, 720, 0);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let written = std::fs::read_to_string(run.folder.path().join("out.txt")).unwrap();
    assert_eq!(written.lines().count(), 3000);
}

#[test]
fn a_disk_without_room_for_the_first_processes_is_an_error_at_once() {
    let mut run = on_small_disk(COUNTED, 440, 0);
    assert_eq!(run.wait(), 1);
    let said = run.stderr();
    assert!(said.contains("no room on the disk for") && said.contains("/queues: No space left"), "{said}");
    assert!(!said.contains("starts again"), "{said}");
}

#[test]
fn a_disk_without_room_for_an_empty_queue_is_an_error_that_says_so() {
    let mut run = on_small_disk(&pipeline("0s"), 100, 0);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("no room on the disk for"), "{}", run.stderr());
    let mut run = on_small_disk(&pipeline("0s"), 400, 0);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("no room on the disk for"), "{}", run.stderr());
    assert!(!run.stderr().contains("SIGBUS"), "{}", run.stderr());
}

#[test]
fn a_copy_that_finds_no_room_is_said_and_made_good_and_nobody_goes_on_before() {
    let saved = |sleep: &str| {
        let safe = pipeline(sleep).replacen("durable = true", "durable = true\nsync = 'always'", 1);
        // A worker that finds no room for its own place at the start may try again.
        let lenient = safe.replacen("give_up = { restarts = 0, within = '1m' }\n", "", 1);
        lenient.replacen("to = 6000", "to = 500", 1)
    };
    let mut run = on_small_disk(&saved("1h"), 5000, 3000);
    run.wait_for_log("the queues can't be saved: failed to write");
    let said = run.ask(&["status", "--check"]);
    let unsaved = "the queues can't be saved, which is tried again: failed to write";
    assert!(said.code == Some(1) && said.stdout.contains(unsaved), "{}", said.stdout);
    assert!(run.tell(&["why"]).contains(unsaved));
    let state = run.folder.path().join("state/ballast");
    let seen_by_it = format!("/proc/{}/root{}", run.pid(), state.display());
    std::fs::remove_file(seen_by_it).unwrap();
    run.wait_for_log("the queues are saved again");
    assert!(!run.tell(&["why"]).contains(unsaved));
    run.edit(&saved("0s"));
    assert_eq!(run.finish(), ["125250"]);
}

/// Waits at a full disk with all workers at work, and is told to stop there.
fn stopped_on_a_full_disk(sync: &str) -> Run {
    let text = pipeline("1h").replacen("durable = true", &format!("durable = true\nsync = '{sync}'"), 1);
    let lenient =
        text.replacen("[defaults]\ngive_up = { restarts = 0, within = '1m' }", "drain_timeout = '100ms'", 1);
    let run = on_small_disk(&lenient.replacen("to = 6000", "to = 500", 1), 5000, 3000);
    run.wait_for_log("the queues can't be saved: failed to write");
    run.signal(libc::SIGTERM);
    run.wait_for_log("what the queues hold can't be written");
    run
}

#[test]
fn a_stop_waits_until_there_is_room_for_what_the_queues_hold() {
    let mut run = stopped_on_a_full_disk("interval");
    let said = run.ask(&["status", "pipeline"]);
    assert!(said.stderr.contains("waits for room on the disk"), "{}", said.stderr);
    let listed = run.tell(&["ps"]);
    assert!(listed.contains("stopping") && !listed.contains("no answer"), "{listed}");
    let state = run.folder.path().join("state/ballast");
    std::fs::remove_file(format!("/proc/{}/root{}", run.pid(), state.display())).unwrap();
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("the next start continues from"), "{}", run.stderr());
}

#[test]
fn a_stop_that_waits_for_room_can_be_told_to_give_up() {
    let mut run = stopped_on_a_full_disk("interval");
    run.signal(libc::SIGINT);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("failed to put the queues away: failed to write"), "{}", run.stderr());
    let mut run = stopped_on_a_full_disk("always");
    // It may be gone before it has answered.
    run.ask(&["stop", "--now", "pipeline"]);
    assert_eq!(run.wait(), 1);
}

#[test]
fn a_log_file_on_a_full_disk_stops_no_service_and_its_next_line_is_a_line_of_its_own() {
    let says = "while :; do echo a line of a length that no page has a multiple of; sleep 0.01; done";
    let text =
        format!("[stages.s]\ncommand = '{says}'\nstdout = 'log'\nlog_file = {{ path = 'state/s.log' }}\n");
    let run = on_small_disk(&text, 64, 44);
    run.wait_for_log("failed to write the log file");
    let seen_by_it =
        std::path::PathBuf::from(format!("/proc/{}/root{}", run.pid(), run.folder.path().display()));
    std::fs::remove_file(seen_by_it.join("state/ballast")).unwrap();
    let lines = || {
        let text = std::fs::read_to_string(seen_by_it.join("state/s.log")).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let is_whole = |line: &String| line.ends_with("a multiple of") && line.matches("a line of").count() == 1;
    support::wait_until("a line after the torn one", || {
        let lines = lines();
        let torn = lines.iter().position(|line| !is_whole(line))?;
        (lines.len() > torn + 2).then_some(())
    });
    assert_eq!(lines().iter().rev().skip(1).filter(|line| !is_whole(line)).count(), 1, "{:?}", lines());
    assert_eq!(run.workers("s").len(), 1);
}

#[test]
fn who_looks_hears_what_can_not_be_written_until_it_can() {
    let text = "[queues.q]\ncapacity = 10\n[stages.read]\nuse = 'count'\nwith = { to = 100000 }\noutput = 'q'\n\
                [stages.write]\nuse = 'file'\ninput = 'q'\nwith = { path = 'state/out.txt' }\n";
    let mut run = on_small_disk(text, 2000, 1800);
    run.wait_for_log("No space left on device");
    let why = support::wait_until("the reason", || {
        let why = run.tell(&["why"]);
        why.contains("write is the bottleneck: can't write").then_some(why)
    });
    assert!(
        why.contains("state/out.txt`: No space left on device (os error 28). It waits, and tries it again."),
        "{why}"
    );
    assert!(why.contains(": can't write `") && why.contains("write[0] working"), "{why}");
    let said = run.ask(&["status", "--check"]);
    assert!(said.code == Some(1) && said.stdout.contains("write[0] waits: can't write `"), "{}", said.stdout);
    let ballast = run.folder.path().join("state/ballast");
    std::fs::remove_file(format!("/proc/{}/root{}", run.pid(), ballast.display())).unwrap();
    support::wait_until("room", || (run.ask(&["status", "--check"]).code == Some(0)).then_some(()));
    assert!(!run.tell(&["why"]).contains("can't write"));
    run.signal(15);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}
