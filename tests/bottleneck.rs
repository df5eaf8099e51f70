//! Pipelines with a known bottleneck: it is named, whatever its shape.

mod support;

use std::fs::OpenOptions;
use std::process::Stdio;
use support::{Folder, Run, command, wait_until};

/// What the running pipeline says of its bottleneck.
fn bottleneck(run: &Run) -> Option<serde_json::Value> {
    let output = command(&run.folder).args(["status", "--json"]).output().unwrap();
    let snapshot: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(snapshot["bottleneck"].clone())
}

/// Waits until it is this one.
#[track_caller]
fn wait_for(run: &Run, limit: &str, stage: &str) -> serde_json::Value {
    wait_for_more(run, limit, stage, |_| true)
}

/// Waits until it is this one and more holds: on a machine that others keep busy, that may be the answer for a while.
#[track_caller]
fn wait_for_more(
    run: &Run,
    limit: &str,
    stage: &str,
    more: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    let mut last = None;
    let found = wait_until(&format!("{limit} of {stage}, and more"), || {
        last = bottleneck(run);
        let found = last.clone()?;
        (found["limit"] == limit && found["stage"] == stage && more(&found)).then_some(found)
    });
    assert!(found["text"].as_str().unwrap().contains(stage), "{found:#}");
    found
}

const SLOW: &str = "command = ['sh', '-c', 'sleep 0.02; cat']\nmode = 'each'\n";

const PASS: &str = "use = 'format'\nwith = { template = '{item}' }\n";

fn chain(source: &str, middle: &str, last: &str) -> String {
    let source = if source.is_empty() { "use = 'repeat'\nwith = { text = 'x' }\n" } else { source };
    let fast = |own: &str, usual: &str| if own.is_empty() { usual.to_owned() } else { own.to_owned() };
    let (middle, last) = (fast(middle, PASS), fast(last, "use = 'discard'\n"));
    format!(
        "[queues.a]\ncapacity = 50\n[queues.b]\ncapacity = 50\n[stages.in]\n{source}output = 'a'\n\
         [stages.mid]\n{middle}input = 'a'\noutput = 'b'\n[stages.out]\n{last}input = 'b'\n"
    )
}

#[test]
fn a_first_look_is_about_now_and_not_about_a_slow_start() {
    let folder = Folder::new();
    let log = folder.file("in.log", "");
    let text = chain(
        "use = 'lines'\nwith = { path = 'in.log', follow = true }\n",
        "command = 'while read x; do sleep 0.1; echo $x >> seen; echo $x; done'\nmode = 'reply'\n",
        "",
    );
    folder.file("pipeline.toml", &text);
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    // An idle time is what the test is about, and a look at the run would be the first look.
    std::thread::sleep(std::time::Duration::from_secs(2));
    std::fs::write(&log, "x\n".repeat(200)).unwrap();
    let seen = run.folder.path().join("seen");
    let lines = || std::fs::read_to_string(&seen).unwrap_or_default().lines().count();
    wait_until("some items", || (lines() > 10).then_some(()));
    for verb in ["status", "why"] {
        let said = run.tell(&[verb]);
        assert!(said.contains("mid is the bottleneck"), "{verb}: {said}");
    }
}

#[test]
fn a_slow_middle() {
    let run = Run::start(&chain("", SLOW, ""));
    wait_for(&run, "work", "mid");
    wait_until("it to be at work nearly all the time", || {
        bottleneck(&run).filter(|found| found["share"].as_f64().is_some_and(|share| share > 0.8))
    });
    for verb in ["why", "status"] {
        wait_until(&format!("{verb} to say so"), || {
            let said = command(&run.folder).arg(verb).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            said.contains("mid is the bottleneck: it is at work ").then_some(())
        });
    }
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
}

#[test]
fn a_slow_end() {
    let run = Run::start(&chain("", "", &SLOW.replace("; cat", "")));
    wait_for(&run, "work", "out");
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
}

#[test]
fn a_slow_source() {
    let run = Run::start(&chain("command = 'while :; do echo x; sleep 0.02; done'\n", "", ""));
    wait_for_more(&run, "work", "in", |found| {
        found["one_more"] == 0.0 && found["no_more_because"] == "own-program"
    });
    run.signal(libc::SIGINT);
}

/// Its beat is no pause that the file asks of each process: two of them would tick no faster.
#[test]
fn a_clock() {
    let run = Run::start(&chain("use = 'tick'\nwith = { every = '20ms' }\n", "", ""));
    let found = wait_for(&run, "input", "in");
    assert_eq!(found["one_more"], 0.0, "{found:#}");
    run.signal(libc::SIGINT);
}

#[test]
fn a_stage_that_sleeps_as_it_is_told() {
    let run = Run::start(&chain("", "use = 'format'\nwith = { template = '{item}' }\nsleep = '20ms'\n", ""));
    wait_for_more(&run, "pauses", "mid", |found| found["one_more"].as_f64().unwrap() > 0.9);
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
}

#[test]
fn all_cpus_busy_so_that_more_processes_are_no_help() {
    // More processes than CPUs, all of which compute as long as they may.
    let busy = "command = ['sh', '-c', 'n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; cat']\nmode = 'each'\nprocesses = 4\n";
    let run = Run::start(&chain("", busy, ""));
    let found = wait_for(&run, "work", "mid");
    let cpus = std::thread::available_parallelism().unwrap().get();
    if cpus <= 4 {
        let found = wait_until("the CPUs to be the reason", || {
            bottleneck(&run).filter(|found| found["no_more_because"] == "cpus-busy")
        });
        assert!(found["text"].as_str().unwrap().contains("busy"), "{found:#}");
    } else {
        println!("{cpus} CPUs are too many for this: {found:#}");
    }
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
}

#[test]
fn an_input_that_brings_nothing() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &chain("use = 'stdin'\n", "", ""));
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml"]).stdin(Stdio::piped());
    let run = Run::of(folder, command);
    wait_for(&run, "input", "in");
    run.signal(libc::SIGINT);
}

#[test]
fn a_reader_of_standard_output_that_reads_nothing() {
    let folder = Folder::new();
    let text = chain("", "", PASS);
    folder.file("pipeline.toml", &text);
    let mut command = command(&folder);
    let errors = OpenOptions::new().create(true).append(true).open(folder.path().join("stderr")).unwrap();
    let child = command.args(["run", "pipeline.toml"]).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
    let run = Run::adopt(folder, child);
    let found = wait_for(&run, "output", "out");
    assert!(found["text"].as_str().unwrap().starts_with("The reader of standard output"), "{found:#}");
}

#[test]
fn time_that_dead_workers_have_spent_stays_counted() {
    let run = Run::start(&chain("", SLOW, ""));
    let times = || {
        let output = command(&run.folder).args(["status", "--json"]).output().unwrap();
        let snapshot: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let mid = snapshot["stages"].as_array()?.iter().find(|stage| stage["name"] == "mid")?;
        Some((mid["times"]["working"].as_f64()?, mid["workers"][0]["pid"].as_u64()? as u32))
    };
    let (worked, pid) = wait_until("some work", || times().filter(|(worked, _)| *worked > 0.3));
    support::process::kill(pid, libc::SIGKILL);
    let (after, _) = wait_until("another worker", || times().filter(|(_, other)| *other != pid));
    assert!(after >= worked, "{after} after {worked}");
    run.signal(libc::SIGINT);
    run.signal(libc::SIGINT);
}
