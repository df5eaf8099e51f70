//! `schedule`: programs that are started by the clock.

mod support;

use support::{Folder, Run, command, wait_until};

const EACH_SECOND: &str = "schedule = '* * * * * *'\n";

#[test]
fn a_source_is_started_again_and_again_and_its_queue_does_not_end() {
    let mut run = Run::start(&format!(
        "[stages.ask]\ncommand = 'date +%s'\n{EACH_SECOND}output = 'q'\n\
         [stages.show]\nuse = 'format'\nwith = {{ template = 'at {{item}}' }}\ninput = 'q'\n"
    ));
    wait_until("three runs", || (run.lines().len() >= 3).then_some(()));
    let shower = run.workers("show");
    let seconds: Vec<u64> =
        run.lines().iter().filter_map(|line| line.strip_prefix("at ")?.parse().ok()).collect();
    assert!(seconds.windows(2).all(|two| two[0] < two[1]), "never two runs in a second: {seconds:?}");
    assert_eq!(run.workers("show"), shower);
    run.tell(&["stop"]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_run_that_fails_is_logged_and_the_next_one_comes() {
    let mut run = Run::start(&format!(
        "[stages.s]\ncommand = 'echo ran; exit 3'\n{EACH_SECOND}give_up = {{ restarts = 0 }}\n"
    ));
    wait_until("three runs", || (run.lines().len() >= 3).then_some(()));
    run.wait_for_log("exit code 3");
    assert!(run.stderr().contains("the next run comes at its time"), "{}", run.stderr());
    run.tell(&["stop"]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_run_that_fails_is_shown_until_one_ends_well() {
    let run = Run::start("[stages.s]\ncommand = 'test -e good || exit 3'\nschedule = '0 0 1 1 *'\n");
    run.wait_for_log("up after");
    assert_eq!(run.ask(&["status", "--check"]).code, Some(0));
    run.tell(&["restart", "s"]);
    run.wait_for_log("the next run comes at its time");
    let status = run.tell(&["status"]);
    let row = status.lines().find(|line| line.starts_with("s ")).unwrap_or_default();
    assert!(row.contains("failing") && row.contains("0/1"), "{status}");
    assert!(status.contains("s runs next at 2"), "{status}");
    let check = run.ask(&["status", "--check"]);
    let why = "the stage s is failing (for ";
    let end = "now): its last run failed: it ended with exit code 3";
    assert!(check.stdout.contains(why) && check.stdout.contains(end), "{check:?}");
    assert_eq!(check.code, Some(1));
    assert!(run.tell(&["why", "s"]).contains(end));
    run.folder.file("good", "");
    run.tell(&["restart", "s"]);
    wait_until("a good end", || (run.ask(&["status", "--check"]).code == Some(0)).then_some(()));
    assert!(run.tell(&["status"]).contains("scheduled"));
}

#[test]
fn a_killed_run_is_followed_by_the_next_and_a_killed_supervisor_leaves_none() {
    let run = Run::start(&format!("[stages.s]\ncommand = 'echo ran; exec sleep 1000'\n{EACH_SECOND}"));
    wait_until("a run", || (run.lines().len() == 1).then_some(()));
    support::process::kill(run.worker("s"), libc::SIGKILL);
    wait_until("the next run", || (run.lines().len() >= 2).then_some(()));
}

#[test]
fn the_status_shows_the_next_time_and_a_restart_is_a_run_at_once() {
    let run = Run::start("[stages.s]\ncommand = 'echo ran'\nschedule = '0 0 1 1 *'\n");
    run.wait_for_log("up after");
    let status = run.tell(&["status"]);
    assert!(status.contains("s runs next at 2") && status.contains("-01-01 00:00:00, in "), "{status}");
    assert!(status.contains("scheduled"), "{status}");
    assert_eq!(run.ask(&["status", "--check"]).code, Some(0));
    assert!(run.lines().is_empty());
    run.tell(&["restart", "s"]);
    wait_until("a run", || (run.lines() == ["ran"]).then_some(()));
    wait_until("the wait for the next one", || run.tell(&["status"]).contains("scheduled").then_some(()));
}

#[test]
fn times_are_those_of_the_zone() {
    for (zone, hour) in [("UTC0", "00"), ("XST-5", "00")] {
        let folder = Folder::new();
        folder.file("pipeline.toml", "[stages.s]\ncommand = 'true'\nschedule = '0 0 1 1 *'\n");
        let mut mprun = command(&folder);
        mprun.args(["run", "pipeline.toml"]).env("TZ", zone);
        let run = Run::of(folder, mprun);
        run.wait_for_log("up after");
        let left = |status: &str| -> f64 {
            let status: serde_json::Value = serde_json::from_str(status).unwrap();
            status["stages"][0]["workers"][0]["until"].as_f64().unwrap()
        };
        let left = left(&run.tell(&["status", "--json"]));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let offset = if zone == "UTC0" { 0.0 } else { 5.0 * 3600.0 };
        let of_day = (now + left + offset).rem_euclid(86_400.0);
        assert!(!(5.0..=86_395.0).contains(&of_day), "{zone}: at {of_day} s of the day, not at {hour}:00");
    }
}
