//! Exactly once into a file on a disk that is full for a while, and over power cuts.

mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use support::once::{ALL, PARTS, STORMY, assert_once, assert_stormed, feed, item};
use support::{Folder, Run, command, process, wait_until};

/// In a folder `small` on a disk of its own of so many KiB, which only the run sees; part of it is taken. Standard output
/// goes into a file there.
fn on_small_disk(text: &str, kib: u32, ballast: u32) -> (Folder, Command) {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    fs::create_dir(folder.path().join("small")).unwrap();
    let plain = command(&folder);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    let script = "mount -t tmpfs -o \"size=$1k\" none small && head -c \"$2k\" /dev/zero > small/ballast && \
                  shift 2 && exec \"$@\" >> small/printed";
    command.args([script, "sh", &kib.to_string(), &ballast.to_string()]);
    command.arg(support::binary()).args(["run", "pipeline.toml"]).current_dir(folder.path());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    (folder, command)
}

/// That disk, as long as this is there: also when no process is left that sees it.
struct SmallDisk(File);

impl SmallDisk {
    fn of(run: &Run) -> SmallDisk {
        let path = run.folder.path().join("small");
        SmallDisk(File::open(format!("/proc/{}/root{}", run.pid(), path.display())).unwrap())
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&self.0))
    }

    fn make_room(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

const FULL: &str = "No space left on device (os error 28); waits, and tries it again";
const TYPED: &str = "[stages.read]\nuse = 'stdin'\noutput = 'a'\n";

/// A storm with a disk that is full in its middle. The file must hold each line once.
fn storm_on_a_full_disk(stage: &str, name: &str) {
    let text = format!("{STORMY}{TYPED}[stages.write]\n{stage}input = 'a'\nprocesses = 4\n");
    let (folder, mut typed) = on_small_disk(&text, 3000, 2700);
    typed.stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    run.wait_for_log("up after");
    let disk = SmallDisk::of(&run);
    let (log, supervisor) = (run.folder.path().join("stderr"), run.pid());
    let relief = thread::spawn(move || {
        // Those who say so die, and their successors say it again: also when the storm is over by then.
        for times in 1..=5 {
            wait_until("a full disk", || {
                (fs::read_to_string(&log).unwrap().matches(FULL).count() >= times).then_some(())
            });
            for pid in process::with_variable(supervisor, "MPRUN_STAGE", "write") {
                process::kill(pid, libc::SIGKILL);
            }
        }
        disk.make_room();
        disk
    });
    let kills = support::storm::storm(&mut run, "write", PARTS, feed);
    let disk = relief.join().unwrap();
    assert_eq!(run.wait(), 0);
    assert_stormed(kills);
    assert_once(&disk.read(name), ALL);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_the_storm_tears_and_repeats_no_line() {
    storm_on_a_full_disk("use = 'file'\nwith = { path = 'small/out.txt' }\n", "out.txt");
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_the_storm_tears_and_repeats_no_line_that_is_printed() {
    storm_on_a_full_disk(PRINTED, "printed");
}

/// Items, and a stage that prints them on a disk that has no room for all of them.
fn printing_on_a_full_disk(head: &str, stage: &str, queue: &str) -> (Run, SmallDisk) {
    let input: String = (1..=ALL).map(|n| item(n) + "\n").collect();
    // A second program beside the one that waits may have nothing to say, and that counts as time left.
    let processes = if stage == BY_PROGRAM { 1 } else { 2 };
    let text = format!(
        "{head}[defaults]\nattempts = 1\ngive_up = {{ restarts = 0, within = '1m' }}\n\
         [stages.read]\nuse = 'lines'\nwith = {{ path = 'input.txt' }}\noutput = 'a'\n\
         [stages.print]\n{stage}input = 'a'\nprocesses = {processes}\n[queues.a]\n{queue}"
    );
    let (folder, mut command) = on_small_disk(&text, 3000, 2700);
    folder.file("input.txt", &input);
    command.stdin(Stdio::null());
    let run = Run::of(folder, command);
    run.wait_for_log(FULL);
    let disk = SmallDisk::of(&run);
    (run, disk)
}

const BY_PROGRAM: &str = "command = ['cat']\n";

#[test]
fn what_is_printed_waits_for_room_without_a_restart_or_a_failed_item_and_says_so_once() {
    for stage in [PRINTED, BY_PROGRAM] {
        let (mut run, disk) = printing_on_a_full_disk("", stage, "");
        wait_until("the wait to show as the limit", || {
            run.tell(&["why", "pipeline"])
                .contains("print is the bottleneck: can't write to standard output")
                .then_some(())
        });
        assert!(disk.read("printed").ends_with('\n'), "a torn line while it waits");
        let status = run.tell(&["status", "pipeline", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let print = status["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "print");
        assert_eq!(print.unwrap()["restarts"], serde_json::json!({}), "{status}");
        disk.make_room();
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        assert_once(&disk.read("printed"), ALL);
        let log = run.stderr();
        assert_eq!(log.matches(FULL).count(), 1, "{log}");
        assert!(log.contains("print[") && log.contains("it can be written again"), "{log}");
        assert!(!log.contains("failed"), "{log}");
        assert!(log.contains(&format!("stage print: {ALL} done, {ALL} emitted, 0 restarts")), "{log}");
    }
}

#[test]
fn a_stop_that_finds_no_room_for_what_is_printed_keeps_its_items_and_leaves_no_part_of_a_line() {
    let durable = "durable = true\n";
    let (mut run, disk) = printing_on_a_full_disk("drain_timeout = '100ms'\n", PRINTED, durable);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let printed = disk.read("printed");
    assert!(printed.ends_with('\n'));
    disk.make_room();
    // The next run has another disk, which has room: what it prints comes behind that.
    let folder = &run.folder;
    let out = File::create(folder.path().join("rest")).unwrap();
    let mut next = command(folder);
    next.arg("pipeline.toml").stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    assert!(next.status().unwrap().success());
    assert_once(&(printed + &fs::read_to_string(folder.path().join("rest")).unwrap()), ALL);
}

/// A program can't make its outputs again.
#[test]
fn a_stop_that_finds_no_room_for_what_a_program_has_printed_says_that_it_is_lost() {
    let (mut run, disk) = printing_on_a_full_disk("drain_timeout = '100ms'\n", BY_PROGRAM, "");
    run.signal(libc::SIGTERM);
    run.wait();
    assert!(disk.read("printed").ends_with('\n'));
    let log = run.stderr();
    assert!(log.contains("stopped while standard output could not be written"), "{log}");
    assert!(log.contains("may be lost"), "{log}");
}

/// Runs of a durable pipeline that saves its queues.
struct Saved(Folder);

impl Saved {
    fn new(n: u32, sync: &str, stage: &str) -> Saved {
        let folder = Folder::new();
        let input: String = (1..=n).map(|n| item(n) + "\n").collect();
        folder.file("input.txt", &input);
        let text = format!(
            "{STORMY}[stages.read]\nuse = 'lines'\nwith = {{ path = 'input.txt' }}\noutput = 'a'\n\
             [stages.write]\n{stage}input = 'a'\nprocesses = 2\nsleep = '1ms'\n\
             [queues.a]\ndurable = true\nsync = '{sync}'\ncapacity = 50\n"
        );
        folder.file("pipeline.toml", &text);
        Saved(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> String {
        fs::read_to_string(self.path("out.txt")).unwrap_or_default()
    }

    fn start(&self) -> Child {
        let out = OpenOptions::new().create(true).append(true).open(self.path("out.txt")).unwrap();
        let mut command = command(&self.0);
        command.arg("pipeline.toml").stdin(Stdio::null()).stdout(out);
        command.stderr(OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap());
        command.spawn().unwrap()
    }

    /// Nothing is left of it, and the machine starts again.
    fn cut_the_power(&self, mut run: Child) {
        for pid in process::in_folder(self.0.path()).into_iter().chain([run.id()]) {
            process::kill(pid, libc::SIGKILL);
        }
        run.wait().unwrap();
        wait_until("all of it to be gone", || process::in_folder(self.0.path()).is_empty().then_some(()));
        let queues = OpenOptions::new().write(true).open(self.path("state/mprun/pipeline/queues")).unwrap();
        queues.write_all_at(&[7; 16], 256).unwrap();
    }
}

const FILE: &str = "use = 'file'\nwith = { path = 'out.txt' }\n";
const PRINTED: &str = "use = 'filter'\nwith = { contains = '<' }\n";

#[test]
fn after_power_cuts_a_file_has_each_line_once() {
    const N: u32 = 1000;
    for (sync, stage) in [("always", FILE), ("interval", FILE), ("interval", PRINTED)] {
        let saved = Saved::new(N, sync, stage);
        for cut in 0..4 {
            let seen = saved.read().lines().count();
            let run = saved.start();
            wait_until("more lines", || (saved.read().lines().count() > seen + 20).then_some(()));
            thread::sleep(Duration::from_millis(40 * cut));
            saved.cut_the_power(run);
            // What was not synced may be there in part, and behind it whatever the disk held.
            let mut torn = OpenOptions::new().append(true).open(saved.path("out.txt")).unwrap();
            std::io::Write::write_all(&mut torn, b"\0\0half a li").unwrap();
        }
        assert!(saved.start().wait().unwrap().success());
        let log = fs::read_to_string(saved.path("log")).unwrap();
        assert!(log.contains("when the machine went down"), "{log}");
        assert_once(&saved.read(), N);
    }
}

#[test]
fn a_file_that_a_power_cut_has_shortened_stops_the_stage_which_names_both_lengths() {
    let saved = Saved::new(1000, "always", FILE);
    let text = fs::read_to_string(saved.path("pipeline.toml")).unwrap();
    saved.0.file("pipeline.toml", &text.replace("restarts = 1000000", "restarts = 1"));
    let run = saved.start();
    wait_until("some lines", || (saved.read().lines().count() > 100).then_some(()));
    saved.cut_the_power(run);
    OpenOptions::new().write(true).open(saved.path("out.txt")).unwrap().set_len(10).unwrap();
    assert_eq!(saved.start().wait().unwrap().code(), Some(1));
    let log = fs::read_to_string(saved.path("log")).unwrap();
    assert!(log.contains("has 10 bytes after the machine went down, and "), "{log}");
    assert_eq!(fs::metadata(saved.path("out.txt")).unwrap().len(), 10, "it is left as it is");
}
