//! mprun under a real systemd, in a throw-away box (`tests/systemd/box`), one script per promise.
//!
//! Where a box can't be had (no root, no namespaces, no systemd) these tests say so and pass; where `CI` is `true`
//! they fail. `MPRUN_SYSTEMD_BOX` names another way into one: a command that gets the script's as its arguments.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::docs_page::Page;

/// The exit code of a box that can't be had.
const NO_BOX: i32 = 77;
/// A script is over long before; one that hangs must not hang the tests.
fn seconds() -> String {
    std::env::var("MPRUN_TEST_SECONDS").unwrap_or_else(|_| "180".to_owned())
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn run(script: &str, files: &[PathBuf]) {
    printed(script, files);
}

/// What a script has printed; none where a box can't be had.
fn printed(script: &str, files: &[PathBuf]) -> Option<String> {
    let mut all = vec![project(&format!("tests/systemd/{script}")), project("tests/systemd/prelude.sh")];
    all.extend_from_slice(files);
    let output = enter(&all);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = [printed.as_bytes(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let code = output.status.code();
    if code == Some(NO_BOX) && !is_ci() {
        eprintln!("SKIPPED: {said}");
        return None;
    }
    assert_eq!(code, Some(0), "{said}");
    Some(printed)
}

fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

fn enter(files: &[PathBuf]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds()]).stdin(Stdio::null());
    match std::env::var("MPRUN_SYSTEMD_BOX") {
        Err(_) => command.arg(project("tests/systemd/box")),
        Ok(other) => {
            let copy = "mkdir -p /box && cp -- \"$@\" /box && cd /box && exec bash \"${1##*/}\"";
            command.args(other.split_whitespace()).args(["bash", "-c", copy, "box"])
        }
    };
    command.args(files).output().unwrap()
}

fn program_and_template() -> Vec<PathBuf> {
    vec![support::binary().into(), project("dist/mprun@.service")]
}

#[test]
fn ten_services_are_up_once_all_are_ready_and_what_hangs_is_restarted() {
    let graph = project("tests/fixtures/ten_services.toml");
    run("services.sh", &[program_and_template(), vec![graph]].concat());
}

#[test]
fn systemd_is_told_from_the_start_to_the_end() {
    run("notify.sh", &program_and_template());
}

#[test]
fn a_hung_supervisor_is_killed_and_a_slow_stop_is_not() {
    run("time.sh", &program_and_template());
}

/// `MPRUN_TEST_ROUNDS=250` for 50 of each kind of death (and more of `MPRUN_TEST_SECONDS`).
#[test]
fn queues_in_the_store_lose_and_double_nothing_whatever_ends_the_supervisor() {
    let mut files = program_and_template();
    let folder = support::Folder::new();
    if let Ok(rounds) = std::env::var("MPRUN_TEST_ROUNDS") {
        files.push(folder.file("rounds", &rounds));
    }
    run("store.sh", &files);
}

#[test]
fn the_journal_knows_level_stage_worker_and_pipeline() {
    run("journal.sh", &program_and_template());
}

#[test]
fn units_are_silent_hardened_and_come_and_go() {
    run("unit.sh", &program_and_template());
}

#[test]
fn the_tutorial_ends_in_a_service_that_loses_nothing() {
    let page = Page::read("tutorial.md", "orders");
    let folder = support::Folder::new();
    let mut files = program_and_template();
    files.extend(page.files().map(|(name, body)| folder.file(name, &body)));
    files.push(folder.file("commands.sh", &page.systemd_script()));
    if let Some(printed) = printed("tutorial.sh", &files) {
        page.compare_with_systemd(&printed);
    }
}

#[test]
fn process_1_of_a_container_reaps_and_drains() {
    run("container.sh", &program_and_template());
}

#[test]
fn the_image_runs_as_its_user_is_found_healthy_and_drains() {
    run("image.sh", &[program_and_template(), vec![project("dist/Dockerfile")]].concat());
}

#[test]
fn the_debian_package_installs_and_its_service_starts() {
    let built = Command::new(project("dist/package")).args(["dev", "deb"]).output().unwrap();
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(said.contains("there is no cargo-deb") && !is_ci(), "{said}");
        return eprintln!("SKIPPED: {said}");
    }
    let package = String::from_utf8_lossy(&built.stdout);
    run("deb.sh", &[package.trim().into()]);
}
