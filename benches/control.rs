//! What looking on costs: `cargo bench --bench control`.
//!
//! `storm`: a pipeline under load, quiet and beside 10,000 requests for its status, in turns; the ratio is what counts.
//! `status`: how long the status of a pipeline with 1,000 workers takes, over one connection.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
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

/// One request over a connection that is kept.
fn status(connection: &mut BufReader<UnixStream>) -> String {
    connection.get_mut().write_all(b"GET /v1/status HTTP/1.1\r\nhost: b\r\n\r\n").expect("ask");
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).expect("a header");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("the body");
    String::from_utf8(body).expect("text")
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
/// The storm is spread over so long: a script that asks twenty times as often as a monitor does in an hour.
const OVER: Duration = Duration::from_secs(20);

/// Items a second over a while, with so many requests in it.
fn throughput(run: &Run, requests: u32) -> f64 {
    let mut connection = run.connect();
    let (before, start) = (done(&mut connection), Instant::now());
    for n in 0..requests {
        let due = OVER * n / requests.max(1);
        thread::sleep(due.saturating_sub(start.elapsed()));
        status(&mut connection);
    }
    thread::sleep(OVER.saturating_sub(start.elapsed()));
    let seconds = start.elapsed().as_secs_f64();
    // A connection that says nothing for so long is closed.
    (done(&mut run.connect()) - before) as f64 / seconds
}

fn storm() {
    let run = Run::start("storm", LOADED);
    run.settle(3);
    println!("storm: {REQUESTS} requests within {} s beside a loaded pipeline", OVER.as_secs());
    println!("{:>8} {:>14} {:>14} {:>8}", "round", "quiet items/s", "storm items/s", "ratio");
    for round in 1..=3 {
        let (quiet, storm) = (throughput(&run, 0), throughput(&run, REQUESTS));
        println!("{round:>8} {quiet:>14.0} {storm:>14.0} {:>8.3}", storm / quiet);
    }
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
    let parts: [(&str, fn()); 2] = [("status", thousand), ("storm", storm)];
    for (name, part) in parts {
        if wanted.as_ref().is_none_or(|wanted| wanted == name) {
            part();
        }
    }
}
