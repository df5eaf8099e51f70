//! A running pipeline is asked and told, by every verb and by plain HTTP.

mod support;

use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use support::{Folder, Run, command, process, wait_until};

const TICKS: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\n\
                     [stages.show]\nuse = 'format'\nwith = { template = 'old' }\ninput = 'a'\n";

/// Up: every worker has shown that it works.
fn up(text: &str) -> Run {
    let run = Run::start(text);
    run.wait_for_log("up after");
    run
}

fn json(run: &Run, arguments: &[&str]) -> Value {
    serde_json::from_str(&run.tell(arguments)).unwrap()
}

fn status(run: &Run) -> Value {
    json(run, &["status", "--json"])
}

/// Finds a stage, or a queue, by its name.
fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

/// The supervisors that `ps` shows; others may run beside this test.
fn pids(run: &Run) -> Vec<Value> {
    let all = json(run, &["ps", "--json"]);
    all.as_array().unwrap().iter().map(|one| one["pid"].clone()).collect()
}

#[track_caller]
fn refused(run: &Run, arguments: &[&str], code: i32, text: &str) {
    let said = run.ask(arguments);
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.stderr.contains(text), "{said:?}");
    assert_eq!(said.stdout, "");
}

/// Requests that lie there together: one is answered between two batches of starts, so each answer shows more workers.
#[test]
fn requests_are_answered_while_hundreds_of_workers_are_started() {
    const STAGES: usize = 400;
    let stage = |n: usize| {
        format!(
            "[stages.s{n}]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = 'q{n}'\n[stages.e{n}]\nuse = 'discard'\ninput = 'q{n}'\n"
        )
    };
    let run = Run::start(&(0..STAGES / 2).map(stage).collect::<String>());
    let connect = || UnixStream::connect(run.socket()).ok();
    let mut clients: Vec<UnixStream> = (0..10).map(|_| wait_until("a connection", connect)).collect();
    for client in &mut clients {
        client.write_all(b"GET /v1/status HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n").unwrap();
    }
    let started = |client: &mut UnixStream| {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let stages = status["stages"].as_array().unwrap();
        stages.iter().filter(|stage| stage["workers"][0]["pid"].is_u64()).count()
    };
    let mut seen: Vec<usize> = clients.iter_mut().map(started).collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.iter().filter(|&&started| started < STAGES).count() >= 3, "{seen:?}");
}

#[test]
fn status_tells_stages_workers_queues_and_that_all_is_well() {
    let run = up(TICKS);
    wait_until("items", || (run.lines().len() > 5).then_some(()));
    let seen = status(&run);
    assert_eq!((&seen["pipeline"], &seen["phase"]), (&"pipeline".into(), &"running".into()));
    assert_eq!(seen["pid"], run.pid());
    assert_eq!(seen["config"]["generation"], 1);
    let show = named(&seen["stages"], "show");
    assert_eq!((&show["processes"], &show["running"]), (&1.into(), &1.into()));
    assert_eq!(show["workers"][0]["pid"], run.worker("show"));
    assert!(show["totals"]["done"].as_u64().unwrap() > 5);
    assert!(show["rate"]["done"].as_f64().unwrap() > 1.0);
    let queue = named(&seen["queues"], "a");
    assert_eq!((&queue["readers"][0], &queue["writers"][0]), (&"show".into(), &"tick".into()));
    let text = run.tell(&["status"]);
    assert!(text.starts_with("pipeline: running, up ") && text.contains("\nshow "), "{text}");
    assert_eq!(run.tell(&["status", "--check"]), "pipeline: ok\n");
    assert!(pids(&run).contains(&run.pid().into()));
}

#[test]
fn scale_changes_the_number_of_processes_until_the_file_is_reloaded() {
    let run = up(TICKS);
    run.tell(&["scale", "show=4", "--wait"]);
    assert_eq!(run.workers("show").len(), 4);
    assert_eq!(status(&run)["config"]["changed"][0], "scale show=4");
    assert!(run.tell(&["plan"]).contains("processes: 4 -> 1"));
    run.tell(&["scale", "pipeline", "show=2", "--wait"]);
    assert_eq!(run.workers("show").len(), 2);
    run.tell(&["reload", "--wait"]);
    // It waits for all that is wanted; who leaves does so after its item.
    wait_until("the newest to leave", || (run.workers("show").len() == 1).then_some(()));
    refused(&run, &["scale", "shwo=2"], 2, "did you mean show?");
    refused(&run, &["scale", "show=0"], 2, "one process at least");
    refused(&run, &["scale", "show=9999"], 2, "more than");
    refused(&run, &["scale", "show"], 2, "STAGE=N");
}

