//! The packages: made by `dist/package` as a release makes them, but of the program under test, and tried in fresh folders
//! by `dist/try`. And what no engine is there to try: the image's file and the release workflow.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use saphyr::{LoadableYamlNode, YamlOwned};

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn archive_wheel_and_crate_hold_all_and_run_in_a_fresh_folder() {
    let output =
        Command::new(project("dist/package")).args(["dev", "archive", "wheel", "crate"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let paths = String::from_utf8(output.stdout).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let is_named = |end: &str| paths.lines().any(|path| path.contains(version) && path.ends_with(end));
    assert!(is_named(".tar.gz") && is_named(".whl") && is_named(".crate"), "{paths}");
}

#[test]
fn a_kind_that_there_is_not_is_told_with_those_that_there_are() {
    let output = Command::new(project("dist/package")).args(["dev", "rpm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("write deb, archive, wheel or crate"), "{}", said(&output));
}

#[test]
fn a_build_that_fails_makes_no_package_of_an_older_program() {
    let place = std::env::temp_dir().join(format!("mprun-packages-{}", std::process::id()));
    fs::create_dir(&place).unwrap();
    let cargo = place.join("cargo");
    fs::write(&cargo, "#!/bin/sh\nexit 101\n").unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    for kind in ["archive", "wheel", "crate"] {
        let output =
            Command::new(project("dist/package")).args(["dev", kind]).env("PATH", &path).output().unwrap();
        assert_eq!(output.status.code(), Some(101), "{kind}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{kind}: {}", said(&output));
    }
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn the_version_is_the_same_wherever_it_is_said() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("python/pyproject.toml").contains(&format!("\nversion = \"{version}\"\n")));
    let changelog = read("CHANGELOG.md");
    let mut heads =
        changelog.lines().filter(|line| line.starts_with("## ")).skip_while(|head| *head == "## Unreleased");
    let head = heads.next().unwrap();
    let date = head.strip_prefix(&format!("## {version} - ")).unwrap_or_else(|| panic!("{head}"));
    assert!(date.len() == 10 && date.chars().all(|part| part.is_ascii_digit() || part == '-'), "{date}");
}

/// The instructions of the image's file, each on one line.
fn instructions() -> Vec<(String, String)> {
    let text = read("dist/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(word, rest)| (word.into(), rest.trim().into()))
        .collect()
}

#[test]
fn the_image_copies_what_is_there_and_runs_what_a_shell_can_read() {
    let ignored = read(".dockerignore");
    let mut stages = Vec::new();
    for (instruction, rest) in instructions() {
        let words: Vec<&str> = rest.split_whitespace().collect();
        match instruction.as_str() {
            "FROM" => {
                let (_, tag) = words[0].split_once(':').unwrap_or_else(|| panic!("{}: no tag", words[0]));
                assert_ne!(tag, "latest");
                stages.extend(words.get(2).map(|name| (*name).to_owned()));
            }
            "COPY" => match words[0].strip_prefix("--from=") {
                // What cargo writes in the stage before, and what its image has.
                Some(stage) => {
                    assert!(
                        stages.iter().any(|name| name == stage),
                        "COPY from the stage {stage}, which is not there"
                    );
                    let known = ["/mprun/target/release/mprun", "/etc/ssl/certs/ca-certificates.crt"];
                    assert!(known.contains(&words[1]), "COPY {}", words[1]);
                }
                None => {
                    for source in &words[..words.len() - 1] {
                        assert!(project(source).exists(), "COPY {source}");
                        assert!(!ignored.lines().any(|line| line == *source), "{source} is ignored");
                    }
                }
            },
            "RUN" => shell_reads(&rest),
            "HEALTHCHECK" => shell_reads(rest.split_once("CMD ").unwrap().1),
            "ENTRYPOINT" => {
                let words: Vec<String> = serde_json::from_str(&rest).unwrap();
                let help =
                    Command::new(env!("CARGO_BIN_EXE_mprun")).arg("help").args(&words[1..]).output().unwrap();
                assert!(words[0] == "mprun" && help.status.success(), "{rest}");
            }
            "WORKDIR" | "USER" | "ENV" | "VOLUME" | "STOPSIGNAL" => {}
            other => panic!("{other}: this test does not know it"),
        }
    }
    let last =
        |word: &str| instructions().into_iter().rev().find(|(instruction, _)| instruction == word).unwrap().1;
    assert!(last("RUN").contains(&format!(" {}", last("USER"))), "the user is not made");
    assert!(last("RUN").contains(&last("VOLUME")), "the user's folder is not the volume");
}

#[track_caller]
fn shell_reads(script: &str) {
    let output = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", said(&output));
}

fn text<'a>(step: &'a YamlOwned, key: &str) -> Option<&'a str> {
    step.as_mapping_get(key).and_then(YamlOwned::as_str)
}

/// The crate `cc` looks for `aarch64-linux-musl-gcc`, which the package musl-tools does not have.
#[test]
fn each_musl_target_of_a_release_has_a_c_compiler() {
    let workflow = &YamlOwned::load_from_str(&read(".github/workflows/release.yml")).unwrap()[0];
    let job = &workflow["jobs"]["packages"];
    let steps = job["steps"].as_vec().unwrap();
    let mut envs = steps.iter().filter_map(|step| step.as_mapping_get("env"));
    let musl = envs.find(|env| env.contains_mapping_key("MPRUN_TARGET")).unwrap();
    for machine in job["strategy"]["matrix"]["include"].as_vec().unwrap() {
        let name = format!("CC_{}_unknown_linux_musl", text(machine, "arch").unwrap());
        assert_eq!(text(musl, &name), Some("musl-gcc"), "{name}");
    }
}

#[test]
fn the_workflows_are_yaml_with_pinned_actions_and_few_rights() {
    for name in ["ci.yml", "release.yml"] {
        let path = format!(".github/workflows/{name}");
        let workflow =
            &YamlOwned::load_from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))[0];
        let rights = workflow["permissions"].as_mapping().expect("permissions of all jobs");
        assert!(rights.len() == 1 && workflow["permissions"]["contents"].as_str() == Some("read"), "{path}");
        for (job, of_job) in workflow["jobs"].as_mapping().expect("jobs") {
            assert!(of_job.contains_mapping_key("timeout-minutes"), "{path}: {job:?} has no time limit");
            for step in of_job["steps"].as_vec().expect("steps") {
                if let Some(action) = text(step, "uses") {
                    let (_, commit) = action.split_once('@').expect("a version");
                    let is_pinned = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
                    assert!(is_pinned, "{path}: {action} can change");
                }
                if let Some(script) = text(step, "run") {
                    shell_reads(script);
                    assert!(
                        !script.contains("${{"),
                        "{path}: a value goes into a script by its environment: {script}"
                    );
                }
            }
        }
    }
}
