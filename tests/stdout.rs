//! `stdout`: where the standard output of a program goes that writes no queue.

mod support;

use std::fs;
use support::{Run, wait_until};

/// The program's lines in the log, without what stands before them.
fn said(run: &Run) -> Vec<String> {
    let log = run.stderr();
    let lines = log.lines().filter_map(|line| line.split_once("says ").map(|(_, words)| words.to_owned()));
    lines.collect()
}

#[test]
fn to_the_log_in_the_order_of_the_program() {
    let script = "for n in 1 2 3; do echo says out $n; echo says err $n >&2; done; printf 'says no end'";
    let mut run = Run::start(&format!(
        "[stages.s]\ncommand = \"\"\"{script}\"\"\"\nstdout = 'log'\nlog_file = {{ path = 's.log' }}\n"
    ));
    assert_eq!(run.finish(), [""; 0]);
    assert_eq!(said(&run), ["out 1", "err 1", "out 2", "err 2", "out 3", "err 3", "no end"]);
    let file = fs::read_to_string(run.folder.path().join("s.log")).unwrap();
    assert_eq!(file.matches("says ").count(), 7, "{file}");
}

#[test]
fn nowhere_and_a_large_output_holds_nothing_up() {
    let script = "head -c 10000000 /dev/zero; echo says done >&2";
    let mut run = Run::start(&format!("[stages.s]\ncommand = '{script}'\nstdout = 'null'\n"));
    assert_eq!(run.finish(), [""; 0]);
    assert_eq!(said(&run), ["done"]);
}

#[test]
fn of_a_program_that_is_started_for_each_item() {
    let mut run = Run::start(
        "[stages.n]\nuse = 'count'\nwith = { to = 3 }\noutput = 'q'\n\
         [stages.each]\ncommand = 'echo says $1; [ $1 != 2 ]'\nmode = 'each'\nstdout = 'log'\ninput = 'q'\nattempts = 1\nwhen_failing = 'dead-letter'\n",
    );
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let mut said = said(&run);
    said.dedup(); // the failure repeats the last words
    assert_eq!((run.stdout().as_str(), said), ("", vec!["1".to_owned(), "2".into(), "3".into()]));
    let letter: serde_json::Value =
        serde_json::from_str(&run.tell(&["dead", "list", "pipeline.toml", "--json"])).unwrap();
    assert!(letter.to_string().contains("says 2"), "{letter}");
}

#[test]
fn of_a_program_that_reads_a_queue() {
    let mut run = Run::start(
        "[stages.n]\nuse = 'count'\nwith = { to = 1000 }\noutput = 'q'\n\
         [stages.s]\ncommand = 'sed s/^/says.\\ / | tail -n 1'\nstdout = 'log'\ninput = 'q'\n",
    );
    assert_eq!(run.finish(), [""; 0]);
    assert!(run.stderr().contains("says. 1000"), "{}", run.stderr());
}

#[test]
fn an_edit_of_it_is_a_change_of_its_stage() {
    let file = |stdout: &str| {
        format!("[stages.s]\ncommand = 'while :; do echo says so; sleep 0.01; done'\n{stdout}\n")
    };
    let run = Run::start(&file(""));
    wait_until("a line", || (!run.lines().is_empty()).then_some(()));
    run.edit(&file("stdout = 'log'"));
    run.wait_for_log("replace processes one by one (stdout: items -> log)");
    run.wait_for_log("says so");
}
