//! What a user meets in the first ten minutes: every verb, spoken to wrongly, and with nowhere to print.

mod support;

use std::fs::File;
use std::process::Stdio;
use support::{Folder, Run, Said, command, wait_until};

const PIPELINE: &str = "\
name = 'shop'
[stages.Orders]
use = 'tick'
with = { every = '5ms' }
output = 'orders'
[stages.Check]
use = 'discard'
input = 'orders'
";

fn up() -> Run {
    let run = Run::start(PIPELINE);
    wait_until("an answer", || (run.ask(&["status"]).code == Some(0)).then_some(()));
    run
}

fn alone(arguments: &[&str]) -> Said {
    let folder = Folder::new();
    let output = command(&folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn an_error_begins_in_the_same_way_whatever_the_verb() {
    let running = up();
    let name_there = |verb: &'static str| (vec![verb, "shop", "nowhere"], 2);
    let mut cases = vec![
        (vec!["nofile.toml"], 2),
        (vec!["frobnicate", "x"], 2),
        (vec!["chekc", "x.toml"], 2),
        (vec!["--bad"], 2),
        (vec!["help", "frobnicate"], 2),
        (vec!["check"], 2),
        (vec!["check", "nofile.toml"], 2),
        (vec!["graph", "nofile.toml"], 2),
        (vec!["plan", "nofile.toml"], 2),
        (vec!["scale"], 2),
        (vec!["scale", "Check"], 2),
        (vec!["scale", "Check=0"], 2),
        (vec!["scale", "Check=-1"], 2),
        (vec!["scale", "Chek=+1"], 2),
        (vec!["scale", "Check=+99999"], 2),
        (vec!["tap"], 2),
        (vec!["tap", "no such queue?"], 2),
        (vec!["restart"], 2),
        (vec!["start"], 2),
        (vec!["start", "nowhere", "a"], 1),
        (vec!["top"], 2),
        (vec!["completions", "fishh"], 2),
        (vec!["init", "/dev/null/x"], 1),
        (vec!["dead", "show", "1"], 2),
        (vec!["service", "show", "nofile.toml"], 2),
    ];
    cases.extend(["why", "logs", "restart", "pause", "resume"].map(name_there));
    for verb in ["status", "top", "audit", "reload", "upgrade", "drain", "stop", "plan", "tap"] {
        cases.push((vec![verb, "--bad"], 2));
    }
    for verb in ["status", "audit", "reload", "upgrade", "drain", "stop", "why", "logs"] {
        cases.push((vec![verb, "nowhere"], if matches!(verb, "why" | "logs") { 2 } else { 1 }));
    }
    for (arguments, code) in cases {
        let said = running.ask(&arguments);
        let is_good = said.code == Some(code) && said.stderr.starts_with("error: ") && said.stdout.is_empty();
        assert!(is_good, "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_pipeline_that_does_not_run_is_named() {
    // Without a name a verb would find whatever runs on the machine.
    for verb in ["status", "why", "audit", "reload", "upgrade", "drain", "stop", "pause"] {
        let said = alone(&[verb, "no-such-pipeline"]);
        assert_eq!(said.stdout, "", "{verb}: {said:?}");
        assert!(
            said.stderr.starts_with("error: ") && said.stderr.contains("no-such-pipeline"),
            "{verb}: {said:?}"
        );
    }
}

#[test]
fn a_run_that_was_killed_is_said_to_be() {
    let mut run = up();
    // It answers before it says so.
    run.wait_for_log("up after");
    run.signal(libc::SIGKILL);
    run.wait();
    for verb in ["status", "audit", "stop"] {
        let said = run.ask(&[verb, "shop"]);
        assert_eq!(said.code, Some(1), "{verb}: {said:?}");
        assert!(said.stderr.contains("it was killed; `mprun logs shop`"), "{verb}: {said:?}");
    }
    // What it had said last is written by a process that outlives it for a moment.
    wait_until("its last lines", || run.tell(&["logs", "shop"]).contains("up after").then_some(()));
}

#[test]
fn help_and_version_are_verbs_too() {
    let (help, option) = (alone(&["help"]), alone(&["--help"]));
    assert_eq!((help.code, &help.stdout), (Some(0), &option.stdout));
    assert!(help.stdout.contains("Exit codes:") && help.stdout.contains("mprun scale"), "{}", help.stdout);
    assert_eq!(alone(&["help", "scale"]).stdout, alone(&["scale", "--help"]).stdout);
    assert_eq!(alone(&["help", "dead", "retry"]).stdout, alone(&["dead", "retry", "--help"]).stdout);
    assert_eq!(alone(&["version"]).stdout, alone(&["--version"]).stdout);
    assert_eq!(alone(&["version"]).stdout, concat!("mprun ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn an_option_that_a_run_does_not_take_is_refused_with_what_to_write() {
    for (line, instead) in [
        (&["--version", "shop.toml"][..], "takes no --version: `mprun --version` stands by itself"),
        (&["-c", "shop.toml"], "takes no -c: a file needs no option before it: `mprun FILE`"),
        (&["--config=shop.toml"], "takes no --config: a file needs no option"),
        (&["run", "-f", "shop.toml"], "takes no -f: a file needs no option"),
        (&["--dry-run", "shop.toml"], "`mprun check FILE` says whether a file is good"),
        (&["shop.toml", "-d"], "`mprun service install FILE` makes it a service"),
        (&["-j4", "shop.toml"], "`--set stages.NAME.processes=N`"),
    ] {
        let said = alone(line);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{line:?}: {said:?}");
        let is_one_line = said.stderr.starts_with("error: ") && said.stderr.lines().count() == 1;
        assert!(is_one_line && said.stderr.contains(instead), "{line:?}: {said:?}");
    }
    let said = alone(&["run", "--frobnicate", "shop.toml"]);
    assert!(said.stderr.contains("unexpected argument '--frobnicate'"), "{said:?}");
}

#[test]
fn a_stage_is_scaled_by_steps() {
    let run = up();
    assert_eq!(run.tell(&["scale", "Check=+2", "--wait"]), "Check: processes 1 -> 3\n");
    assert_eq!(run.tell(&["scale", "shop", "Check=-1", "--wait"]), "Check: processes 3 -> 2\n");
    wait_until("two workers", || (run.workers("Check").len() == 2).then_some(()));
    let said = run.ask(&["scale", "Check=-2"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("one process at least"), "{said:?}");
}

#[test]
fn plan_takes_a_pipeline_by_its_name_even_where_a_folder_is_called_the_same() {
    let run = up();
    std::fs::create_dir(run.folder.path().join("shop")).unwrap();
    assert_eq!(run.tell(&["plan", "shop"]), "nothing to do: the pipeline runs as the file says\n");
    run.tell(&["scale", "Check=2"]);
    assert!(run.tell(&["plan", "shop"]).contains("the newest worker leaves"));
    run.folder.file("other.toml", &PIPELINE.replace("5ms", "6ms"));
    assert!(run.tell(&["plan", "other.toml"]).contains("Orders"));
}

#[test]
fn a_check_for_a_script_is_one_object() {
    let run = up();
    let text = run.tell(&["status", "--check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["pipeline"], &report["ok"]), (&"shop".into(), &true.into()));
    assert_eq!((&report["faults"], &report["dead_letters"]), (&serde_json::json!([]), &0.into()));
    run.edit("nonsense");
    let check = || run.ask(&["status", "--json", "--check"]);
    let said = wait_until("a fault", || Some(check()).filter(|said| said.code == Some(1)));
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["faults"][0].as_str().unwrap().contains("the changed file is not used"), "{report}");
}

#[test]
fn a_verb_with_nowhere_to_print_says_so_and_one_that_was_read_enough_does_not() {
    let run = up();
    run.folder.file("Procfile", "web: sleep 1\n");
    run.folder.file("file.toml", PIPELINE);
    for verb in [
        "status",
        "status --json",
        "status --check",
        "why",
        "why --json",
        "audit",
        "ps",
        "plan",
        "logs",
        "dead list",
        "graph file.toml",
        "check file.toml",
        "schema",
        "version",
        "help",
        "help scale",
        "completions bash",
        "import procfile",
        "scale Check=2",
        "pause",
        "resume",
        "tap orders -n 1",
        "init fresh",
    ] {
        let arguments: Vec<&str> = verb.split(' ').collect();
        let mut full = command(&run.folder);
        full.args(&arguments).stdout(File::options().write(true).open("/dev/full").unwrap());
        let output = full.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{verb}: {stderr}");
        assert_eq!(stderr, "error: failed to write to standard output: no space left on device\n", "{verb}");
        let _ = std::fs::remove_dir_all(run.folder.path().join("fresh"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut gone = command(&run.folder);
        let output = gone.args(&arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""), "{verb}");
        let _ = std::fs::remove_dir_all(run.folder.path().join("fresh"));
    }
}
