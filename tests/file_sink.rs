//! The `file` sink: what is counted as done stands in a file, whatever becomes of the file, its folder and the run.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::{Folder, command, process, wait_until};

/// Runs of one pipeline file in one folder, one after the other.
struct Bench {
    folder: Folder,
}

/// One of them.
struct Life {
    child: Child,
    stderr: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn new(text: &str) -> Bench {
        let folder = Folder::new();
        folder.file("work.toml", text);
        Bench { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn start(&self) -> Life {
        let mut command = command(&self.folder);
        command.args(["run", "work.toml"]);
        self.start_as(command)
    }

    fn start_as(&self, mut command: Command) -> Life {
        let stderr = self.path("stderr");
        command.stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        Life { child: command.spawn().unwrap(), stderr, folder: self.folder.path().to_owned() }
    }

    /// Replaces the pipeline file, as an editor does.
    fn edit(&self, text: &str) {
        let fresh = self.folder.file("work.toml.new", text);
        fs::rename(fresh, self.path("work.toml")).unwrap();
    }

    #[track_caller]
    fn wait_for_lines(&self, name: &str, least: usize) {
        wait_until(&format!("{least} lines in {name}"), || {
            (self.read(name).lines().count() >= least).then_some(())
        });
    }
}

impl Life {
    #[track_caller]
    fn end(&mut self, code: i32) -> String {
        let status = wait_until("the end of the run", || self.child.try_wait().unwrap());
        let log = self.log();
        assert_eq!(status.code(), Some(code), "{log}");
        log
    }

    fn signal(&self, signal: i32) {
        process::kill(self.child.id(), signal);
    }

    /// Kills the supervisor, and waits until its workers are gone with it.
    #[track_caller]
    fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.child.wait().unwrap();
        wait_until("the workers to be gone", || process::in_folder(&self.folder).is_empty().then_some(()));
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    #[track_caller]
    fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} in the log: {}", self.log()), || {
            self.log().contains(text).then_some(())
        });
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(libc::SIGKILL);
            self.child.wait().unwrap();
        }
        if !std::thread::panicking() {
            wait_until("all of the run to be gone", || {
                process::in_folder(&self.folder).is_empty().then_some(())
            });
        }
    }
}

/// Numbers into a file: `n` of them, each after a pause.
fn numbers(n: u32, with: &str, sleep: &str, rest: &str) -> String {
    format!(
        "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\n\
         [stages.write]\nuse = 'file'\nwith = {{ {with} }}\ninput = 'a'\nsleep = '{sleep}'\n{rest}"
    )
}

const DURABLE: &str = "[queues.a]\ndurable = true\n";

#[track_caller]
fn assert_all(texts: &[String], n: u32) {
    let seen: BTreeSet<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let wanted: BTreeSet<String> = (1..=n).map(|n| n.to_string()).collect();
    let strange: Vec<_> = seen.iter().filter(|line| !wanted.contains(**line)).collect();
    let missing: Vec<_> = wanted.iter().filter(|line| !seen.contains(line.as_str())).collect();
    assert!(strange.is_empty() && missing.is_empty(), "strange: {strange:?}, missing: {missing:?}");
}

#[test]
fn a_durable_run_that_goes_on_adds_to_its_file() {
    let bench = Bench::new(&numbers(2000, "path = 'out.txt'", "2ms", DURABLE));
    fs::write(bench.path("out.txt"), "from another run\n").unwrap();
    let first = bench.start();
    bench.wait_for_lines("out.txt", 20);
    assert!(first.log().contains("was emptied: it held 17 bytes"), "{}", first.log());
    first.kill();
    // As a write that was cut off leaves it.
    let before = bench.read("out.txt") + "<half a li";
    fs::write(bench.path("out.txt"), &before).unwrap();
    let log = bench.start().end(0);
    assert!(log.contains("is not emptied"), "{log}");
    let after = bench.read("out.txt");
    let added = after.strip_prefix(&before).expect("all of the first run is there");
    assert!(added.starts_with('\n'), "the half line has an end: {added:?}");
    assert_all(&[after.replace("<half a li\n", "")], 2000);
}

#[test]
fn a_run_whose_kept_queues_are_refused_empties_no_file() {
    let bench = Bench::new(&numbers(400, "path = 'out.txt'", "10ms", DURABLE));
    let first = bench.start();
    bench.wait_for_lines("out.txt", 5);
    first.kill();
    let before = bench.read("out.txt");
    fs::write(bench.path("state/mprun/work/queues"), "this is no queue file").unwrap();
    let log = bench.start().end(1);
    assert!(log.contains("can't be used") && log.contains("to begin a new run"), "{log}");
    assert_eq!(bench.read("out.txt"), before);
    fs::remove_file(bench.path("state/mprun/work/queues")).unwrap();
    bench.start().end(0);
    assert_eq!(bench.read("out.txt").lines().count(), 400);
}

