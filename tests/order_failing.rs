//! `order = "input"` of a stage whose items fail: outages, bad items and delays leave what comes out in order, each once.

mod support;

use std::fs;
use std::process::{Child, Stdio};
use support::storm::{deaths_of_everything, storm};
use support::{Folder, Run, command, wait_until};

const WRITE: &str = "[stages.write]\nuse = 'file'\nwith = { path = 'out.txt' }\ninput = 'out'\n";

fn count(to: u32) -> String {
    format!("[stages.read]\nuse = 'count'\nwith = {{ to = {to} }}\noutput = 'in'\n")
}

/// The stage that keeps the order: a script that knows its item as `$1`.
fn work(script: &str, keys: &str) -> String {
    format!(
        "[stages.work]\ncommand = ['sh', '-c', '{script}', '-', '{{}}']\nmode = 'each'\nprocesses = 4\norder = 'input'\n\
         input = 'in'\noutput = 'out'\nretry = {{ delay = '20ms', max = '200ms' }}\n{keys}\n"
    )
}

fn folder(pipeline: &str) -> Folder {
    let folder = Folder::new();
    folder.file("pipeline.toml", pipeline);
    folder
}

fn written(folder: &Folder) -> Vec<u32> {
    let text = fs::read_to_string(folder.path().join("out.txt")).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect()
}

fn letters(run: &Run) -> usize {
    let list = run.ask(&["dead", "list", "pipeline.toml", "--json"]);
    serde_json::from_str::<serde_json::Value>(&list.stdout).unwrap().as_array().map_or(0, Vec::len)
}

#[track_caller]
fn assert_all(lines: &[u32], n: u32) {
    let wrong = lines.iter().zip(1..).position(|(line, item)| *line != item);
    assert!(wrong.is_none(), "line {wrong:?} is another: {lines:?}");
    assert_eq!(lines.len(), n as usize);
}

/// While there is a file `down` every item fails.
const OUTAGE: &str = "test -e down && exit 1; echo $1";

#[test]
fn an_outage_in_the_middle_charges_nothing_and_all_comes_in_order() {
    let text = format!("{}{}{WRITE}", count(400), work(OUTAGE, "attempts = 2\norder_window = 3"));
    let mut run = Run::in_folder(folder(&text), &[]);
    wait_until("some lines", || (written(&run.folder).len() > 50).then_some(()));
    run.folder.file("down", "");
    run.wait_for_log("the stage work is failing");
    wait_until("the stage to be shown", || run.tell(&["why"]).contains("failing (for ").then_some(()));
    assert_eq!(run.tell(&["audit"]).lines().last(), Some("every item is accounted for"));
    fs::remove_file(run.folder.path().join("down")).unwrap();
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("no longer failing"), "{}", run.stderr());
    assert_all(&written(&run.folder), 400);
}

#[test]
fn bad_items_in_a_row_in_a_full_window_leave_no_gap() {
    let script = "test $1 -ge 20 -a $1 -lt 26 && exit 1; echo $1";
    let text = format!("{}{}{WRITE}", count(300), work(script, "attempts = 3\norder_window = 2"));
    let mut run = Run::in_folder(folder(&text), &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(letters(&run), 6);
    assert_eq!(written(&run.folder), (1..=300).filter(|n| !(20..26).contains(n)).collect::<Vec<_>>());
}

#[test]
fn with_dead_letter_an_outage_makes_letters_and_leaves_no_gap() {
    let keys = "attempts = 1\norder_window = 3\nwhen_failing = 'dead-letter'";
    let script = "test $1 -ge 100 -a $1 -lt 150 && exit 1; echo $1";
    let mut run = Run::in_folder(folder(&format!("{}{}{WRITE}", count(300), work(script, keys))), &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(letters(&run), 50);
    assert_eq!(written(&run.folder), (1..=300).filter(|n| !(100..150).contains(n)).collect::<Vec<_>>());
}

#[test]
fn a_delayed_first_item_comes_first() {
    // The first item fails until all that may be taken behind it is finished.
    let script = "test $1 = 1 && ! test -e go && exit 1; echo $1";
    let text = format!("{}{}{WRITE}", count(100), work(script, "attempts = 1000\norder_window = 4"));
    let mut run = Run::in_folder(folder(&text), &[]);
    run.wait_for_log("up after");
    wait_until("a full window", || {
        let seen: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).ok()?;
        (seen["stages"][1]["order"]["finished"].as_u64()? >= 16).then_some(())
    });
    assert!(written(&run.folder).is_empty());
    run.folder.file("go", "");
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_all(&written(&run.folder), 100);
}

fn start(folder: &Folder) -> Child {
    let mut command = command(folder);
    command.arg("pipeline.toml").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

const DURABLE: &str = "[queues.in]\ndurable = true\n";

#[test]
fn a_run_that_stops_as_its_stage_is_failing_keeps_what_is_finished_for_the_next_run_in_order() {
    let keys = "attempts = 1000\norder_window = 5\nwhen_failing = 'stop'";
    let script = "test $1 = 1 -o $1 -gt 18 && ! test -e go && exit 1; echo $1";
    let text = format!("{}{}{WRITE}{DURABLE}", count(200), work(script, keys));
    let mut run = Run::in_folder(folder(&text), &[]);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("in the queues: the next run continues"), "{}", run.stderr());
    assert!(written(&run.folder).is_empty());
    run.folder.file("go", "");
    assert!(start(&run.folder).wait().unwrap().success());
    assert_all(&written(&run.folder), 200);
}

const STORMY: &str = "[defaults]\nattempts = 1000000\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";
/// Each seventh item fails once, and from time to time many of them do, one after the other.
const SHAKY: &str =
    "if test $(($1 % 7)) = 0 -o $(($1 / 20 % 5)) = 2; then mkdir tried-$1 2>/dev/null && exit 1; fi; echo $1";

#[test]
fn kills_over_items_that_fail_leave_each_item_once_and_in_order() {
    const PARTS: u32 = 26;
    let typed = "[stages.read]\nuse = 'stdin'\noutput = 'in'\n";
    let text =
        format!("{STORMY}{typed}{}{WRITE}[queues.out]\ncapacity = 9\n", work(SHAKY, "order_window = 4"));
    let folder = folder(&text);
    let mut command = command(&folder);
    command.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, command);
    let part = |i: u32| (i * 20 + 1..=(i + 1) * 20).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let kills = storm(&mut run, "work", PARTS, part);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(kills >= 2 * (PARTS - 1), "only {kills} kills");
    assert!(run.stderr().contains("the stage work is failing"), "{}", run.stderr());
    assert_all(&written(&run.folder), PARTS * 20);
}

#[test]
fn deaths_of_everything_over_items_that_fail_leave_each_item_once_and_in_order() {
    const N: u32 = 600;
    let durable = "[queues.in]\ndurable = true\ncapacity = 50\n[queues.out]\ncapacity = 9\n";
    let folder = folder(&format!("{STORMY}{}{}{WRITE}{durable}", count(N), work(SHAKY, "order_window = 4")));
    let lines = (|| written(&folder).len(), N as usize);
    let deaths = deaths_of_everything(&folder, 24, || start(&folder), lines);
    assert!(deaths > 5, "only {deaths} deaths");
    assert_all(&written(&folder), N);
}
