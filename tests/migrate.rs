//! A run goes on with the queues that an mprun of version 6 has left.

mod support;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Folder, Run, process, version6};

const QUEUES: &str = "state/mprun/six/queues";
const MIGRATED: &str = "with another layout (6): they are migrated";

/// What the old program has left, and the pipeline that it ran.
fn left(name: &str) -> (String, String) {
    let listed = support::project().join(format!("tests/fixtures/version6/{name}.txt"));
    let listed = fs::read_to_string(listed).unwrap();
    let head = listed.lines().skip(1).map_while(|line| line.strip_prefix("# "));
    let text = head.fold("name = \"six\"\n".to_owned(), |text, line| text + line + "\n");
    (listed, text)
}

/// A folder in which it is left, with this pipeline.
fn folder(listed: &str, text: &str) -> Folder {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    version6::write(listed, &folder.path().join(QUEUES), &[]);
    folder
}

#[test]
fn a_sum_that_an_older_program_has_begun_is_finished() {
    let (listed, text) = left("sum");
    let mut run = Run::in_folder(folder(&listed, &text), &[]);
    assert_eq!(run.finish(), ["2001000"]);
    let said = run.stderr();
    assert!(said.contains(MIGRATED) && said.contains("queue b: 2000 put, 2000 done"), "{said}");
    assert!(!run.folder.path().join(QUEUES).exists());
}

#[test]
fn every_item_that_was_waiting_is_worked_off() {
    let (listed, text) = left("waiting");
    let long = [('x', 60), ('y', 64), ('z', 65), ('a', 200), ('b', 1000), ('c', 5000), ('d', 70_000)];
    let long = long.map(|(letter, n)| letter.to_string().repeat(n));
    let all =
        [&["four4", "eight888", "nine99999"].map(str::to_owned)[..], &long, &["last".to_owned()]].concat();
    let folder = folder(&listed, &text.replace("1h", "0s"));
    folder.file("in.txt", "one\nand what came later\n");
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.finish(), all);
    assert!(run.stderr().contains("queue lines: 12 put, 12 done"), "{}", run.stderr());
}

/// Killed before, in and after the migration: whatever is there then, the next run goes on with it.
#[test]
fn a_start_that_is_killed_anywhere_is_done_again() {
    let (listed, text) = left("sum");
    let text = text.replace("1ms", "100us"); // some 100 ms to its end: no kill comes so late
    for after in (0..24).map(|n| Duration::from_millis(n * 2)) {
        let folder = folder(&listed, &text);
        let mut child = support::command(&folder)
            .args(["run", "pipeline.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(after);
        process::kill(child.id(), libc::SIGKILL);
        child.wait().unwrap();
        let mut run = Run::in_folder(folder, &[]);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        let said = run.stderr();
        assert_eq!(run.lines(), ["2001000"], "killed after {after:?}: {said}");
        assert!(!said.contains("set aside"), "{said}");
    }
}

/// A program that the old run's worker had started, which outlived all of that run.
#[test]
fn what_is_left_of_the_old_run_is_ended_before_its_items_are_used() {
    let (listed, text) = left("begun");
    let folder = folder(&listed, &text.replace(r#"["sleep", "1h"]"#, r#"["true"]"#));
    let mut run = [0; 8];
    File::open(folder.path().join(QUEUES)).unwrap().read_exact_at(&mut run, 296).unwrap();
    let run = format!("{:016x}", u64::from_le_bytes(run));
    let mut old = Command::new("sleep").arg("1h").env("MPRUN_RUN", run).spawn().unwrap();
    let mut run = Run::in_folder(folder, &[]);
    let code = run.wait();
    let ended = old.try_wait().unwrap();
    let _ = old.kill();
    old.wait().unwrap();
    assert!(ended.is_some(), "{}", run.stderr());
    assert_eq!(code, 0, "{}", run.stderr());
    assert!(run.stderr().contains("queue a: 40 put, 40 done"), "{}", run.stderr());
}

#[test]
fn the_queues_of_a_version_that_is_not_known_are_refused_and_stay() {
    let (listed, text) = left("waiting");
    for version in [5, 8] {
        let folder = folder(&listed, &text);
        version6::write(&listed, &folder.path().join(QUEUES), &[(8, version)]);
        let mut run = Run::in_folder(folder, &[]);
        assert_eq!(run.wait(), 1);
        let said = run.stderr();
        let why = format!("its layout is {version}, not 7; let the version of mprun that made them finish");
        assert!(said.contains(&why), "{said}");
        let names = fs::read_dir(run.folder.path().join("state/mprun/six")).unwrap();
        assert_eq!(names.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["queues"]);
    }
}

/// The new file has no room: the old one is still there, and the half of the new one is not.
#[test]
fn on_a_full_disk_the_old_queues_stay() {
    let (listed, text) = left("sum");
    let folder = folder(&listed, &text);
    let script = "mount -t tmpfs -o size=300k none small && mkdir -p small/mprun/six && \
                  cp --sparse=always state/mprun/six/queues small/mprun/six/ && \
                  { \"$1\" run pipeline.toml; code=$?; ls small/mprun/six; exit $code; }";
    fs::create_dir(folder.path().join("small")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &support::binary()]);
    command.current_dir(folder.path()).stdin(Stdio::null());
    for (name, value) in support::command(&folder).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("XDG_STATE_HOME", folder.path().join("small"));
    let mut run = Run::of(folder, command);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("no room on the disk for"), "{}", run.stderr());
    assert_eq!(run.lines(), ["queues"]);
}

/// What the old program asks before it hands over to a new one of another layout.
#[test]
fn an_upgrade_over_the_change_is_refused_with_the_way_out() {
    let (listed, text) = left("sum");
    let folder = folder(&listed, &text);
    let state = support::project().join("src/supervisor/golden/upgrade.json");
    let files = [
        File::open(state).unwrap(),
        File::options().read(true).write(true).open(folder.path().join(QUEUES)).unwrap(),
    ];
    let numbers = files.each_ref().map(AsRawFd::as_raw_fd);
    let mut command = support::command(&folder);
    command.args(["__rehearse", "run", "pipeline.toml"]);
    let pass = move || {
        // Out of the way first: either may have the other's number.
        // SAFETY: plain system calls on descriptors of the child.
        let aside = numbers.map(|number| unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 10) });
        for (from, to) in aside.into_iter().zip(3..) {
            // SAFETY: as above.
            if unsafe { libc::dup2(from, to) } == -1 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only `fcntl` and `dup2` are called, which are async-signal-safe.
    unsafe { command.pre_exec(pass) };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let why = "the layout of the running queues is 6, that of this program 7: stop the old program and start this one";
    assert!(said.contains(why) && said.contains("mprun drain"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(process::in_folder(folder.path()).is_empty());
}
