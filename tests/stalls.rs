//! Nothing outside holds up the supervisor: not a standard error, a log file, a notify socket, a terminal, a metrics or
//! a control client that is never read.

mod support;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, LIMIT, Run, process, wait_until};

/// Kills of which the median is taken.
const KILLS: usize = 20;

#[derive(Clone, Copy, Debug, Default)]
struct Stalled {
    stderr: bool,
    terminal: bool,
    log_file: bool,
    notify: bool,
    metrics: bool,
    control: bool,
}

const ALL: Stalled =
    Stalled { stderr: true, terminal: false, log_file: true, notify: true, metrics: true, control: true };

/// A run, and what holds on to its stalled ends.
struct Setting {
    run: Run,
    _ends: Vec<OwnedFd>,
}

impl Setting {
    fn start(stalled: Stalled) -> Setting {
        let folder = Folder::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log_file = if stalled.log_file { "log_file = { path = 'stalled.log' }" } else { "" };
        folder.file("pipeline.toml", &pipeline(port, log_file));
        let mut ends: Vec<OwnedFd> = Vec::new();
        let mut command = support::command(&folder);
        command.args(["run", "pipeline.toml"]).stdout(Stdio::null());
        if stalled.log_file {
            let path = folder.path().join("stalled.log");
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
            // It has a reader, which reads nothing; without one the open would fail at once.
            let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
            ends.push(reader.into());
        }
        if stalled.notify {
            let path = folder.path().join("notify");
            ends.push(UnixDatagram::bind(&path).unwrap().into());
            command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "200000");
        }
        let child = match (stalled.terminal, stalled.stderr) {
            (true, _) => {
                let (ours, theirs) = terminal();
                ends.push(ours);
                command.args(["--progress", "always"]).env("TERM", "xterm").stderr(theirs);
                command.spawn().unwrap()
            }
            (false, true) => {
                let (reader, writer) = std::io::pipe().unwrap();
                // SAFETY: a plain system call on a descriptor that is open.
                unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
                ends.push(reader.into());
                command.stderr(writer).spawn().unwrap()
            }
            (false, false) => {
                command.stderr(File::create(folder.path().join("stderr")).unwrap()).spawn().unwrap()
            }
        };
        drop(command); // its end of the pipe
        let setting = Setting { run: Run::adopt(folder, child), _ends: Vec::new() };
        wait_until("the run to answer", || setting.status());
        if stalled.metrics {
            ends.extend(stalled_metrics(port));
        }
        if stalled.control {
            ends.extend(stalled_control(&setting.run.socket()));
        }
        Setting { _ends: ends, ..setting }
    }

    /// What `GET /v1/status` says.
    fn status(&self) -> Option<serde_json::Value> {
        let mut stream = UnixStream::connect(self.run.socket()).ok()?;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
    }

    fn worker(&self) -> Option<u64> {
        let status = self.status()?;
        let stages = status["stages"].as_array()?;
        let noisy = stages.iter().find(|stage| stage["name"] == "noisy")?;
        noisy["workers"][0]["pid"].as_u64()
    }

    fn done(&self) -> u64 {
        let status = self.status().unwrap();
        let queues = status["queues"].as_array().unwrap();
        queues.iter().find(|queue| queue["name"] == "r").unwrap()["done"].as_u64().unwrap()
    }

    /// Until its standard error has no room any more.
    fn wait_until_stalled(&self) {
        let before = self.done();
        wait_until("many lines to be logged", || (self.done() > before + 1500).then_some(()));
    }

    fn replacement(&self) -> Duration {
        let before = wait_until("a worker", || self.worker());
        let start = Instant::now();
        process::kill(u32::try_from(before).unwrap(), libc::SIGKILL);
        wait_until("its successor", || self.worker().filter(|pid| *pid != before));
        start.elapsed()
    }
}

/// Every item makes a long line of the log.
fn pipeline(port: u16, log_file: &str) -> String {
    format!(
        "drain_timeout = '1s'\n[metrics]\nlisten = '127.0.0.1:{port}'\n\
         [defaults]\nattempts = 1000000\nstop_timeout = '1s'\nbackoff = {{ initial = '1ms', max = '1ms' }}\n\
         give_up = {{ restarts = 1000, within = '1s' }}\n\
         [stages.n]\nuse = 'count'\noutput = 'q'\nsleep = '1ms'\n\
         [stages.noisy]\ncommand = \"while read -r x; do echo $x {} >&2; echo $x; done\"\nmode = 'reply'\n\
         input = 'q'\noutput = 'r'\n{log_file}\n\
         [stages.end]\nuse = 'discard'\ninput = 'r'\n",
        "z".repeat(300)
    )
}