#[test]
fn a_renamed_file_is_made_anew_and_no_line_is_lost() {
    let bench = Bench::new(&numbers(2000, "path = 'out.txt'", "4ms", "processes = 2\n"));
    let mut life = bench.start();
    bench.wait_for_lines("out.txt", 20);
    fs::rename(bench.path("out.txt"), bench.path("out.1")).unwrap();
    bench.wait_for_lines("out.txt", 1);
    assert!(life.end(0).contains("was moved or removed: a new one is begun"));
    assert_all(&[bench.read("out.1"), bench.read("out.txt")], 2000);
}

#[test]
fn what_is_written_after_a_file_was_removed_is_in_a_new_one() {
    let bench = Bench::new(&numbers(2000, "path = 'out.txt'", "4ms", "processes = 2\n"));
    let mut life = bench.start();
    bench.wait_for_lines("out.txt", 20);
    let mut old = File::open(bench.path("out.txt")).unwrap();
    fs::remove_file(bench.path("out.txt")).unwrap();
    // Read once it has no name any more: what comes into it later must stand somewhere else, too.
    let mut before = String::new();
    old.read_to_string(&mut before).unwrap();
    life.end(0);
    assert_all(&[before, bench.read("out.txt")], 2000);
}

#[test]
fn a_sink_waits_for_its_folder_and_goes_on_there() {
    let bench = Bench::new(&numbers(1000, "path = 'data/out.txt'", "4ms", ""));
    fs::create_dir(bench.path("data")).unwrap();
    let mut life = bench.start();
    bench.wait_for_lines("data/out.txt", 20);
    fs::rename(bench.path("data"), bench.path("data.old")).unwrap();
    life.wait_for_log("/data`); waits");
    // Also a worker that is started now waits, and does not give up.
    for worker in process::with_variable(life.child.id(), "MPRUN_STAGE", "write") {
        process::kill(worker, libc::SIGKILL);
    }
    wait_until("the new worker to wait, too", || {
        (life.log().matches("/data`); waits").count() > 1).then_some(())
    });
    fs::create_dir(bench.path("data")).unwrap();
    assert!(life.end(0).contains("it can be written again"));
    assert_all(&[bench.read("data.old/out.txt"), bench.read("data/out.txt")], 1000);
}

#[test]
fn a_pipe_is_waited_for_and_has_every_line() {
    let bench = Bench::new(&numbers(30_000, "path = 'pipe'", "0s", ""));
    nix::unistd::mkfifo(&bench.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut life = bench.start();
    life.wait_for_log("it is a named pipe without a reader; waits");
    let mut text = String::new();
    File::open(bench.path("pipe")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 30_000);
    life.end(0);
    assert_all(&[text], 30_000);
}

#[test]
fn a_stop_waits_for_nobody_to_read_a_pipe() {
    let bench = Bench::new(&numbers(30_000, "path = 'pipe'", "0s", "stop_timeout = '1h'\n"));
    nix::unistd::mkfifo(&bench.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut unread = bench.start();
    unread.wait_for_log("without a reader; waits");
    unread.signal(libc::SIGINT);
    assert!(unread.end(0).contains("stopped (SIGINT)"));
    // Somebody has it open, and never reads.
    let _reader = File::options().read(true).write(true).open(bench.path("pipe")).unwrap();
    bench.edit(&(String::from("drain_timeout = '10ms'\n") + &bench.read("work.toml")));
    let mut full = bench.start();
    wait_until("the pipe and the queue to be full", || {
        let status = command(&bench.folder).arg("status").output().unwrap();
        let is_full = String::from_utf8_lossy(&status.stdout).contains("full");
        (is_full && bytes_in(&bench.path("pipe")) > 20_000).then_some(())
    });
    full.signal(libc::SIGINT);
    assert!(full.end(0).contains("stopped (SIGINT)"));
}

/// What waits in a named pipe.
fn bytes_in(pipe: &PathBuf) -> i32 {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let pipe = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(pipe).unwrap();
    let mut bytes = 0;
    // SAFETY: FIONREAD writes one int to the address, which is that of a live one.
    assert_eq!(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) }, 0);
    bytes
}

