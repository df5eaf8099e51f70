//! `order = "input"`: several processes, and what they write comes out in the order of what they read, whoever is done
//! first, whoever is killed, and whatever becomes of the pipeline meanwhile.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use support::storm::storm;
use support::{Folder, Run, command, wait_until};

const STORMY: &str = "[defaults]\nattempts = 1000000\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\nretry = { delay = '0s' }\n";
const TYPED: &str = "[stages.read]\nuse = 'stdin'\noutput = 'in'\n";
const WRITE: &str = "[stages.write]\nuse = 'file'\nwith = { path = 'out.txt' }\ninput = 'out'\n";
/// Some answers take longer than others.
const UNEQUAL: &str = "import sys, time\nfor n, line in enumerate(sys.stdin):\n    time.sleep(0.003 if hash(line) % 7 == 0 else 0)\n    \
                       print(line.strip(), flush=True)\n";

fn count(to: u32) -> String {
    format!("[stages.read]\nuse = 'count'\nwith = {{ from = 1, to = {to} }}\noutput = 'in'\n")
}

/// The stage that keeps the order.
fn work(does: &str) -> String {
    format!("[stages.work]\n{does}\nprocesses = 4\norder = 'input'\ninput = 'in'\noutput = 'out'\n")
}

fn unequal() -> String {
    work("command = ['python3', '-u', 'unequal.py']\nmode = 'reply'")
}

fn folder(pipeline: &str) -> Folder {
    let folder = Folder::new();
    folder.file("unequal.py", UNEQUAL);
    folder.file("pipeline.toml", pipeline);
    folder
}

