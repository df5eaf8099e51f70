//! A program that had all its input and does not end: it is no work, the log and the status tell of it, a stop ends it.

mod support;

use serde_json::Value;
use support::{Folder, Run, project, wait_until};

/// Five items through a program; `b` has another reader so that the run has more than this stage.
fn start(command: &str, keys: &str) -> Run {
    let folder = Folder::new();
    folder.file(
        "work.py",
        "import mprun, time\nfor item in mprun.items():\n    item.reply(item.text)\ntime.sleep(1000)\n",
    );
    folder.file(
        "pipeline.toml",
        &format!(
            "drain_timeout = '1h'\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 5 }}\noutput = 'a'\n\
             [stages.Work]\ncommand = {command}\n{keys}\ninput = 'a'\noutput = 'b'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
    Run::in_folder(folder, &[])
}

const STREAM: (&str, &str) = ("'cat; sleep 1000'", "mode = 'stream'\nstop_timeout = '1h'");
const REPLY: (&str, &str) =
    ("'while read n; do echo $n; done; sleep 1000'", "mode = 'reply'\nstop_timeout = '1h'");

fn python(stop_timeout: &str) -> Run {
    let keys = format!(
        "framing = 'mprun'\nstop_timeout = '{stop_timeout}'\nenv = {{ PYTHONPATH = '{}' }}",
        project().join("python").display()
    );
    start("['python3', 'work.py']", &keys)
}

#[track_caller]
fn waits_for_its_program(run: &Run) {
    run.wait_for_log("up after");
    wait_until("the state of its own", || run.tell(&["status"]).contains("input ended").then_some(()));
    let status = run.tell(&["status"]);
    assert!(
        status.contains("Work has had all its input, waits for its program to end (process "),
        "{status}"
    );
    // What it did before counts as well, for a while.
    wait_until("another answer to what the bottleneck is", || {
        (!run.tell(&["status"]).contains("Work is the bottleneck")).then_some(())
    });
    let why = run.tell(&["why"]);
    assert!(why.contains("Work[0] has had all its input, waits for its program to end, process "), "{why}");
}

#[test]
fn a_program_that_does_not_end_is_told_of_and_is_no_work() {
    for (mut run, then) in
        [(start(STREAM.0, STREAM.1), ""), (start(REPLY.0, REPLY.1), ""), (python("1h"), "; it is ended")]
    {
        waits_for_its_program(&run);
        run.wait_for_log("WARN  Work[0] has had all its input, waits for its program (process ");
        run.wait_for_log(&format!("to end: it has done nothing for 5s{then}"));
        let status: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
        let work = status["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "Work").unwrap();
        assert_eq!(work["workers"][0]["state"], "input-ended");
        let (working, starved) =
            (work["times"]["working"].as_f64().unwrap(), work["times"]["starved"].as_f64().unwrap());
        assert!(starved > 3.0 && working < starved / 2.0, "{work}");
        // Neither `stop_timeout` nor `drain_timeout` is waited for: both are an hour.
        run.tell(&["stop"]);
        assert_eq!(run.finish(), ["1", "2", "3", "4", "5"]);
    }
}

#[test]
fn a_stop_does_not_wait_for_a_program_that_ignores_sigterm_for_longer_than_stop_timeout() {
    for (command, mode) in [
        ("trap \"\" TERM; cat; while :; do sleep 1; done", "stream"),
        ("trap \"\" TERM; while read n; do echo $n; done; while :; do sleep 1; done", "reply"),
    ] {
        let mut run = start(&format!("'{command}'"), &format!("mode = '{mode}'\nstop_timeout = '100ms'"));
        waits_for_its_program(&run);
        run.tell(&["stop"]);
        assert_eq!(run.finish(), ["1", "2", "3", "4", "5"]);
    }
}

#[test]
fn a_python_program_that_answered_everything_is_ended_after_stop_timeout() {
    let mut run = python("300ms");
    assert_eq!(run.finish(), ["1", "2", "3", "4", "5"]);
    assert!(
        run.stderr().contains("has answered everything and not ended for 300ms (stop_timeout)"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_stop_that_comes_first_gives_a_program_the_time_for_its_last_outputs() {
    let mut run = Run::start(
        "drain_timeout = '1h'\n\
         [stages.number]\nuse = 'repeat'\nwith = { text = 'x' }\nsleep = '10ms'\noutput = 'a'\n\
         [stages.count]\ncommand = 'n=$(wc -l); sleep 2; test $n -gt 0 && echo counted'\nmode = 'stream'\ninput = 'a'\noutput = 'b'\n\
         [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'b'\n",
    );
    run.wait_for_log("up after");
    wait_until("the program to have some", || {
        let status: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
        status["stages"][1]["totals"]["done"].as_u64().filter(|&done| done > 0)
    });
    run.tell(&["stop"]);
    assert_eq!(run.finish(), ["counted"]);
}