#[test]
fn a_path_that_can_not_be_written_is_told_in_words() {
    let bench = Bench::new("");
    fs::create_dir(bench.path("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
    std::os::unix::fs::symlink("nowhere/file", bench.path("link")).unwrap();
    for (path, code, says) in [
        ("folder", 2, "is a folder: no file can be written there"),
        ("socket", 1, "it is a socket"),
        ("link", 1, "it is a symbolic link to `nowhere/file`, whose folder is not there"),
        ("no/such", 1, "its folder is not there"),
    ] {
        bench.edit(&numbers(1, &format!("path = '{path}'"), "0s", "give_up.restarts = 0\n"));
        let log = bench.start().end(code);
        assert!(log.contains(says), "{path}: {log}");
    }
    std::os::unix::fs::symlink("folder/real", bench.path("good")).unwrap();
    bench.edit(&numbers(3, "path = 'good'", "0s", ""));
    bench.start().end(0);
    assert_eq!(bench.read("folder/real"), "1\n2\n3\n");
}

#[test]
fn a_full_device_waits_and_a_stop_ends_that() {
    let bench =
        Bench::new(&(String::from("drain_timeout = '10ms'\n") + &numbers(3, "path = '/dev/full'", "0s", "")));
    let mut life = bench.start();
    life.wait_for_log("can't write `/dev/full`: No space left on device (os error 28); waits");
    life.signal(libc::SIGTERM);
    assert!(life.end(0).contains("3 left waiting"));
}

#[test]
fn the_file_changes_with_the_time_and_the_worker_that_its_path_names() {
    let with = "path = '{stage}/{worker}-{{{time:%S}}}'";
    let bench = Bench::new(&numbers(600, with, "6ms", "processes = 2\n"));
    bench.start().end(0);
    let files: Vec<PathBuf> =
        fs::read_dir(bench.path("write")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert!(files.len() >= 4, "two workers, some seconds: {files:?}");
    let names: Vec<&str> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert!(names.iter().all(|name| name.as_bytes()[1..3] == *b"-{" && name.ends_with('}')), "{names:?}");
    assert_all(&texts, 600);
    assert_eq!(texts.iter().map(|text| text.lines().count()).sum::<usize>(), 600);
}

#[test]
fn readers_see_the_old_file_until_the_new_one_is_whole() {
    let with = "path = 'out.txt', replace = true";
    let bench = Bench::new(&numbers(4000, with, "2ms", "processes = 2\n"));
    fs::write(bench.path("out.txt"), "old\n").unwrap();
    fs::write(bench.path(".out.txt.new"), "of a run that was killed\n").unwrap();
    let mut old = File::open(bench.path("out.txt")).unwrap();
    let mut life = bench.start();
    bench.wait_for_lines(".out.txt.new", 20);
    assert_eq!(bench.read("out.txt"), "old\n");
    assert!(life.end(0).contains("is replaced by what this run has written"));
    assert_all(&[bench.read("out.txt")], 4000);
    assert!(!bench.path(".out.txt.new").exists());
    old.rewind().unwrap();
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old\n", "a reader that has it open keeps it");
}

#[test]
fn a_replacement_goes_on_after_a_kill_a_stop_and_a_reload() {
    let with = "path = 'out.txt', replace = true";
    let text = |sleep| numbers(2000, with, sleep, DURABLE);
    let bench = Bench::new(&text("3ms"));
    fs::write(bench.path("out.txt"), "old\n").unwrap();
    let killed = bench.start();
    bench.wait_for_lines(".out.txt.new", 10);
    killed.kill();
    let mut stopped = bench.start();
    bench.wait_for_lines(".out.txt.new", 30);
    stopped.signal(libc::SIGTERM);
    let log = stopped.end(0);
    assert!(log.contains("is not replaced: not every item is through"), "{log}");
    let mut reloaded = bench.start();
    bench.wait_for_lines(".out.txt.new", 60);
    assert_eq!(bench.read("out.txt"), "old\n");
    bench.edit(&text("1ms").replace("replace = true", "replace = true, append = false"));
    reloaded.end(0);
    assert_all(&[bench.read("out.txt")], 2000);
    assert!(!bench.path(".out.txt.new").exists());
}

#[test]
fn a_run_that_did_not_go_well_replaces_nothing() {
    let text = |command: &str, attempts: u32| {
        format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 9 }}\noutput = 'a'\n\
             [stages.check]\ncommand = ['sh', '-c', '{command}']\ninput = 'a'\noutput = 'b'\n\
             mode = 'each'\nattempts = {attempts}\ngive_up.restarts = 0\n\
             [stages.write]\nuse = 'file'\nwith = {{ path = 'out.txt', replace = true }}\ninput = 'b'\n"
        )
    };
    let bench = Bench::new(&text("read n; test $n != 5 && echo $n", 1));
    fs::write(bench.path("out.txt"), "old\n").unwrap();
    let log = bench.start().end(3);
    assert!(log.contains("is not replaced: not every item is through"), "{log}");
    assert_eq!((bench.read("out.txt").as_str(), bench.read(".out.txt.new").lines().count()), ("old\n", 8));
    bench.edit(&numbers(2, "path = 'out.txt', replace = true", "1h", ""));
    let mut life = bench.start();
    life.wait_for_log("which takes its place at the end");
    [libc::SIGTERM, libc::SIGTERM].iter().for_each(|&signal| life.signal(signal));
    life.end(0);
    assert_eq!(bench.read("out.txt"), "old\n");
    assert!(!bench.path(".out.txt.new").exists() && bench.path(".out.txt.incomplete").exists());
}

