//! Exactly once into a file on a disk that is full for a while, and over power cuts.

mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use support::once::{ALL, PARTS, STORMY, assert_once, feed, item};
use support::{Folder, Run, command, process, wait_until};

/// In a folder `small` on a disk of its own of so many KiB, which only the run sees; part of it is taken.
fn on_small_disk(text: &str, kib: u32, ballast: u32) -> (Folder, Command) {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    fs::create_dir(folder.path().join("small")).unwrap();
    let plain = command(&folder);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    let script = "mount -t tmpfs -o \"size=$1k\" none small && head -c \"$2k\" /dev/zero > small/ballast && \
                  shift 2 && exec \"$@\"";
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

#[test]
fn a_disk_that_is_full_in_the_middle_of_the_storm_tears_and_repeats_no_line() {
    let text = format!(
        "{STORMY}[stages.read]\nuse = 'stdin'\noutput = 'a'\n[stages.write]\nuse = 'file'\n\
         with = {{ path = 'small/out.txt' }}\ninput = 'a'\nprocesses = 4\n"
    );
    let (folder, mut typed) = on_small_disk(&text, 3000, 2700);
    typed.stdin(Stdio::piped());
    let mut run = Run::of(folder, typed);
    run.wait_for_log("up after");
    // It stays there as long as it is open, also when nobody is left who sees it.
    let small = format!("/proc/{}/root{}", run.pid(), run.folder.path().join("small").display());
    let small = File::open(small).unwrap();
    let at = |name: &str| format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&small));
    let (ballast, log) = (at("ballast"), run.folder.path().join("stderr"));
    let relief = thread::spawn(move || {
        wait_until("a full disk", || {
            fs::read_to_string(&log).unwrap().contains("No space left on device").then_some(())
        });
        thread::sleep(Duration::from_millis(300));
        fs::remove_file(ballast).unwrap();
    });
    let kills = support::storm::storm(&mut run, "write", PARTS, feed);
    relief.join().unwrap();
    assert_eq!(run.wait(), 0);
    assert!(kills >= 2 * (PARTS - 1), "only {kills} kills");
    assert_once(&fs::read_to_string(at("out.txt")).unwrap(), ALL);
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