/// A terminal that nothing is read from, as after Ctrl-S.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: the pointers are to live variables, or null where that is allowed; both descriptors are ours from here.
    unsafe {
        assert_eq!(
            libc::openpty(&mut ours, &mut theirs, none, std::ptr::null_mut(), std::ptr::null_mut()),
            0
        );
        for fd in [ours, theirs] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}

/// One client that asks and never reads, and one that never asks to the end.
fn stalled_metrics(port: u16) -> Vec<OwnedFd> {
    ["GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "GET /metr"]
        .map(|text| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.into()
        })
        .into()
}

fn stalled_control(socket: &Path) -> Vec<OwnedFd> {
    ["GET /v1/tap?queue=q HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/pause HTTP/1.1\r\nContent-Len"]
        .map(|text| {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.into()
        })
        .into()
}

/// How long it takes until a killed worker has a successor, in the middle: with and without a stall, in turns.
fn medians(with: &Setting, without: &Setting) -> (Duration, Duration) {
    let (mut with, mut without): (Vec<_>, Vec<_>) =
        (0..KILLS).map(|_| (with.replacement(), without.replacement())).unzip();
    with.sort();
    without.sort();
    (with[KILLS / 2], without[KILLS / 2])
}

/// All that must go on.
fn goes_on(stalled: Stalled) {
    let mut setting = Setting::start(stalled);
    setting.wait_until_stalled();
    let quiet = Setting::start(Stalled::default());
    quiet.wait_until_stalled();
    // The machine has other work as well, which may last for one measurement, but not for three.
    let mut compared = Vec::new();
    let is_as_fast = (0..3).any(|_| {
        compared.push(medians(&setting, &quiet));
        compared.last().is_some_and(|(with, without)| *with <= *without * 2)
    });
    assert!(is_as_fast, "{stalled:?}: workers are replaced in (with, without the stall) {compared:?}");
    let before = setting.done();
    wait_until("items to flow", || (setting.done() > before).then_some(()));
    let said = setting.run.ask(&["scale", "noisy=2", "--wait"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let start = Instant::now();
    setting.run.signal(libc::SIGTERM);
    assert_eq!(setting.run.wait(), 0);
    // Draining, stopping, and 2 s for what is left to say.
    assert!(start.elapsed() < Duration::from_secs(30), "the end took {:?}", start.elapsed());
}

#[test]
fn a_standard_error_that_is_never_read_holds_up_nothing() {
    goes_on(Stalled { stderr: true, ..Stalled::default() });
}

#[test]
fn a_log_file_that_is_a_pipe_without_a_reader_holds_up_nothing() {
    goes_on(Stalled { log_file: true, ..Stalled::default() });
}

#[test]
fn a_stopped_terminal_with_progress_bars_holds_up_nothing() {
    goes_on(Stalled { terminal: true, ..Stalled::default() });
}

#[test]
fn a_service_manager_that_reads_nothing_holds_up_nothing() {
    goes_on(Stalled { notify: true, ..Stalled::default() });
}

#[test]
fn clients_that_neither_ask_nor_read_hold_up_nothing() {
    goes_on(Stalled { metrics: true, control: true, ..Stalled::default() });
}

#[test]
fn all_of_it_stalled_at_once_holds_up_nothing() {
    goes_on(ALL);
}

#[test]
fn lines_that_did_not_fit_are_counted_once_there_is_room() {
    let folder = Folder::new();
    let text = "[stages.n]\nuse = 'count'\noutput = 'r'\n\
                [stages.end]\nuse = 'discard'\ninput = 'r'\nlog_items = true\n";
    folder.file("pipeline.toml", text);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = support::command(&folder);
    command.args(["run", "pipeline.toml"]).stdout(Stdio::null()).stderr(writer);
    let child = command.spawn().unwrap();
    drop(command);
    let mut setting = Setting { run: Run::adopt(folder, child), _ends: Vec::new() };
    wait_until("the run to answer", || setting.status());
    wait_until("more lines than fit", || (setting.done() > 100_000).then_some(()));
    let read = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        String::from_utf8_lossy(&all).into_owned()
    });
    let before = setting.done();
    wait_until("lines to be read again", || (setting.done() > before + 1000).then_some(()));
    setting.run.signal(libc::SIGTERM);
    assert_eq!(setting.run.wait(), 0);
    let log = read.join().unwrap();
    let lost = |line: &str| -> Option<u64> {
        line.split_once("mprun ")?.1.split_once(" lines of the log did not fit")?.0.parse().ok()
    };
    let lost: u64 = log.lines().filter_map(lost).sum();
    let shown = log.lines().filter(|line| line.contains(" end[0] ")).count() as u64;
    let done = log.lines().find_map(|line| line.split_once("stage end: ")?.1.split(' ').next()?.parse().ok());
    let done: u64 = done.expect("the summary is there");
    assert!(lost > 1000, "{lost} lines were lost");
    // One line for each item, and one now and then when there was none.
    assert!(shown + lost >= done, "{done} done, {shown} shown, {lost} lost");
}

