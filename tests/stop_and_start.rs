//! One stage is stopped by hand and started again; and what a program is asked by to stop.

mod support;

use support::{Run, process, wait_until};

fn state(run: &Run, stage: &str) -> String {
    let status: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    let stages = status["stages"].as_array().unwrap();
    let stage = stages.iter().find(|found| found["name"] == stage).unwrap();
    stage["fate"].as_str().unwrap().to_owned()
}

fn done(run: &Run, queue: &str) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    let queues = status["queues"].as_array().unwrap();
    queues.iter().find(|found| found["name"] == queue).unwrap()["done"].as_u64().unwrap()
}

const SERVICES: &str = "[stages.web]\ncommand = ['sleep', '1000']\nprocesses = 2\nrestart = 'always'\n\
                        [stages.db]\ncommand = ['sleep', '1000']\n";

#[test]
fn a_stopped_service_stays_away_over_a_reload_and_the_others_run_on() {
    let mut run = Run::start(SERVICES);
    run.wait_for_log("up after");
    let (web, db) = (run.workers("web"), run.workers("db"));
    let said = run.tell(&["stop", "pipeline.toml", "web", "--wait"]);
    assert!(said.contains("mprun start"), "{said}");
    assert!(web.iter().all(|pid| !process::is_alive(*pid)) && process::is_alive(db[0]));
    assert_eq!((state(&run, "web").as_str(), state(&run, "db").as_str()), ("stopped", "wanted"));
    run.edit(&SERVICES.replace("processes = 2", "processes = 3"));
    run.wait_for_log("reloaded");
    assert_eq!((run.workers("web").len(), run.workers("db")), (0, db));
    run.tell(&["start", "pipeline.toml", "web", "--wait"]);
    assert_eq!((run.workers("web").len(), state(&run, "web").as_str()), (3, "wanted"));
    assert!(run.tell(&["start", "pipeline.toml", "web"]).contains("was not stopped"));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn without_autostart_a_service_waits_for_its_start_and_keeps_running_under_the_next_program() {
    let mut run = Run::start(&format!("{SERVICES}autostart = false\n"));
    run.wait_for_log("up after");
    assert_eq!((run.workers("web").len(), run.workers("db").len()), (2, 0));
    assert!(run.tell(&["why", "pipeline.toml", "db"]).contains("it is stopped: `mprun start pipeline db`"));
    assert!(run.tell(&["status", "--check"]).contains("ok"));
    assert!(run.tell(&["start", "pipeline.toml", "db", "--wait"]).contains("db: it runs\n"));
    let db = run.workers("db");
    assert_eq!(db.len(), 1);
    let said = run.tell(&["upgrade", "pipeline.toml"]);
    assert!(said.contains("with 3 processes as they were"), "{said}");
    assert_eq!(run.workers("db"), db);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_service_that_was_never_started_is_stopped_while_the_run_ends_too() {
    let text = "[stages.held]\ncommand = ['sleep', '1000']\nautostart = false\n\
                [stages.slow]\ncommand = 'trap \"while [ ! -e go ]; do sleep 0.05; done; exit\" TERM; echo up >&2; while :; do sleep 0.05; done'\n\
                stop_timeout = '60s'\n";
    let mut run = Run::start(text);
    run.wait_for_log("slow[0] up");
    run.signal(libc::SIGTERM);
    let phase = || -> serde_json::Value { serde_json::from_str(&run.tell(&["status", "--json"])).unwrap() };
    wait_until("the drain", || (phase()["phase"] == "draining").then_some(()));
    assert_eq!(state(&run, "held"), "stopped");
    run.folder.file("go", "");
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_service_that_is_started_before_it_has_ended_runs_again_and_its_restart_is_counted() {
    let mut run = Run::start(
        "[stages.web]\ncommand = \"trap '' TERM; echo up; while :; do sleep 0.05; done\"\nstop_timeout = '300ms'\n\
         [stages.once]\ncommand = 'echo once'\n",
    );
    wait_until("its line", || (run.lines().iter().any(|line| line == "up")).then_some(()));
    let first = run.workers("web");
    run.tell(&["stop", "pipeline.toml", "web"]);
    run.tell(&["start", "pipeline.toml", "web", "--wait"]);
    let second = run.workers("web");
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}\n{}", run.stderr());
    wait_until("the other's end", || (state(&run, "once") == "finished").then_some(()));
    run.tell(&["start", "pipeline.toml", "once"]);
    wait_until("a second run", || {
        (run.lines().iter().filter(|line| *line == "once").count() == 2).then_some(())
    });
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
    assert!(run.stderr().contains("service web: 1 restart"), "{}", run.stderr());
}

#[test]
fn the_items_of_a_stopped_stage_wait_and_the_run_does_not_end_without_it() {
    let mut run = Run::start(
        "[stages.n]\nuse = 'count'\nwith.to = 500\noutput = 'q'\nsleep = '1ms'\n\
         [stages.work]\ncommand = 'cat'\nmode = 'reply'\ninput = 'q'\noutput = 'r'\nprocesses = 2\n\
         [stages.end]\nuse = 'format'\ninput = 'r'\nwith.template = '{item}'\n",
    );
    run.wait_for_log("up after");
    wait_until("some items", || (done(&run, "q") > 20).then_some(()));
    run.tell(&["stop", "pipeline.toml", "work", "--wait"]);
    let stopped_at = done(&run, "q");
    wait_until("the source to be through", || (state(&run, "n") == "finished").then_some(()));
    assert_eq!((done(&run, "q"), state(&run, "work").as_str()), (stopped_at, "stopped"));
    assert!(run.ask(&["restart", "pipeline.toml", "work"]).stderr.contains("mprun start"));
    run.tell(&["start", "pipeline.toml", "work"]);
    assert_eq!(run.wait(), 0);
    let mut lines: Vec<u32> = run.lines().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=500).collect::<Vec<_>>());
}