#[test]
fn a_replacement_that_was_removed_half_way_replaces_nothing() {
    let rest = "give_up.restarts = 2\nbackoff = { initial = '1ms', max = '2ms' }\n";
    let bench = Bench::new(&numbers(5000, "path = 'out.txt', replace = true", "1ms", rest));
    fs::write(bench.path("out.txt"), "old\n").unwrap();
    let mut life = bench.start();
    bench.wait_for_lines(".out.txt.new", 20);
    fs::remove_file(bench.path(".out.txt.new")).unwrap();
    let log = life.end(1);
    assert!(log.contains("moved or removed while it was written, so a part is missing"), "{log}");
    assert_eq!(bench.read("out.txt"), "old\n", "{log}");
    // Also when nothing is left to be written.
    let text = "[stages.number]\ncommand = 'seq 1 5; until test -e go; do sleep 0.02; done'\noutput = 'a'\n\
                [stages.write]\nuse = 'file'\nwith = { path = 'out.txt', replace = true }\ninput = 'a'\n";
    let bench = Bench::new(&format!("{text}{rest}"));
    fs::write(bench.path("out.txt"), "old\n").unwrap();
    let mut life = bench.start();
    bench.wait_for_lines(".out.txt.new", 5);
    fs::remove_file(bench.path(".out.txt.new")).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    let log = life.end(1);
    assert_eq!(bench.read("out.txt"), "old\n", "{log}");
}

#[test]
fn an_upgrade_goes_on_with_what_the_run_has_begun() {
    let with = "path = 'out.txt', replace = true";
    let bench = Bench::new(&numbers(1000, with, "1h", ""));
    let mut life = bench.start();
    bench.wait_for_lines(".out.txt.new", 1);
    let said = command(&bench.folder).args(["upgrade", "work"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    bench.edit(&numbers(1000, with, "1ms", ""));
    // A worker of the new program empties nothing.
    for worker in process::with_variable(life.child.id(), "MPRUN_STAGE", "write") {
        process::kill(worker, libc::SIGKILL);
    }
    assert!(life.end(0).contains("is replaced by what this run has written"));
    assert_all(&[bench.read("out.txt")], 1000);
}

#[test]
fn no_line_is_lost_whoever_is_killed_while_the_file_is_moved_and_removed() {
    let bench = Bench::new(&numbers(
        3000,
        "path = 'out.txt'",
        "1ms",
        "processes = 3\nattempts = 1000\ngive_up.restarts = 1000000\nbackoff = { initial = '1ms', max = '2ms' }\n",
    ));
    let mut life = bench.start();
    let (mut kept, mut open, mut deaths, mut round) = (Vec::new(), Vec::new(), 0, 0);
    while life.child.try_wait().unwrap().is_none() {
        for worker in process::with_variable(life.child.id(), "MPRUN_STAGE", "write") {
            deaths += u32::from(process::kill(worker, libc::SIGKILL));
        }
        std::thread::sleep(std::time::Duration::from_millis(20)); // so that there is some progress
        let path = bench.path("out.txt");
        round += 1;
        match round % 3 {
            0 => {
                let moved = bench.path(&format!("moved-{round}"));
                if fs::rename(&path, &moved).is_ok() {
                    kept.push(moved);
                }
            }
            1 => {
                let Ok(mut old) = File::open(&path) else { continue };
                let _ = fs::remove_file(&path);
                // As above: what stands there when it loses its name may stand there alone.
                let mut text = String::new();
                old.read_to_string(&mut text).unwrap();
                open.push(text);
            }
            _ => {}
        }
    }
    let log = life.end(0);
    assert!(deaths > 20, "{deaths} deaths: {log}");
    let mut texts: Vec<String> = kept.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    texts.extend(open);
    texts.push(bench.read("out.txt"));
    assert_all(&texts, 3000);
}
