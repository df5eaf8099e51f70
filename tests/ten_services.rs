//! A graph of ten services with checks (`fixtures/ten_services.toml`): slow to start, noisy, killed, hung, sick; and the
//! same under a real systemd (`systemd/services.sh`).

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use support::{Folder, Run, command, process, project, wait_until};

const STAGES: [&str; 10] = ["web", "api", "db", "cache", "bus", "mail", "noisy", "search", "cron", "gate"];
/// Who comes after whom.
const ORDER: [(&str, &str); 10] = [
    ("api", "db"),
    ("api", "cache"),
    ("search", "db"),
    ("mail", "bus"),
    ("mail", "noisy"),
    ("web", "api"),
    ("web", "mail"),
    ("cron", "web"),
    ("cron", "search"),
    ("gate", "cron"),
];

fn start() -> Run {
    let folder = Folder::new();
    let text = std::fs::read_to_string(project().join("tests/fixtures/ten_services.toml")).unwrap();
    folder.file("pipeline.toml", &text);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml", "-v"]).env("PORT", free.to_string());
    Run::of(folder, command)
}

fn pids(run: &Run) -> BTreeMap<&'static str, Vec<u32>> {
    STAGES.into_iter().map(|stage| (stage, run.workers(stage))).collect()
}

/// Which stages have other processes than before. They are all well again.
fn changed(run: &Run, before: &BTreeMap<&'static str, Vec<u32>>) -> Vec<&'static str> {
    wait_until(&format!("all to be well: {}", run.stderr()), || {
        (run.ask(&["status", "--check"]).code == Some(0)).then_some(())
    });
    let now = pids(run);
    STAGES.into_iter().filter(|stage| now[stage] != before[stage]).collect()
}

fn state(run: &Run, stage: &str) -> String {
    let status: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    let stages = status["stages"].as_array().unwrap();
    let found = stages.iter().find(|found| found["name"] == stage).unwrap();
    found["workers"][0]["check"]["state"].as_str().unwrap_or_default().to_owned()
}

/// The first place in the log.
fn place(log: &str, text: &str) -> usize {
    log.find(text).unwrap_or_else(|| panic!("no {text:?} in {log}"))
}

#[test]
fn ten_services_that_need_each_other_live_through_all_of_it() {
    let mut run = start();
    run.wait_for_log("up after");
    let log = run.stderr();
    for (later, earlier) in ORDER {
        let (later, earlier) = (format!("{later}[0] starts: "), format!("{earlier}[0] starts: "));
        assert!(place(&log, &later) > place(&log, &earlier), "{later} before {earlier}: {log}");
    }
    assert!(place(&log, "api[0] starts: ") > place(&log, "db[0] is ready after "), "{log}");
    run.tell(&["status", "--check"]);
    let first = pids(&run);
    let check =
        process::children(run.pid()).into_iter().find(|pid| process::command_line(*pid).contains("__check"));

    // Killed: it comes back, and the others do not notice.
    process::kill(first["cache"][0], libc::SIGKILL);
    run.wait_for_log("cache[0] is ready after");
    wait_until("another cache", || (run.workers("cache") != first["cache"]).then_some(()));
    assert_eq!(changed(&run, &first), ["cache"]);

    // Hung: it is alive, and answers nobody.
    let before = pids(&run);
    process::kill(before["db"][0], libc::SIGSTOP);
    run.wait_for_log(": it was unhealthy, 3 checks in a row failed: http://127.0.0.1:");
    assert_eq!(changed(&run, &before), ["db"]);
    wait_until("it is healthy", || (state(&run, "db") == "healthy").then_some(()));

    // Sick: one process of two says so.
    let before = pids(&run);
    let sick = run.folder.file("sick-api-1", "");
    run.wait_for_log(": it was unhealthy, 2 checks in a row failed");
    std::fs::remove_file(sick).unwrap();
    assert_eq!(changed(&run, &before), ["api"]);
    let both = [before["api"].clone(), run.workers("api")].concat();
    assert_eq!(both.iter().filter(|pid| both.iter().filter(|other| other == pid).count() == 2).count(), 2);
    assert!(run.tell(&["why", "pipeline.toml", "api"]).contains("the one before it was unhealthy"));

    // The helper that looks at them: killed.
    let before = pids(&run);
    process::kill(check.expect("a helper"), libc::SIGKILL);

    // Noisy: a gigabyte of standard error holds up nobody, and is no reason for anything.
    wait_until("the end of the noise", || run.lines().contains(&"through".to_owned()).then_some(()));
    run.wait_for_log("lines are left out of the log: it writes too fast");
    assert_eq!(changed(&run, &before), [""; 0]);

    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let log = run.stderr();
    for (later, earlier) in ORDER {
        let end = |stage: &str| place(&log, &format!("{stage}[0] is terminated: the pipeline stops"));
        assert!(end(later) < end(earlier), "{earlier} ended before {later}: {log}");
    }
}
