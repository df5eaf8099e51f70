//! What crashes is started again by the rules of the file, and given up when it is hopeless.

mod support;

use std::time::Instant;
use support::{Folder, LIMIT, Run, command, process, wait_until};

const TICKS: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '10ms' }\noutput = 'a'\n\
                     [stages.show]\nuse = 'format'\nwith = { template = '{pid}' }\ninput = 'a'\n";

#[test]
fn a_killed_worker_is_replaced_and_the_run_goes_on() {
    let run = Run::start(TICKS);
    let first = run.worker("show");
    wait_until("its first line", || run.stdout().contains(&first.to_string()).then_some(()));
    process::kill(first, 9);
    let second = wait_until("the next one", || run.workers("show").into_iter().find(|&pid| pid != first));
    wait_until("its first line", || run.stdout().contains(&second.to_string()).then_some(()));
    run.wait_for_log("SIGKILL");
}

/// 20 workers, killed all at once in the middle of their work.
#[test]
fn a_stage_whose_workers_are_all_killed_at_once_loses_nothing() {
    let mut run = Run::start(
        "[stages.src]\nuse = 'count'\nwith = { to = 10000 }\noutput = 'q'\n\
         [stages.e]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'q'\nprocesses = 20\nsleep = '10ms'\n",
    );
    let workers = wait_until("all workers at work", || {
        let workers = run.workers("e");
        (workers.len() == 20 && run.lines().len() > 50).then_some(workers)
    });
    let killed = workers.into_iter().filter(|&pid| process::kill(pid, libc::SIGKILL)).count();
    assert_eq!(killed, 20);
    let mut lines: Vec<u32> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 10_000, "{}", run.stderr());
    assert!(run.stderr().contains("20 restarts"), "{}", run.stderr());
}

/// The number of a stage's program, by `mprun status`.
fn program(run: &Run, stage: &str) -> Option<u32> {
    let status: serde_json::Value = serde_json::from_str(&run.ask(&["status", "--json"]).stdout).ok()?;
    let stages = status["stages"].as_array()?;
    let stage = stages.iter().find(|each| each["name"] == stage)?;
    u32::try_from(stage["workers"][0]["program"].as_u64()?).ok()
}

/// Kills what `look` finds again and again, each only once.
fn kill_again_and_again(times: usize, signal: i32, look: impl Fn() -> Option<u32>) {
    let mut last = None;
    for _ in 0..times {
        let next = wait_until("the next one", || look().filter(|pid| Some(*pid) != last));
        assert!(process::kill(next, signal), "{next}");
        last = Some(next);
    }
}

const FOREVER: &str = "backoff = { initial = '1ms', max = '1ms', reset_after = '1m' }\n\
                       give_up = { restarts = 2, within = '1m' }\n";

#[test]
fn a_program_that_is_killed_from_outside_is_shown_and_tried_again_without_end() {
    for mode in ["", "mode = 'reply'\ninput = 'a'\n"] {
        let run = Run::start(&format!(
            "[stages.never]\ncommand = ['sleep', '1000']\noutput = 'a'\n\
             [stages.use]\ncommand = ['sleep', '1001']\n{mode}{FOREVER}\
             [stages.all]\nuse = 'discard'\ninput = 'a'\n"
        ));
        kill_again_and_again(6, libc::SIGKILL, || program(&run, "use"));
        run.wait_for_log(
            "the stage use was killed from outside 2 times in a row, and is restarted each time",
        );
        let expected = "killed from outside 6 times in a row, and restarted each time";
        let status = wait_until("the last kill in the status", || {
            Some(run.tell(&["status"])).filter(|status| status.contains(expected))
        });
        assert!(status.lines().any(|line| line.starts_with("use") && line.contains("killed ")), "{status}");
        assert!(run.tell(&["why"]).contains(expected));
        let check = run.ask(&["status", "--check"]);
        assert!(check.code == Some(1) && check.stdout.contains(expected), "{check:?}");
        run.tell(&["stop", "--now", "--wait"]);
    }
}

#[test]
fn a_worker_that_is_terminated_from_outside_is_replaced_without_end() {
    for stage in ["command = ['sleep', '1000']", "use = 'tick'\nwith = { every = '1h' }"] {
        let mut run = Run::start(&format!("[stages.use]\n{stage}\n{FOREVER}"));
        kill_again_and_again(6, libc::SIGTERM, || {
            let worker = run.workers("use").first().copied();
            // Before it has prepared for signals it would die of this one all the same, but without a word.
            worker.filter(|_| stage.starts_with("use") || program(&run, "use").is_some())
        });
        wait_until("the next one", || run.workers("use").first().copied());
        run.wait_for_log("killed from outside 2 times in a row");
        run.signal(libc::SIGTERM);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
    }
}

#[test]
fn a_program_that_computes_too_long_fails_by_itself_and_was_not_killed() {
    let mut run = Run::start(
        "[stages.burn]\ncommand = 'while :; do :; done'\nlimits = { cpu_time = '1s' }\n\
         give_up = { restarts = 0, within = '1m' }\n",
    );
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("SIGXCPU") && !run.stderr().contains("SIGKILL"), "{}", run.stderr());
}

#[test]
fn a_worker_that_is_not_to_be_restarted_ends_its_stage() {
    let mut run = Run::start(&format!("{TICKS}restart = 'never'\n"));
    let worker = run.worker("show");
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
            process::kill(pid, libc::SIGABRT);
            killed.push(pid);
        }
        std::thread::yield_now();
    }
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    let said = "the stage show gives up: more than 2 restarts within 1m";
    assert!(run.stderr().contains(said), "{}", run.stderr());
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
    let stopped = run.worker("show");
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

#[test]
fn an_input_file_that_is_not_there_ends_the_run_at_once_and_is_said_once() {
    let mut run = Run::start("[stages.read]\nuse = 'lines'\nwith = { path = 'missing.txt' }\n");
    assert_eq!(run.wait(), 1);
    let log = run.stderr();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("no file matches"), "{log}");
    assert!(log.contains("stage read: 0 emitted, 0 restarts"), "{log}");
}
