//! One pipeline from several files: `include`, and what becomes of a file that is edited, comes or goes; `env_file` too.

mod support;

use std::fs;
use support::{Folder, Run, command, wait_until};

const MAIN: &str = "include = ['conf.d/*.toml']\n[defaults]\nbackoff = { initial = '10ms' }\n";
const LIVE: &str = "command = ['sleep', '1000']\n";

fn start() -> Run {
    let folder = Folder::new();
    folder.file("pipeline.toml", MAIN);
    folder.file("conf.d/a.toml", &format!("[stages.a]\n{LIVE}"));
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    run
}

/// The worker of a stage, and the program beside it.
fn wait_for_stages(run: &Run, stages: &[&str]) {
    wait_until(&format!("the stages {stages:?}; log:\n{}", run.stderr()), || {
        let status: serde_json::Value = serde_json::from_str(&run.ask(&["status", "--json"]).stdout).ok()?;
        let names =
            status["stages"].as_array()?.iter().map(|stage| stage["name"].as_str().unwrap_or_default());
        (names.collect::<Vec<_>>() == stages).then_some(())
    });
}

/// Renamed into place, as an editor does: no half of it is ever read.
fn put(run: &Run, name: &str, text: &str) {
    let new = run.folder.file("new", text);
    fs::create_dir_all(run.folder.path().join(name).parent().unwrap()).unwrap();
    fs::rename(new, run.folder.path().join(name)).unwrap();
}

#[test]
fn a_file_that_comes_changes_or_goes_is_applied() {
    let run = start();
    wait_for_stages(&run, &["a"]);
    let before = run.workers("a");
    put(&run, "conf.d/b.toml", &format!("[stages.b]\n{LIVE}"));
    wait_for_stages(&run, &["a", "b"]);
    put(&run, "conf.d/b.toml", &format!("[stages.b]\n{LIVE}processes = 2\n"));
    run.wait_for_log("stage b: add 1 process");
    put(&run, "conf.d/b.toml.off", "no pipeline file");
    fs::remove_file(run.folder.path().join("conf.d/b.toml")).unwrap();
    wait_for_stages(&run, &["a"]);
    assert_eq!(run.workers("a"), before, "no other stage was touched");
}

#[test]
fn a_bad_included_file_changes_nothing_and_its_repair_is_noticed() {
    let run = start();
    put(&run, "conf.d/b.toml", &format!("[stages.b]\n{LIVE}proceses = 2\n"));
    run.wait_for_log("conf.d/b.toml:3:1");
    assert!(run.stderr().contains("did you mean `processes`?"), "{}", run.stderr());
    wait_for_stages(&run, &["a"]);
    put(&run, "conf.d/b.toml", &format!("[stages.b]\n{LIVE}processes = 2\n"));
    wait_for_stages(&run, &["a", "b"]);
}

#[test]
fn a_folder_that_is_included_later_is_watched_from_then_on() {
    let run = start();
    run.edit(&MAIN.replace("'conf.d/*.toml'", "'conf.d/*.toml', 'more.d/*.toml'"));
    put(&run, "more.d/c.toml", &format!("[stages.c]\n{LIVE}"));
    wait_for_stages(&run, &["a", "c"]);
}

#[test]
fn links_to_files_elsewhere_are_followed() {
    let run = start();
    put(&run, "available/b.toml", &format!("[stages.b]\n{LIVE}"));
    let link = run.folder.path().join("conf.d/b.toml");
    std::os::unix::fs::symlink("../available/b.toml", link).unwrap();
    wait_for_stages(&run, &["a", "b"]);
    put(&run, "available/b.toml", &format!("[stages.c]\n{LIVE}"));
    wait_for_stages(&run, &["a", "c"]);
}

#[test]
fn an_edited_env_file_is_applied_by_itself() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.a]\nenv_file = 'e.env'\ncommand = 'echo $A; exec sleep 1000'\n");
    folder.file("e.env", "A=one\n");
    let run = Run::in_folder(folder, &[]);
    let shown = |line: &str| wait_until(line, || run.lines().iter().any(|shown| shown == line).then_some(()));
    shown("one");
    put(&run, "e.env", "A=two\n");
    shown("two");
    put(&run, "e.env", "A 3\n");
    run.wait_for_log("expected NAME=value");
    put(&run, "e.env", "A=three\n");
    shown("three");
}

#[test]
fn paths_start_at_the_file_that_they_stand_in() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "include = 'conf.d/a.toml'\n[defaults]\nenv_file = 'e.env'\n");
    folder.file("conf.d/a.toml", "[stages.a]\ncommand = ['./where']\nlog_file = { path = 'a.log' }\n");
    folder.file("e.env", "A=of the pipeline\n");
    let program = folder.file("conf.d/where", "#!/bin/sh\necho \"$(basename \"$PWD\") $A\"; echo said >&2\n");
    fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.finish(), ["conf.d of the pipeline"]);
    assert!(fs::read_to_string(run.folder.path().join("conf.d/a.log")).unwrap().contains("said"));
}

#[test]
fn an_upgrade_goes_on_with_the_included_texts_that_run() {
    let run = start();
    put(&run, "conf.d/a.toml", "[stages.a\n");
    run.wait_for_log("conf.d/a.toml:1");
    let before = run.workers("a");
    run.tell(&["upgrade"]);
    wait_for_stages(&run, &["a"]);
    assert_eq!(run.workers("a"), before);
}

#[test]
fn what_is_no_regular_file_is_refused_without_a_wait() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "include = ['*.toml']\n[stages.a]\nuse = 'count'\nwith = { to = 1 }\n");
    let said = |folder: &Folder| {
        let output = command(folder).args(["check", "pipeline.toml"]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(said(&folder), "", "it does not include itself");
    let fifo = folder.path().join("pipe.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = said(&folder);
    assert!(said.contains("pipe.toml is no regular file") && said.contains("pipeline.toml:1:12"), "{said}");
}

#[test]
fn what_is_no_text_is_said_with_its_own_place() {
    let folder = support::Folder::new();
    folder.file("p.toml", "include = ['u.toml']\n[stages.a]\ncommand = 'true'\n");
    std::fs::write(folder.path().join("u.toml"), b"[stages.b]\ncommand = 'caf\xe9'\n").unwrap();
    let output = support::command(&folder).args(["check", "p.toml"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not UTF-8") && said.contains("--> u.toml:2:"), "{said}");
}

#[test]
fn plan_shows_what_another_file_with_its_own_included_files_would_change() {
    let run = start();
    run.folder.file("other.d/b.toml", &format!("[stages.b]\n{LIVE}"));
    run.folder.file("other.toml", &MAIN.replace("conf.d", "other.d"));
    assert_eq!(run.tell(&["plan", "./other.toml"]), "stage b: start\nstage a: stop\n");
}

#[test]
fn a_file_that_comes_is_seen_also_where_the_kernel_does_not_tell() {
    let folder = Folder::new();
    folder.file("pipeline.toml", MAIN);
    folder.file("conf.d/a.toml", &format!("[stages.a]\n{LIVE}"));
    let mut mprun = command(&folder);
    mprun.args(["run", "pipeline.toml"]).env("MPRUN_WATCH", "poll");
    let run = Run::of(folder, mprun);
    run.wait_for_log("up after");
    put(&run, "conf.d/b.toml", &format!("[stages.b]\n{LIVE}"));
    wait_for_stages(&run, &["a", "b"]);
    put(&run, "conf.d/b.toml", &format!("[stages.c]\n{LIVE}"));
    wait_for_stages(&run, &["a", "c"]);
}
