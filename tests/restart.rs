//! What crashes is started again by the rules of the file, and given up when it is hopeless.

mod support;

use std::time::Instant;
use support::{Folder, LIMIT, Run, command, process, wait_until};

const TICKS: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '10ms' }\noutput = 'a'\n\
                     [stages.show]\nuse = 'format'\nwith = { template = '{pid}' }\ninput = 'a'\n";

#[test]
fn a_killed_worker_is_replaced_and_the_run_goes_on() {
    let run = Run::start(TICKS);
    let first = wait_until("the worker", || run.workers("show").first().copied());
    wait_until("its first line", || run.stdout().contains(&first.to_string()).then_some(()));
    process::kill(first, 9);
    let second = wait_until("the next one", || run.workers("show").into_iter().find(|&pid| pid != first));
    wait_until("its first line", || run.stdout().contains(&second.to_string()).then_some(()));
    assert!(run.stderr().contains("SIGKILL"), "the reason is told:\n{}", run.stderr());
}

#[test]
fn a_worker_that_is_not_to_be_restarted_ends_its_stage() {
    let mut run = Run::start(&format!("{TICKS}restart = 'never'\n"));
    let worker = wait_until("the worker", || run.workers("show").first().copied());
    wait_until("its first line", || (!run.stdout().is_empty()).then_some(()));
    process::kill(worker, 9);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
}

#[test]
fn a_stage_that_crashes_too_often_is_given_up() {
    let mut run = Run::start(&format!(
        "{TICKS}give_up = {{ restarts = 2, within = '1m' }}\nbackoff = {{ initial = '1ms', max = '2ms', reset_after = '1m' }}\n"
    ));
    let mut killed = Vec::new();
    let start = Instant::now();
    while killed.len() < 3 {
        assert!(start.elapsed() < LIMIT, "{}", run.stderr());
        if let Some(&pid) = run.workers("show").iter().find(|pid| !killed.contains(*pid)) {
            process::kill(pid, libc::SIGSEGV);
            killed.push(pid);
        }
        std::thread::yield_now();
    }
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("gave up") || run.stderr().contains("giv"), "{}", run.stderr());
}

#[test]
fn a_stage_that_can_not_start_is_given_up_with_its_reason() {
    let mut run = Run::start(
        "[defaults]\ngive_up = { restarts = 1, within = '1m' }\nbackoff = { initial = '1ms', max = '2ms', reset_after = '1m' }\n\
         [stages.tick]\nuse = 'tick'\nwith = { every = '10ms' }\noutput = 'a'\n\
         [stages.write]\nuse = 'file'\nwith = { path = 'no/such/folder/file' }\ninput = 'a'\n",
    );
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("no/such/folder/file"), "{}", run.stderr());
}

#[test]
fn an_item_that_fails_is_tried_again_and_then_put_aside() {
    let folder = Folder::new();
    folder.file("input", "2\nnot a number\n4\n");
    folder.file(
        "pipeline.toml",
        "[stages.read]\nuse = 'lines'\nwith = { path = 'input' }\noutput = 'a'\n\
         [stages.even]\nuse = 'filter'\nwith = { keep = 'even' }\ninput = 'a'\nattempts = 2\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), ["2", "4"]);
    let letters = std::fs::read_to_string(run.folder.path().join("state/mprun/pipeline/dead.jsonl")).unwrap();
    let letter: serde_json::Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    assert_eq!(letters.lines().count(), 1);
    assert_eq!(letter["item"], "not a number");
    assert_eq!(letter["stage"], "even");
    assert_eq!(letter["attempts"], 2);
}

#[test]
fn what_is_dropped_is_counted() {
    let mut run = Run::start(
        "[queues.a]\ncapacity = 2\nwhen_full = 'drop-new'\n\
         [stages.number]\nuse = 'count'\nwith = { from = 1, to = 1000 }\noutput = 'a'\n\
         [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'a'\nsleep = '20ms'\n",
    );
    let shown = run.finish().len() as u64;
    assert!((2..1000).contains(&shown), "{shown}");
    let dropped = (1000 - shown).to_string();
    assert!(run.stderr().contains(&dropped), "{dropped} dropped is not in the summary:\n{}", run.stderr());
}

#[test]
fn a_stopped_worker_keeps_no_wake_up_from_the_others() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.in]\nuse = 'stdin'\noutput = 'a'\n[stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nprocesses = 2\n");
    let mut piped = command(&folder);
    piped.arg("pipeline.toml").stdin(std::process::Stdio::piped());
    let mut run = Run::of(folder, piped);
    run.wait_for_log("up after");
    let stopped = run.workers("show")[0];
    process::kill(stopped, libc::SIGSTOP);
    run.wait_for_log("was stopped by a signal");
    let mut pipe = run.child.stdin.take().unwrap();
    for n in 1..=20 {
        std::io::Write::write_all(&mut pipe, format!("{n}\n").as_bytes()).unwrap();
        wait_until("the line, by the other worker", || (run.lines().len() == n).then_some(()));
    }
    process::kill(stopped, libc::SIGCONT);
    drop(pipe);
    assert_eq!(run.finish().len(), 20);
}