#[test]
fn a_stage_that_is_stopped_is_no_reason_for_the_run_not_to_stop() {
    let mut run = Run::start(SERVICES);
    run.wait_for_log("up after");
    run.tell(&["stop", "pipeline.toml", "web", "--wait"]);
    assert_eq!(run.ask(&["stop", "pipeline.toml", "web", "--now"]).code, Some(2));
    assert_eq!(run.ask(&["stop", "pipeline.toml", "wbe"]).code, Some(2));
    run.tell(&["stop", "pipeline.toml", "--wait"]);
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_stopped_stage_is_stopped_under_the_next_program_too() {
    let mut run = Run::start(SERVICES);
    run.wait_for_log("up after");
    run.tell(&["stop", "pipeline.toml", "web", "--wait"]);
    run.tell(&["upgrade", "pipeline.toml", "--wait"]);
    assert_eq!((state(&run, "web").as_str(), run.workers("web").len()), ("stopped", 0));
    run.tell(&["start", "pipeline.toml", "web", "--wait"]);
    assert_eq!(run.workers("web").len(), 2);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_program_is_asked_to_stop_by_its_signal_with_items_and_without() {
    let says = "trap 'echo INT; kill $!; exit 0' INT; trap 'echo TERM; kill $!; exit 0' TERM; echo up; sleep 1000 & wait";
    let mut run = Run::start(&format!(
        "[stages.service]\ncommand = \"\"\"{says}\"\"\"\nstop_signal = 'INT'\n\
         [stages.source]\ncommand = \"\"\"{says}\"\"\"\nstop_signal = 'SIGINT'\noutput = 'q'\n\
         [stages.plain]\ncommand = \"\"\"{says}\"\"\"\n\
         [stages.show]\nuse = 'format'\ninput = 'q'\nwith.template = 'source {{item}}'\n",
    ));
    wait_until("all three", || {
        (run.lines().iter().filter(|line| line.ends_with("up")).count() == 3).then_some(())
    });
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
    let mut lines = run.lines();
    lines.sort();
    assert_eq!(lines, ["INT", "TERM", "source INT", "source up", "up", "up"]);
}

#[test]
fn a_real_time_signal_can_ask_a_program_to_stop() {
    let number = libc::SIGRTMIN() + 3;
    let says = format!("trap 'echo asked; kill $!; exit 0' {number}; echo up; sleep 1000 & wait");
    let mut run =
        Run::start(&format!("[stages.s]\ncommand = \"\"\"{says}\"\"\"\nstop_signal = 'SIGRTMIN+3'\n"));
    wait_until("it to be up", || (run.lines() == ["up"]).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
    assert_eq!(run.lines(), ["up", "asked"]);
}

#[test]
fn a_paused_service_is_restarted_but_runs_nothing_until_it_is_resumed() {
    let mut run = Run::start(SERVICES);
    run.wait_for_log("up after");
    run.tell(&["pause", "pipeline.toml", "web", "--wait"]);
    let before = run.workers("web");
    let said = run.tell(&["restart", "pipeline.toml", "web", "--wait"]);
    assert!(said.contains("lets it start"), "{said}");
    assert_eq!(run.workers("web"), [0; 0]);
    run.tell(&["resume", "pipeline.toml", "web"]);
    let after = wait_until("both to run", || Some(run.workers("web")).filter(|all| all.len() == 2));
    assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_stage_that_is_started_while_its_processes_still_end_loses_no_items() {
    let mut run = Run::start(
        "[stages.n]\nuse = 'count'\nwith.to = 300\noutput = 'q'\nsleep = '1ms'\n[queues.q]\ncapacity = 2\n\
         [stages.work]\ncommand = 'cat'\nmode = 'reply'\ninput = 'q'\noutput = 'r'\nprocesses = 3\nrate = '1000/s'\n\
         [stages.end]\nuse = 'format'\ninput = 'r'\nwith.template = '{item}'\n",
    );
    run.wait_for_log("up after");
    for _ in 0..8 {
        // The run may be through before.
        run.ask(&["stop", "pipeline.toml", "work"]);
        run.ask(&["start", "pipeline.toml", "work"]);
    }
    assert_eq!(run.wait(), 0);
    let mut lines: Vec<u32> = run.lines().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=300).collect::<Vec<_>>());
}