#[test]
fn a_killed_or_stopped_log_writer_holds_up_nothing_and_is_replaced() {
    let mut run = Run::start(&pipeline(0, ""));
    run.wait_for_log("up after");
    let writers = |run: &Run| {
        let mut all = process::children(run.pid());
        all.retain(|pid| process::command_line(*pid).contains("__log"));
        all
    };
    for _ in 0..3 {
        let before = wait_until("a log writer", || writers(&run).first().copied());
        process::kill(before, libc::SIGKILL);
        wait_until("another log writer", || writers(&run).first().copied().filter(|pid| *pid != before));
    }
    let length = run.stderr().len();
    wait_until("the log to go on", || (run.stderr().len() > length).then_some(()));
    process::kill(writers(&run)[0], libc::SIGSTOP);
    run.tell(&["scale", "noisy=2", "--wait"]);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn the_last_lines_are_written_though_every_log_writer_was_killed() {
    let mut run = Run::start(&pipeline(0, ""));
    run.wait_for_log("up after");
    // Each comes later than the one before: at the end there is none.
    for _ in 0..6 {
        let writer = wait_until("a log writer", || {
            process::children(run.pid()).into_iter().find(|pid| process::command_line(*pid).contains("__log"))
        });
        process::kill(writer, libc::SIGKILL);
    }
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
    let log = run.stderr();
    assert!(log.contains("stage noisy: "), "{log}");
}

#[test]
fn a_pipe_or_a_device_that_a_client_names_is_not_waited_for() {
    let mut run = Run::start(&pipeline(0, ""));
    run.wait_for_log("up after");
    let fifo = run.folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    for name in ["fifo", "/dev/zero", "/dev/tty", "/proc/kmsg"] {
        let said = ask_for_plan(&run, name);
        assert!(said.contains("it can't be read again") || said.contains("ailed to read"), "{name}: {said}");
    }
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

/// As any client may, without what `mprun plan` checks first.
fn ask_for_plan(run: &Run, file: &str) -> String {
    let body = format!("{{\"file\":\"{}\"}}", run.folder.path().join(file).display());
    let mut stream = UnixStream::connect(run.socket()).unwrap();
    let head = format!(
        "POST /v1/plan HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_new_program_that_hangs_when_it_is_tried_holds_up_nothing() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &pipeline(0, ""));
    let program = folder.path().join("mprun");
    assert!(Command::new("cp").arg(support::binary()).arg(&program).status().unwrap().success());
    let plain = support::command(&folder);
    let mut command = Command::new(&program);
    command.args(["run", "pipeline.toml"]).current_dir(folder.path()).stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut run = Run::of(folder, command);
    run.wait_for_log("up after");
    let hangs = run.folder.file("hangs", "#!/bin/sh\nexec sleep 1000\n");
    Command::new("chmod").arg("+x").arg(&hangs).status().unwrap();
    std::fs::rename(hangs, program).unwrap();
    run.signal(libc::SIGUSR2);
    wait_until("the trial", || {
        let tried = |pid: &u32| process::command_line(*pid).contains("sleep 1000");
        process::children(run.pid()).iter().find(|pid| tried(pid)).copied()
    });
    run.tell(&["scale", "noisy=2", "--wait"]);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}
