//! Exactly once into a file, also if a start has ended early: its kept queues don't make the next run add to what an
//! earlier one has left.

mod support;

use std::fs;
use support::{Folder, Run, process, wait_until};

const OLD: &str = "from the run before\n";
const DURABLE: &str = "[queues.a]\ndurable = true\n[queues.b]\n";
/// As long as it is there, a stage behind it has no worker.
const GATE: &str = "[stages.gate]\ncommand = 'sleep 1000'\nready = { tcp = '127.0.0.1:1', timeout = '1h' }\n";
const BEHIND_THE_GATE: &str = "after = 'gate'\n";
const N: u32 = 300;

fn count(queue: &str) -> String {
    format!("[stages.count-{queue}]\nuse = 'count'\nwith = {{ to = {N} }}\noutput = '{queue}'\n")
}

fn write(name: &str, with: &str, queue: &str) -> String {
    format!("[stages.{name}]\nuse = 'file'\nwith = {{ {with} }}\ninput = '{queue}'\n")
}

/// One stage that writes `out.txt`.
fn one(with: &str) -> String {
    format!("{DURABLE}{}{}", count("a"), write("write", with, "a")).replace("[queues.b]\n", "")
}

fn gated(text: &str, stage: &str) -> String {
    let head = format!("[stages.{stage}]\n");
    format!("{GATE}{}", text.replace(&head, &format!("{head}{BEHIND_THE_GATE}")))
}

fn start(folder: Folder, text: &str) -> Run {
    folder.file("pipeline.toml", text);
    Run::in_folder(folder, &["--no-watch"])
}

/// Ends the run, and starts another one.
fn next(run: Run, signal: i32, text: &str) -> Run {
    run.signal(signal);
    start(ended(run), text)
}

fn ended(mut run: Run) -> Folder {
    run.wait();
    let folder = std::mem::replace(&mut run.folder, Folder::new());
    let path = folder.path().to_owned();
    wait_until("all of its processes to be gone", || process::in_folder(&path).is_empty().then_some(()));
    folder
}

#[track_caller]
fn wait_for_items(run: &Run, how: &str, n: u32) {
    wait_until(&format!("{n} items that are {how}"), || {
        let status = run.ask(&["status", "--json"]).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        (status["queues"][0][how] == n).then_some(())
    });
}

fn out(run: &Run) -> String {
    fs::read_to_string(run.folder.path().join("out.txt")).unwrap_or_default()
}

#[track_caller]
fn assert_lines(text: &str, before: &str, times: usize) {
    let mut lines: Vec<&str> = text.strip_prefix(before).expect("what was there before").lines().collect();
    let mut wanted: Vec<String> = (0..times).flat_map(|_| (1..=N).map(|n| n.to_string())).collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines.len(), wanted.len(), "how many lines");
    assert_eq!(lines, wanted);
}

fn with_old_file() -> Folder {
    let folder = Folder::new();
    folder.file("out.txt", OLD);
    folder
}

#[test]
fn a_start_that_ends_before_its_stage_begins_leaves_the_emptying_to_the_next_run() {
    for (with, before) in [
        ("path = 'out.txt'", ""),
        ("path = 'out.txt', replace = true", ""),
        ("path = 'out-{stage}.txt'", ""),
        ("path = 'out.txt', append = true", OLD),
    ] {
        let with = with.replace("out-{stage}", "{stage}");
        let name = if with.contains("{stage}") { "write.txt" } else { "out.txt" };
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGINT] {
            let folder = Folder::new();
            folder.file(name, OLD);
            let early = start(folder, &gated(&one(&with), "write"));
            wait_for_items(&early, "waiting", N);
            let mut run = next(early, signal, &one(&with));
            run.finish();
            let log = run.stderr();
            assert!(log.contains("continues where an earlier run stopped"), "{log}");
            assert_lines(&fs::read_to_string(run.folder.path().join(name)).unwrap(), before, 1);
        }
    }
}

/// From the first moment on that queues are kept.
#[test]
fn a_start_that_is_killed_at_any_moment_leaves_each_line_once() {
    type Moment = (&'static str, fn(&Run) -> bool);
    let moments: [Moment; 5] = [
        ("the state folder", |run| run.folder.path().join("state/mprun").exists()),
        ("the queues", |run| run.folder.path().join("state/mprun/pipeline/queues").exists()),
        ("a worker", |run| process::children(run.pid()).len() > 1),
        ("the emptied file", |run| out(run) != OLD || run.folder.path().join(".out.txt.new").exists()),
        ("some lines", |run| {
            let fresh = fs::read_to_string(run.folder.path().join(".out.txt.new")).unwrap_or_default();
            [out(run), fresh].iter().any(|text| text != OLD && text.lines().count() > 2)
        }),
    ];
    for with in ["path = 'out.txt'", "path = 'out.txt', replace = true"] {
        let slow = format!("{}sleep = '2ms'\n", one(with));
        for (what, has_come) in moments {
            for _ in 0..3 {
                let run = start(with_old_file(), &slow);
                wait_until(what, || has_come(&run).then_some(()));
                let mut run = next(run, libc::SIGKILL, &one(with));
                run.finish();
                assert_lines(&out(&run), "", 1);
            }
        }
    }
}

/// Its lines are part of the work that the next run continues.
#[test]
fn a_stage_that_has_not_begun_empties_no_file_that_another_one_has_begun() {
    for with in ["path = 'out.txt'", "path = './out.txt'"] {
        let text =
            format!("{DURABLE}{}{}{}", count("a"), count("b"), write("first", "path = 'out.txt'", "a"))
                + &write("second", with, "b");
        let early = start(with_old_file(), &gated(&text, "second"));
        wait_until("the lines of the first stage", || {
            (out(&early).lines().count() == N as usize).then_some(())
        });
        let mut run = next(early, libc::SIGTERM, &text);
        run.finish();
        assert_lines(&out(&run), "", 2);
    }
}

#[test]
fn a_file_of_a_stage_that_has_another_name_now_is_not_emptied() {
    let text = |name: &str| format!("{}sleep = '5ms'\n", one("path = 'out.txt'")).replace("write", name);
    let early = start(with_old_file(), &text("write"));
    wait_until("some lines", || (out(&early) != OLD && out(&early).lines().count() > 5).then_some(()));
    let mut run = next(early, libc::SIGTERM, &text("renamed"));
    run.wait();
    assert_lines(&out(&run), "", 1);
}

#[test]
fn items_that_wait_for_their_time_are_counted_as_left_in_the_queues() {
    let text = format!(
        "{DURABLE}{}[stages.fail]\nmode = 'each'\ncommand = 'read x; test $((x % 4)) -ne 0'\ninput = 'a'\nattempts = 1000\n\
         retry = {{ delay = '10m', max = '1h' }}\n",
        "[stages.count]\nuse = 'count'\nwith = { to = 12 }\noutput = 'a'\n"
    )
    .replace("[queues.b]\n", "");
    let early = start(Folder::new(), &text);
    wait_for_items(&early, "done", 9);
    wait_for_items(&early, "delayed", 3);
    let run = next(early, libc::SIGKILL, &text);
    run.wait_for_log("continues where");
    let log = run.stderr();
    assert!(log.contains("continues where an earlier run stopped: 3 items in its queues"), "{log}");
}