fn written(folder: &Folder) -> Vec<String> {
    let text = fs::read_to_string(folder.path().join("out.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_in_order(lines: &[String], n: u32) {
    let expected: Vec<String> = (1..=n).map(|n| n.to_string()).collect();
    let wrong = lines.iter().zip(&expected).position(|(line, item)| line != item);
    assert!(
        wrong.is_none(),
        "line {wrong:?} is another: {:?}",
        &lines[wrong.unwrap()..][..3.min(lines.len())]
    );
    assert_eq!(lines.len(), expected.len());
}

fn audited(run: &Run) {
    assert_eq!(run.tell(&["audit"]).lines().last(), Some("every item is accounted for"));
}

#[test]
fn unequal_work_of_several_processes_comes_out_in_order() {
    let programs = [
        unequal(),
        work("command = ['sh', '-c', 'sleep 0.0$(($1 % 7)); echo $1', '-', '{}']\nmode = 'each'"),
        work("use = 'format'\nwith = { template = '{item}' }"),
    ];
    for (program, n) in programs.iter().zip([3000, 200, 100_000]) {
        let mut run = Run::in_folder(folder(&format!("{}{program}{WRITE}", count(n))), &[]);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        assert_in_order(&written(&run.folder), n);
    }
}

/// How many items the storm has, in parts of 500.
const PARTS: u32 = 160;

#[test]
fn four_processes_killed_hundreds_of_times_write_each_item_once_and_in_order() {
    let folder = folder(&format!("{STORMY}{TYPED}{}{WRITE}[queues.out]\ncapacity = 40\n", unequal()));
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let part = |i: u32| (i * 100 + 1..=(i + 1) * 100).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let kills = storm(&mut run, "work", PARTS, part);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(kills >= 300, "only {kills} kills");
    assert_in_order(&written(&run.folder), PARTS * 100);
}

#[test]
fn a_built_in_under_a_storm_writes_each_item_once_and_in_order() {
    let pass = work("use = 'format'\nwith = { template = '{item}' }");
    let folder = folder(&format!("{STORMY}{TYPED}{pass}{WRITE}[queues.out]\ncapacity = 7\n"));
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let part = |i: u32| (i * 500 + 1..=(i + 1) * 500).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let kills = storm(&mut run, "work", PARTS, part);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(kills >= 300, "only {kills} kills");
    assert_in_order(&written(&run.folder), PARTS * 500);
}

#[test]
fn a_dead_letter_and_an_item_without_output_leave_no_gap() {
    let does = "command = ['sh', '-c', 'case $1 in 50|150) exit 65;; 7?) ;; *) echo $1; esac', '-', '{}']\nmode = 'each'\n\
                dead_codes = [65]";
    let mut run = Run::in_folder(folder(&format!("{}{}{WRITE}", count(200), work(does))), &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let expected: Vec<String> =
        (1..=200_u32).filter(|n| ![50, 150].contains(n) && *n / 10 != 7).map(|n| n.to_string()).collect();
    assert_eq!(written(&run.folder), expected);
}

#[test]
fn thousands_of_outputs_of_one_item_stay_together_and_in_order() {
    let does =
        "command = ['sh', '-c', 'seq $(($1 * 10000)) $(($1 * 10000 + 3000))', '-', '{}']\nmode = 'each'";
    let text = format!("{}{}{WRITE}[queues.out]\ncapacity = 10\n", count(12), work(does));
    let mut run = Run::in_folder(folder(&text), &[]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let expected: Vec<String> =
        (1..=12_u32).flat_map(|n| (n * 10_000..=n * 10_000 + 3000).map(|k| k.to_string())).collect();
    assert!(written(&run.folder) == expected);
}

/// An item that takes until there is a file `go` holds what is behind it, and no more is taken than may wait.
const GATED: &str = "command = ['sh', '-c', 'while test $1 = 5 && ! test -e go; do sleep 0.01; done; echo $1', '-', '{}']\n\
                     mode = 'each'\norder_window = 3";

#[test]
fn a_slow_item_holds_a_bounded_number_behind_it_and_status_says_so() {
    let run = Run::in_folder(folder(&format!("{}{}{WRITE}", count(300), work(GATED))), &[]);
    run.wait_for_log("up after");
    let seen = wait_until("a full window", || {
        let seen: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).ok()?;
        let order = seen["stages"][1]["order"].clone();
        // An earlier one may be slow as well, on busy processors.
        let is_held_up = order["next"] == 4 && order["finished"].as_u64()? >= 12;
        is_held_up.then_some((order, seen))
    });
    let (order, seen) = seen;
    assert_eq!(order["most"], 12, "{order}");
    assert!(order["finished"].as_u64().unwrap() <= 12 + 4, "{order}");
    let done = seen["stages"][1]["totals"]["done"].as_u64().unwrap();
    assert!(done <= 4 + 16, "{done}");
    let why = run.tell(&["why"]);
    assert!(
        why.contains("keeps the order of in: ")
            && why.contains("as item #4 is being worked on; no more are taken"),
        "{why}"
    );
    audited(&run);
    run.folder.file("go", "");
    let mut run = run;
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_in_order(&written(&run.folder), 300);
}

#[test]
fn order_begins_and_ends_and_stages_are_scaled_and_reloaded_under_way() {
    let text = |order: &str, processes: u32| {
        format!(
            "{TYPED}[stages.work]\ncommand = ['python3', '-u', 'unequal.py']\nmode = 'reply'\nprocesses = {processes}\n{order}\
             input = 'in'\noutput = 'out'\n{WRITE}"
        )
    };
    let folder = folder(&text("order = 'input'\n", 4));
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    let mut pipe = run.child.stdin.take().unwrap();
    let mut fed = 0;
    let mut feed = |run: &Run, n: u32, all: bool| {
        let items: String = (fed + 1..=fed + n).map(|n| format!("{n}\n")).collect();
        std::io::Write::write_all(&mut pipe, items.as_bytes()).unwrap();
        fed += n;
        if all {
            wait_until("all of it", || (written(&run.folder).len() == fed as usize).then_some(()));
        }
    };
    run.wait_for_log("up after");
    feed(&run, 1500, false);
    run.tell(&["scale", "work=6"]);
    feed(&run, 1500, false);
    run.edit(&text("order = 'input'\norder_window = 5\n", 3));
    run.tell(&["reload"]);
    feed(&run, 1500, false);
    run.tell(&["restart", "work"]);
    feed(&run, 1000, true);
    assert_in_order(&written(&run.folder), 5500);
    run.edit(&text("", 4));
    run.tell(&["reload"]);
    feed(&run, 1000, false);
    run.edit(&text("order = 'input'\n", 4));
    run.tell(&["reload"]);
    feed(&run, 500, true);
    feed(&run, 1000, true);
    audited(&run);
    drop(pipe);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let lines = written(&run.folder);
    let mut sorted: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert_in_order(
        &lines[7000..].iter().map(|n| (n.parse::<u32>().unwrap() - 7000).to_string()).collect::<Vec<_>>(),
        1000,
    );
    sorted.sort_unstable();
    assert!(sorted == (1..=8000).collect::<Vec<_>>());
}

/// SIGUSR2 puts the program in its own place; the window stays as it is.
#[test]
fn upgrades_in_place_under_way_keep_the_order() {
    const N: u32 = 40_000;
    let pass = work("use = 'format'\nwith = { template = '{item}' }");
    let text = format!("{}{pass}{WRITE}sleep = '10us'\n[queues.out]\ncapacity = 50\n", count(N));
    let mut run = Run::in_folder(folder(&text), &[]);
    run.wait_for_log("up after");
    for upgrades in 1..=3 {
        run.signal(libc::SIGUSR2);
        wait_until("an upgrade", || {
            let is_over = run.child.try_wait().unwrap().is_some();
            (is_over || run.stderr().matches("took over").count() >= upgrades).then_some(())
        });
    }
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("took over"), "{}", run.stderr());
    assert_in_order(&written(&run.folder), N);
}

/// Everything is killed again and again.
#[test]
fn a_durable_run_whose_processes_all_die_again_and_again_keeps_the_order() {
    const N: u32 = 40_000;
    let text = format!(
        "{STORMY}{}{}{WRITE}sleep = '50us'\n[queues.in]\ndurable = true\ncapacity = 100\n[queues.out]\ncapacity = 20\n",
        count(N),
        work("use = 'format'\nwith = { template = '{item}' }")
    );
    let folder = folder(&text);
    let start = || {
        let mut command: Command = command(&folder);
        command.arg("pipeline.toml").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let lines = (|| written(&folder).len(), N as usize);
    let deaths = support::storm::deaths_of_everything(&folder, 25, start, lines);
    assert!(deaths > 5, "only {deaths} deaths");
    assert_in_order(&written(&folder), N);
}

/// A stop that leaves finished items behind an unfinished one, and a run that resumes.
#[test]
fn what_waits_for_an_item_before_it_is_kept_over_a_stop() {
    let does = GATED.replace("order_window = 3", "order_window = 20");
    let text =
        format!("drain_timeout = '100ms'\n{}{}{WRITE}[queues.in]\ndurable = true\n", count(60), work(&does));
    let mut run = Run::in_folder(folder(&text), &[]);
    run.wait_for_log("up after");
    wait_until("finished items", || {
        let seen: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).ok()?;
        (seen["stages"][1]["order"]["finished"].as_u64()? >= 55).then_some(())
    });
    run.signal(libc::SIGTERM);
    run.wait();
    assert_in_order(&written(&run.folder), 4);
    run.folder.file("go", "");
    let said = {
        let mut again = command(&run.folder);
        again.arg("pipeline.toml").output().unwrap()
    };
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_in_order(&written(&run.folder), 60);
}

#[test]
fn a_removed_stage_loses_nothing_that_waits() {
    let does = GATED.replace("order_window = 3", "order_window = 20");
    let text = format!("{}{}{WRITE}", count(60), work(&does));
    let mut run = Run::in_folder(folder(&text), &[]);
    run.wait_for_log("up after");
    wait_until("finished items", || {
        let seen: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).ok()?;
        (seen["stages"][1]["order"]["finished"].as_u64()? >= 55).then_some(())
    });
    let plain =
        "[stages.other]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'in'\noutput = 'out'\n";
    run.edit(&format!("{}{plain}{WRITE}", count(60)));
    run.tell(&["reload"]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let mut lines: Vec<u32> = written(&run.folder).iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert!(lines == (1..=60).collect::<Vec<_>>(), "{lines:?}");
}
