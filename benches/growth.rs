//! Whether a large pipeline costs as much for each stage as a small one: `cargo bench --bench growth [STAGES…]`.
//!
//! Pairs of stages, `tick -> discard`, asleep: how long a start, a `status`, a reload of one count and a stop take, what a
//! worker takes of memory, and how long a `status` waits that is asked for while workers are started. A straight line has the same time for each stage at every size.

mod ask;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A run has 4,000 processes at most, and the reload adds one.
const SIZES: [usize; 4] = [10, 100, 1000, 3998];
/// The size that the others are held against: at 10 the fixed costs are most of it.
const UNIT: usize = 100;
/// How often a status is asked for: the median counts.
const REQUESTS: usize = 15;
/// Workers whose memory is read.
const SAMPLES: usize = 20;

/// One run in a folder of its own.
struct Run {
    folder: PathBuf,
    child: Child,
    log: BufReader<ChildStderr>,
    /// What each `status` took that was asked for during the start.
    asked_in_start: Vec<Duration>,
}

impl Run {
    /// Starts it, and waits until all of it is up.
    fn start(stages: usize) -> (Run, Duration) {
        let folder = std::env::temp_dir().join(format!("mprun-bench-growth-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("make a folder");
        fs::write(folder.join("p.toml"), pipeline(stages, 1)).expect("write the pipeline");
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mprun"))
            .arg("p.toml")
            .current_dir(&folder)
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start mprun");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut run = Run { folder, child, log, asked_in_start: Vec::new() };
        run.ask_until_up();
        run.wait_for("up after");
        (run, start.elapsed())
    }

    fn connect(&self) -> io::Result<BufReader<UnixStream>> {
        UnixStream::connect(self.folder.join("run/mprun/p.sock")).map(BufReader::new)
    }

    fn ask_until_up(&mut self) {
        let mut connection = loop {
            match self.connect() {
                Ok(connection) => break connection,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        let mut is_up = false;
        while !is_up {
            let start = Instant::now();
            is_up = !ask::status(&mut connection).contains("\"phase\":\"starting\"");
            self.asked_in_start.push(start.elapsed());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(
                self.log.read_line(&mut line).expect("read the log") > 0,
                "the run ended before `{words}`"
            );
            assert!(!line.contains("ERROR"), "{line}");
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("run kill");
        assert!(sent.success());
    }

    fn status(&self) -> Duration {
        let mut connection = self.connect().expect("connect");
        let mut took: Vec<Duration> = (0..REQUESTS).map(|_| ask(&mut connection)).collect();
        took.sort();
        took[REQUESTS / 2]
    }

    fn reload(&mut self, stages: usize) -> Duration {
        let new = self.folder.join("new.toml");
        fs::write(&new, pipeline(stages, 2)).expect("write the pipeline");
        let start = Instant::now();
        fs::rename(&new, self.folder.join("p.toml")).expect("rename");
        self.signal("HUP");
        self.wait_for("reloaded after");
        start.elapsed()
    }

    fn stop(mut self) -> Duration {
        let start = Instant::now();
        self.signal("TERM");
        // To its end: a run waits a while for a reader of its last lines.
        self.log.read_to_end(&mut Vec::new()).expect("read the log");
        self.child.wait().expect("wait");
        start.elapsed()
    }

    /// KiB of an idle worker, and of the supervisor.
    fn memory(&self) -> [f64; 2] {
        let supervisor = self.child.id();
        let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
        let children: Vec<u32> =
            children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        let step = (children.len() / SAMPLES).max(1);
        let workers: Vec<f64> = children
            .iter()
            .skip(children.len() / 3)
            .step_by(step)
            .filter_map(|&pid| proportional(pid))
            .collect();
        let mean = workers.iter().sum::<f64>() / workers.len() as f64;
        [mean, proportional(supervisor).unwrap_or_default()]
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The proportional set size of a process, in KiB.
fn proportional(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
}

/// So many stages, in pairs; the first of them reads with so many workers.
fn pipeline(stages: usize, readers: usize) -> String {
    let pair = |n: usize| {
        let processes = if n == 0 { readers } else { 1 };
        format!(
            "[stages.tick{n}]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = 'q{n}'\n\
             [stages.end{n}]\nuse = 'discard'\ninput = 'q{n}'\nprocesses = {processes}\n"
        )
    };
    (0..stages / 2).map(pair).collect()
}

/// How long one status takes over a connection that is kept.
fn ask(connection: &mut BufReader<UnixStream>) -> Duration {
    let start = Instant::now();
    ask::status(connection);
    start.elapsed()
}

const ROWS: [&str; 4] = ["start", "status", "reload", "stop"];

fn measure(stages: usize) -> [Duration; 4] {
    let (mut run, start) = Run::start(stages);
    let status = run.status();
    let [worker, supervisor] = run.memory();
    let reload = run.reload(stages);
    let (answers, longest) = (run.asked_in_start.len(), run.asked_in_start.iter().max().copied());
    let took = [start, status, reload, run.stop()];
    let shown: Vec<String> = ROWS.iter().zip(took).map(|(row, took)| format!("{row} {took:.1?}")).collect();
    println!(
        "{stages:5} stages: {}; {answers} answers during the start, the longest after {:.1?}; PSS of a worker {worker:.0} KiB, \
         of the supervisor {supervisor:.0} KiB",
        shown.join(", "),
        longest.unwrap_or_default()
    );
    took
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if asked.is_empty() { SIZES.to_vec() } else { asked };
    let all: Vec<(usize, [Duration; 4])> =
        sizes.into_iter().map(|stages| (stages, measure(stages))).collect();
    let Some((unit, at_unit)) = all.iter().find(|(stages, _)| *stages == UNIT) else { return };
    for (stages, took) in all.iter().filter(|(stages, _)| stages > unit) {
        let growth = *stages as f64 / *unit as f64;
        let ratios: Vec<String> = ROWS
            .iter()
            .zip(took.iter().zip(at_unit))
            .map(|(row, (took, of_unit))| {
                format!("{row} {:.2}", took.as_secs_f64() / of_unit.as_secs_f64() / growth)
            })
            .collect();
        println!(
            "time of a stage at {stages} to that at {unit}: {} (a straight line: 1 at most)",
            ratios.join(", ")
        );
    }
}
