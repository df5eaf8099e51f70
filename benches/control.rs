//! What looking on costs: `cargo bench --bench control`.
//!
//! `storm`: a pipeline under load, quiet and beside 10,000 requests for its status, in turns; the ratio is what counts.
//! `status`: how long the status of a pipeline with 1,000 workers takes, over one connection.

mod ask;

use ask::status;
use std::fs;
use std::io::BufReader;
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
    let parts: [(&str, fn()); 2] = [("status", thousand), ("storm", storm)];
    for (name, part) in parts {
        if wanted.as_ref().is_none_or(|wanted| wanted == name) {
            part();
        }
    }
}
