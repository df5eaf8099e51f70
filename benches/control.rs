//! What looking on costs: `cargo bench --bench control`.
//!
//! `storm`: a pipeline under load, quiet and beside 10,000 requests for its status, in turns; the ratio is what counts.
//! `viewers`: the same beside 50 clients of the event stream, as so many open pages are, and beside one.
//! `status`: how long the status of a pipeline with 1,000 workers takes, over one connection.

mod ask;

use ask::status;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// One run of a pipeline in a folder of its own.
struct Run {
    folder: PathBuf,
    child: Child,
}

impl Run {
    fn start(name: &str, text: &str) -> Run {
        let folder = std::env::temp_dir().join(format!("mprun-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("make a folder");
        fs::write(folder.join("p.toml"), text).expect("write the pipeline");
        let child = Command::new(env!("CARGO_BIN_EXE_mprun"))
            .arg("p.toml")
            .current_dir(&folder)
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start mprun");
        Run { folder, child }
    }

    fn connect(&self) -> BufReader<UnixStream> {
        let socket = self.folder.join("run/mprun/p.sock");
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => return BufReader::new(stream),
                Err(error) => assert!(Instant::now() < limit, "{error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until every worker works.
    fn settle(&self, workers: usize) {
        let mut connection = self.connect();
        while status(&mut connection).matches("\"state\":\"working\"").count() < workers {
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.folder());
    }
}

/// Items that the last queue has done with.
fn done(connection: &mut BufReader<UnixStream>) -> u64 {
    let text = status(connection);
    let (_, last) = text.rsplit_once("\"done\":").expect("a ledger");
    last.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).expect("a number")
}

const LOADED: &str = "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n\
                      [stages.pass]\nuse = 'filter'\nwith = { matches = '.' }\ninput = 'a'\noutput = 'b'\n\
                      [stages.end]\nuse = 'discard'\ninput = 'b'\n";

const REQUESTS: u32 = 10_000;
/// The storm comes in gusts with as long a quiet after each: a virtual machine's own pace changes within seconds, and
/// would be taken for the storm's doing.
const GUSTS: u32 = 40;
/// 500 requests a second: as many as a monitor that looks every second asks in eight minutes.
const GUST: Duration = Duration::from_millis(500);

/// Items a second over a while, with so many requests in it.
fn throughput(run: &Run, requests: u32) -> f64 {
    let mut connection = run.connect();
    let (before, start) = (done(&mut connection), Instant::now());
    for n in 0..requests {
        let due = GUST * n / requests.max(1);
        thread::sleep(due.saturating_sub(start.elapsed()));
        status(&mut connection);
    }
    thread::sleep(GUST.saturating_sub(start.elapsed()));
    let after = done(&mut connection);
    (after - before) as f64 / start.elapsed().as_secs_f64()
}

/// Pages that are open.
const VIEWERS: usize = 50;
const LOOK: Duration = Duration::from_secs(2);
const LOOKS: u32 = 20;

/// Reads events until it is dropped. The clients of all viewers are one thread, which waits for them.
struct Viewers(Vec<UnixStream>, thread::JoinHandle<u64>);

impl Viewers {
    fn new(run: &Run, count: usize) -> Viewers {
        let clients: Vec<UnixStream> = (0..count)
            .map(|_| {
                let mut client = run.connect().into_inner();
                client.write_all(b"GET /v1/events HTTP/1.1\r\nhost: b\r\n\r\n").expect("ask");
                client
            })
            .collect();
        let mut readers: Vec<UnixStream> =
            clients.iter().map(|client| client.try_clone().expect("a copy")).collect();
        let reading = thread::spawn(move || {
            let (mut bytes, mut part) = (0, vec![0; 1 << 16]);
            // One after the other: each has an event a second.
            while !readers.is_empty() {
                for reader in &mut readers {
                    match reader.read(&mut part) {
                        Ok(0) | Err(_) => return bytes,
                        Ok(length) => bytes += length as u64,
                    }
                }
            }
            bytes
        });
        Viewers(clients, reading)
    }

    /// The bytes that they have read.
    fn close(self) -> u64 {
        for client in &self.0 {
            client.shutdown(std::net::Shutdown::Both).expect("close");
        }
        self.1.join().expect("the reader")
    }
}

/// Seconds of CPU time that mprun's thread for clients has had.
fn control_seconds(run: &Run) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", run.child.id())).expect("its threads");
    let control = tasks
        .flatten()
        .map(|task| task.path())
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "control"));
    let text =
        fs::read_to_string(control.expect("its thread for clients").join("schedstat")).expect("its time");
    text.split(' ').next().and_then(|time| time.parse::<f64>().ok()).expect("a number") / 1e9
}

fn viewers() {
    let run = Run::start("viewers", LOADED);
    run.settle(3);
    let mut connection = run.connect();
    let mut look = |count: usize| {
        let viewers = Viewers::new(&run, count);
        let (before, cost, start) = (done(&mut connection), control_seconds(&run), Instant::now());
        thread::sleep(LOOK);
        let (after, seconds) = (done(&mut connection), start.elapsed().as_secs_f64());
        let cost = (control_seconds(&run) - cost) / seconds;
        let read = viewers.close();
        assert!(count == 0 || read > 0, "no event came");
        ((after - before) as f64 / seconds, cost)
    };
    for count in [1, VIEWERS] {
        let (mut ratios, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS {
            let ((quiet, _), (seen, cost)) = (look(0), look(count));
            ratios.push(seen / quiet);
            costs.push(cost);
        }
        ratios.sort_by(f64::total_cmp);
        costs.sort_by(f64::total_cmp);
        let at = |part: f64| ratios[(ratios.len() as f64 * part) as usize];
        println!(
            "viewers: {count} clients of the event stream, {LOOKS} times {LOOK:?} in turns with none: throughput median \
             {:.3}, quartiles {:.3} and {:.3} (goal: 0.98); {:.1} ms of CPU time a second",
            at(0.5),
            at(0.25),
            at(0.75),
            costs[costs.len() / 2] * 1e3
        );
    }
}

fn storm() {
    let run = Run::start("storm", LOADED);
    run.settle(3);
    let mut ratios: Vec<f64> = (0..GUSTS)
        .map(|_| (throughput(&run, 0), throughput(&run, REQUESTS / GUSTS)))
        .map(|(quiet, storm)| storm / quiet)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |part: f64| ratios[(ratios.len() as f64 * part) as usize];
    println!(
        "storm: {REQUESTS} requests in {GUSTS} gusts of {GUST:?} beside a loaded pipeline, a quiet before each"
    );
    println!(
        "throughput of a gust to its quiet: median {:.3}, quartiles {:.3} and {:.3} (goal: 0.95)",
        at(0.5),
        at(0.25),
        at(0.75)
    );
}

fn thousand() {
    let text = "[stages.wait]\nuse = 'tick'\nwith = { every = '1h' }\noutput = 'a'\n\
                [stages.work]\nuse = 'discard'\ninput = 'a'\nprocesses = 1000\n";
    let run = Run::start("thousand", text);
    run.settle(1001);
    let mut connection = run.connect();
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            let length = status(&mut connection).len();
            assert!(length > 1000);
            start.elapsed()
        })
        .collect();
    took.sort();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("status of 1,000 workers: median {median:?}, slowest of {} {worst:?}", took.len());
}

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let parts: [(&str, fn()); 3] = [("status", thousand), ("storm", storm), ("viewers", viewers)];
    for (name, part) in parts {
        if wanted.as_ref().is_none_or(|wanted| wanted == name) {
            part();
        }
    }
}