#[test]
fn restart_replaces_every_worker_of_a_stage_and_loses_nothing() {
    let mut run = up("[stages.number]\nuse = 'count'\nwith = { from = 1, to = 1000000 }\noutput = 'a'\n\
                      [stages.pass]\nuse = 'filter'\nwith = { matches = '.' }\ninput = 'a'\noutput = 'b'\nprocesses = 3\n\
                      [stages.total]\nuse = 'sum'\ninput = 'b'\n");
    let before = run.workers("pass");
    let said = run.ask(&["restart", "pass", "--wait"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(run.workers("pass").iter().all(|pid| !before.contains(pid)));
    let sum: u64 = (1..=1_000_000).sum();
    assert_eq!(run.finish().last().unwrap(), &sum.to_string());
}

#[test]
fn a_restarted_stage_has_other_processes() {
    let run = up(TICKS);
    let before = run.workers("show");
    let said = json(&run, &["restart", "show", "--wait", "--json"]);
    assert_eq!(said["done"], "show: fresh workers take over, one by one");
    let after = run.workers("show");
    assert!(after.len() == 1 && after != before);
    assert_eq!(named(&status(&run)["stages"], "show")["restarts"]["requested"], 1);
    refused(&run, &["restart", "sow"], 2, "no stage sow");
}

#[test]
fn paused_workers_do_nothing_until_resume() {
    let run = up(TICKS);
    run.tell(&["pause", "show"]);
    let put = || named(&status(&run)["queues"], "a")["waiting"].as_u64().unwrap();
    wait_until("items that wait", || (put() > 10).then_some(()));
    let lines = run.lines().len();
    let waiting = put();
    wait_until("more that wait", || (put() > waiting + 10).then_some(()));
    assert_eq!(run.lines().len(), lines, "nothing is taken");
    assert!(run.tell(&["status"]).contains("paused"));
    run.tell(&["pause", "--wait"]);
    assert_eq!(named(&status(&run)["stages"], "tick")["workers"][0]["state"], "paused", "the source, too");
    run.tell(&["resume"]);
    wait_until("all to be worked off", || (run.lines().len() > lines + 50).then_some(()));
}

#[test]
fn a_pause_that_is_waited_for_is_over_only_with_the_last_item() {
    let run = up("[stages.number]\nuse = 'count'\noutput = ['a', 'b', 'c', 'd']\n\
                  [stages.own]\nuse = 'format'\nwith = { template = 'own' }\nprocesses = 3\ninput = 'a'\n\
                  [stages.stream]\ncommand = ['sed', '-u', 's/.*/stream/']\ninput = 'b'\n\
                  [stages.reply]\ncommand = ['sed', '-u', 's/.*/reply/']\nmode = 'reply'\ninput = 'c'\n\
                  [stages.each]\ncommand = ['sh', '-c', 'sleep 0.2; echo each']\nmode = 'each'\ninput = 'd'\n");
    wait_until("an item", || run.lines().contains(&"each".to_owned()).then_some(()));
    let ledgers = || status(&run)["queues"].clone();
    for verb in ["pause", "resume", "pause"] {
        assert!(run.tell(&[verb, "--wait"]).contains("all stages"));
        if verb == "resume" {
            continue;
        }
        let seen = status(&run);
        for stage in seen["stages"].as_array().unwrap() {
            let states = stage["workers"].as_array().unwrap().iter().map(|worker| &worker["state"]);
            assert!(states.clone().all(|state| state == "paused"), "{stage}");
        }
        // The source is at rest with its last items done, though there is no room for them.
        let before = ledgers();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(ledgers(), before, "nobody is at an item");
    }
}

#[test]
fn a_paused_pipeline_still_stops_and_works_off_its_items() {
    let mut run = up("[queues.a]\ncapacity = 1000\n\
                      [stages.number]\nuse = 'count'\nwith = { from = 1, to = 500 }\noutput = 'a'\n\
                      [stages.show]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1ms'\n");
    run.tell(&["pause", "show"]);
    wait_until("the source to finish", || {
        (named(&status(&run)["stages"], "number")["fate"] == "finished").then_some(())
    });
    run.tell(&["stop", "--wait"]);
    assert_eq!(run.finish().len(), 500);
}

#[test]
fn every_kind_of_program_can_be_paused() {
    let run = up(
        "[stages.number]\ncommand = \"i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done\"\noutput = ['a', 'b', 'c']\n\
                  [stages.stream]\ncommand = ['sed', '-u', 's/^/stream /']\ninput = 'a'\n\
                  [stages.reply]\ncommand = ['sed', '-u', 's/^/reply /']\nmode = 'reply'\ninput = 'b'\n\
                  [stages.each]\ncommand = ['echo', 'each', '{}']\nmode = 'each'\ninput = 'c'\n",
    );
    let count = |stage: &str| run.lines().iter().filter(|line| line.starts_with(stage)).count();
    let of_queue = |queue: &str, what: &str| named(&status(&run)["queues"], queue)[what].as_u64().unwrap();
    for (stage, queue) in [("stream", "a"), ("reply", "b"), ("each", "c")] {
        wait_until(stage, || (count(stage) > 3).then_some(()));
        run.tell(&["pause", stage, "--wait"]);
        let more_wait = || {
            let waiting = of_queue(queue, "waiting");
            wait_until("items that wait", || (of_queue(queue, "waiting") > waiting + 20).then_some(()));
        };
        more_wait(); // a stream's program may be about to say something still
        let quiet = count(stage);
        more_wait();
        assert_eq!(count(stage), quiet, "{stage}");
        run.tell(&["resume", stage]);
        wait_until(stage, || (count(stage) > quiet + 3).then_some(()));
    }
    run.tell(&["pause", "number", "--wait"]);
    let put = of_queue("a", "put");
    wait_until("all to be worked off", || {
        let left = |queue| of_queue(queue, "waiting") + of_queue(queue, "leased");
        ["a", "b", "c"].into_iter().all(|queue| left(queue) == 0).then_some(())
    });
    assert_eq!(of_queue("a", "put"), put, "the source is quiet");
    run.tell(&["resume", "number"]);
    wait_until("more", || (of_queue("a", "put") > put + 3).then_some(()));
}

#[test]
fn plan_and_reload_say_what_changes_and_what_is_wrong() {
    let run = Run::start_with(TICKS, &["--no-watch"]);
    run.wait_for_log("up after");
    assert_eq!(run.tell(&["plan"]), "nothing to do: the pipeline runs as the file says\n");
    run.edit(&TICKS.replace("'old'", "'new'"));
    assert!(run.tell(&["plan"]).contains("stage show: replace workers one by one"));
    run.folder.file("other.toml", &format!("{TICKS}processes = 3\n"));
    assert_eq!(
        json(&run, &["plan", "other.toml", "--json"])["steps"][0],
        "stage show: add 2 workers (processes: 1 -> 3)"
    );
    let said = run.tell(&["reload", "--wait"]);
    assert!(said.starts_with("reloaded\n  stage show: replace"), "{said}");
    assert_eq!(status(&run)["config"]["generation"], 2);
    assert!(run.tell(&["reload"]).contains("nothing to do"));
    run.edit(&TICKS.replace("template", "tempalte"));
    refused(&run, &["reload"], 2, "tempalte");
    refused(&run, &["plan"], 2, "tempalte");
    assert_eq!(status(&run)["config"]["state"], "refused");
    assert_eq!(run.ask(&["status", "--check"]).code, Some(1));
    run.edit(&format!("name = 'other'\n{TICKS}"));
    refused(&run, &["reload", "--wait"], 2, "needs a restart");
    run.edit(TICKS);
    run.tell(&["reload", "--wait"]);
    assert_eq!(status(&run)["config"]["state"], "current");
}

#[test]
fn a_reload_that_does_not_work_is_answered_with_the_cause() {
    let run = Run::start_with(TICKS, &["--no-watch"]);
    run.wait_for_log("up after");
    run.edit(&TICKS.replace(
        "use = 'format'\nwith = { template = 'old' }",
        "use = 'file'\nwith = { path = 'no/such/folder' }",
    ));
    refused(&run, &["reload", "--wait"], 1, "no/such/folder");
}

#[test]
fn drain_works_everything_off_however_long_it_takes() {
    drains_all("");
}

#[test]
fn drain_works_off_what_a_stop_would_keep() {
    drains_all("durable = true\n");
}

fn drains_all(of_queue: &str) {
    let mut run = up(&format!(
        "drain_timeout = '1ms'\n[queues.a]\ncapacity = 300\n{of_queue}\
                      [stages.number]\nuse = 'count'\nwith = {{ from = 1 }}\noutput = 'a'\n\
                      [stages.slow]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\nsleep = '2ms'\n"
    ));
    wait_until("items that wait", || {
        named(&status(&run)["queues"], "a")["waiting"].as_u64().filter(|&waiting| waiting > 10)
    });
    run.tell(&["drain", "--wait"]);
    assert_ne!(process::state(run.pid()), Some('S'), "it is over when the verb is");
    let lines = run.finish();
    let numbers: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
    assert!(!run.stderr().contains("left waiting"), "{}", run.stderr());
}

#[test]
fn who_waits_for_the_end_gets_the_exit_code_of_the_run() {
    let failing = |end: &str| {
        format!(
            "[queues.a]\ncapacity = 10\n[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 3 }}\noutput = 'a'\n\
             [stages.try]\ncommand = '{end}'\nmode = 'each'\nattempts = 1\nwhen_failing = 'dead-letter'\ninput = 'a'\n"
        )
    };
    for (verb, end, expected) in [("drain", "exit 0", 0), ("drain", "exit 5", 3), ("stop", "exit 5", 3)] {
        let mut run = up(&failing(&format!("while [ ! -e go ]; do sleep 0.05; done; {end}")));
        let mut wait = command(&run.folder);
        let waits = wait.args([verb, "--wait"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the end to be asked for", || (status(&run)["phase"] == "draining").then_some(()));
        run.folder.file("go", "");
        assert_eq!(waits.wait_with_output().unwrap().status.code(), Some(expected), "{}", run.stderr());
        assert_eq!(run.wait(), expected, "{}", run.stderr());
    }
    let mut run = up(&failing("sleep 100"));
    let mut wait = command(&run.folder);
    let waits = wait.args(["drain", "--wait"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the end to be asked for", || (status(&run)["phase"] == "draining").then_some(()));
    run.signal(libc::SIGKILL);
    let output = waits.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("its mprun was killed"), "{said}");
    run.wait();
}

#[test]
fn stop_now_does_not_wait_for_anything() {
    let mut run = up(
        "[queues.a]\ncapacity = 10\n[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n\
                      [stages.slow]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1h'\n",
    );
    run.tell(&["stop", "--now", "--wait"]);
    assert_eq!(run.wait(), 0);
    assert!(!run.socket().exists(), "nothing stays behind");
}

#[test]
fn audit_says_that_every_item_is_accounted_for() {
    let run = up(TICKS);
    let audit = json(&run, &["audit", "--json"]);
    assert_eq!(audit["ok"], true);
    let queue = named(&audit["queues"], "a");
    let sum: u64 =
        ["done", "waiting", "leased", "dropped", "dead"].iter().map(|key| queue[key].as_u64().unwrap()).sum();
    assert_eq!(queue["put"].as_u64().unwrap(), sum);
    assert!(run.tell(&["audit"]).ends_with("every item is accounted for\n"));
}

#[test]
fn a_second_run_of_the_same_pipeline_is_refused_with_the_pid_of_the_first() {
    let run = up(TICKS);
    let said = run.ask(&["run", "pipeline.toml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains(&format!("process {}", run.pid())), "{said:?}");
    assert!(said.stderr.contains("runs already"), "{said:?}");
    run.tell(&["status"]);
}

/// From cron, or after `su`, there is another runtime folder than in a session.
#[test]
fn a_run_is_found_and_refuses_a_second_one_whatever_the_runtime_folder_is() {
    for control in ["", "[control]\nenabled = false\n"] {
        let run = up(&format!("{TICKS}{control}"));
        let elsewhere = |arguments: &[&str]| {
            let mut command = command(&run.folder);
            command.args(arguments).env("XDG_RUNTIME_DIR", run.folder.path().join("elsewhere"));
            command.output().unwrap()
        };
        let second = elsewhere(&["run", "pipeline.toml"]);
        let said = String::from_utf8_lossy(&second.stderr);
        let first = format!("this pipeline runs already: process {} runs", run.pid());
        assert!(second.status.code() == Some(1) && said.contains(&first), "{said}");
        let seen = elsewhere(&["status", "pipeline.toml"]);
        assert_eq!(seen.status.code(), Some(if control.is_empty() { 0 } else { 1 }), "{seen:?}");
        let locks = run.folder.path().join("state/mprun/.runs");
        assert_eq!(std::fs::read_dir(&locks).unwrap().count(), 1);
        let folder = run.folder.path().to_owned();
        let mut run = run;
        run.signal(libc::SIGTERM);
        assert_eq!(run.wait(), 0);
        assert_eq!(std::fs::read_dir(folder.join("state/mprun/.runs")).unwrap().count(), 0);
    }
}

/// A state folder makes a machine: two of them may have the file.
#[test]
fn runs_with_other_state_folders_are_side_by_side() {
    let run = up(TICKS);
    let mut second = command(&run.folder);
    second.args(["run", "pipeline.toml"]).stdout(std::process::Stdio::null());
    second.env("XDG_RUNTIME_DIR", run.folder.path().join("elsewhere"));
    second.env("XDG_STATE_HOME", run.folder.path().join("other"));
    let mut second = second.stderr(std::process::Stdio::null()).spawn().unwrap();
    let socket = run.folder.path().join("elsewhere/mprun/pipeline.sock");
    let socket = socket.to_str().unwrap();
    wait_until("the second to answer", || {
        (run.ask(&["status", "--socket", socket]).code == Some(0)).then_some(())
    });
    run.tell(&["stop", "--socket", socket, "--now", "--wait"]);
    assert_eq!(second.wait().unwrap().code(), Some(0));
    run.tell(&["status", "pipeline.toml"]);
}

#[test]
fn of_many_that_start_together_one_runs() {
    let folder = Folder::new();
    folder.file("pipeline.toml", TICKS);
    let start = || {
        let mut command = command(&folder);
        command.args(["run", "pipeline.toml"]).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut all: Vec<_> = (0..8).map(|_| start()).collect();
    wait_until("all but one to be refused", || {
        let refused = all.iter_mut().map(|run| run.try_wait().unwrap().is_some_and(|s| s.code() == Some(1)));
        (refused.filter(|is| *is).count() == 7).then_some(())
    });
    let last = all.into_iter().find_map(|mut run| run.try_wait().unwrap().is_none().then_some(run)).unwrap();
    drop(Run::adopt(folder, last));
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let mut run = up(TICKS);
    run.signal(libc::SIGKILL);
    run.wait();
    assert!(run.socket().exists());
    assert_eq!(run.ask(&["status", "pipeline.toml"]).code, Some(1));
    let mut command = command(&run.folder);
    command.args(["run", "pipeline.toml"]).stdout(std::process::Stdio::null());
    let mut second = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the second run to answer", || {
        let said = run.ask(&["status", "pipeline.toml", "--json"]);
        let seen: Option<Value> = serde_json::from_str(&said.stdout).ok();
        seen.filter(|seen| seen["pid"] == second.id() && seen["phase"] == "running")
    });
    run.tell(&["stop", "--now", "--wait"]);
    assert_eq!(second.wait().unwrap().code(), Some(0));
}

#[test]
fn two_pipelines_of_one_name_are_told_apart() {
    let run = up(TICKS);
    run.folder.file("other/pipeline.toml", TICKS);
    let mut command = command(&run.folder);
    command.args(["run", "other/pipeline.toml"]).stdout(std::process::Stdio::null());
    let mut second = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_until("both to answer", || pids(&run).contains(&second.id().into()).then_some(()));
    refused(&run, &["status"], 2, "several pipelines run");
    refused(&run, &["status", "pipeline"], 2, "several pipelines run");
    let name = format!("pipeline-{}", second.id());
    assert_eq!(json(&run, &["status", &name, "--json"])["pid"], second.id());
    assert_eq!(json(&run, &["status", "pipeline.toml", "--json"])["pid"], run.pid());
    run.tell(&["stop", "other/pipeline.toml", "--now", "--wait"]);
    assert_eq!(second.wait().unwrap().code(), Some(0));
    run.tell(&["status"]);
}

#[test]
fn the_file_decides_where_the_socket_is_and_whether_there_is_one() {
    let run = up(&format!("{TICKS}[control]\nsocket = 'mine.sock'\n"));
    assert!(run.folder.path().join("mine.sock").exists());
    run.tell(&["status"]);
    run.tell(&["status", "--socket", "mine.sock"]);
    run.edit(&format!("{TICKS}[control]\nsocket = 'yours.sock'\n"));
    run.wait_for_log("`[control]` has another `socket` or `enabled`, which needs a restart");
    drop(run);
    let run = up(&format!("{TICKS}[control]\nenabled = false\n"));
    assert!(!run.folder.path().join("run").exists());
    refused(&run, &["status", "pipeline.toml"], 1, "no pipeline \"pipeline.toml\" runs here");
}

#[test]
fn without_a_runtime_folder_it_runs_all_the_same() {
    let folder = Folder::new();
    folder.file("pipeline.toml", TICKS);
    folder.file("run", "a file in the way");
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml"]).env("XDG_RUNTIME_DIR", folder.path().join("run"));
    let mut run = Run::of(folder, command);
    run.wait_for_log("up after");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}
