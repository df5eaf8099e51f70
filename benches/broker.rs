//! One hop over each broker, in one run: `lines -> jobs -> work -> done -> discard` in one mprun, beside bare clients that do the same
//! steps item by item; start and end subtracted, in pairs. As Redis runs with and without an fsync for each request, and JetStream with
//! its own `sync_interval`. `-- PART` (redis, nats) does a part.
#![allow(missing_docs, reason = "a program")]

#[path = "broker/bare.rs"]
mod bare;
mod pairs;

use pairs::{Goal, Pairs, row};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const TURNS: usize = 5;
/// Bytes of an item, items of a run, and what is wanted: small ones go together.
const SIZES: [(usize, u64, Goal); 3] = [
    (8, 20_000, Goal::AtLeast(5.0)),
    (1 << 10, 10_000, Goal::AtLeast(0.9)),
    (1 << 16, 600, Goal::AtLeast(0.9)),
];

struct Server {
    name: &'static str,
    child: Child,
    url: String,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start(name: &'static str, program: &str, port_option: &str, arguments: &[&str]) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = std::env::temp_dir().join(format!("mprun-bench-broker-{port}"));
    fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(program);
    command.args([port_option, &port.to_string()]).args(arguments).current_dir(&folder);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        sleep(Duration::from_millis(5));
    }
    let scheme = name.split(' ').next().unwrap();
    Server { name, child, url: format!("{scheme}://127.0.0.1:{port}"), folder }
}

impl Server {
    /// Seconds that a run of so many items takes.
    fn run(&self, items: u64, bytes: usize, side: u64) -> f64 {
        fs::write(self.folder.join("items"), ("x".repeat(bytes) + "\n").repeat(items as usize)).unwrap();
        let text = format!(
            "broker = '{}'\n[queues.jobs]\nshared = true\n[queues.done]\nshared = true\n[stages.read]\nuse = 'lines'\n\
             with = {{ path = 'items' }}\noutput = 'jobs'\n[stages.work]\nuse = 'format'\nprocesses = {side}\n\
             with = {{ template = '{{item}}' }}\ninput = 'jobs'\noutput = 'done'\n[stages.write]\nuse = 'discard'\n\
             processes = {side}\ninput = 'done'\n",
            self.url
        );
        let file = self.folder.join("hop.toml");
        fs::write(&file, text).unwrap();
        let begun = Instant::now();
        let mut mprun = Command::new(env!("CARGO_BIN_EXE_mprun"));
        mprun.arg("run").arg(&file).args(["--new-run", "-q"]).env("XDG_STATE_HOME", &self.folder);
        let output = mprun.env("XDG_RUNTIME_DIR", &self.folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        begun.elapsed().as_secs_f64()
    }

    /// Seconds of the processor that it has had.
    fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
        (fields[12].parse::<f64>().unwrap() + fields[13].parse::<f64>().unwrap()) / 100.0
    }
}

/// Of 8-byte items, one to one: mprun's own beside the server's, and what both need for an item beside what the bare clients and the
/// server need for one.
fn processor_time(server: &Server) {
    let (ours, of_bare_clients) = (100_000, 5_000);
    // Microseconds of the processor for an item: the clients', and the server's.
    let of = |who, items: u64, run: &dyn Fn(u64) -> f64| {
        let (clients, broker) = (of_processes(who), server.processor());
        run(items);
        [of_processes(who) - clients, server.processor() - broker].map(|seconds| seconds * 1e6 / items as f64)
    };
    let mut alone = Vec::new();
    let mut both = || {
        let [own, broker] = of(libc::RUSAGE_CHILDREN, ours, &|items| server.run(items, 8, 1));
        alone.push((own, broker));
        own + broker
    };
    let mut bare = || {
        let run = |items| bare::through(&server.url, items, 8, 1);
        of(libc::RUSAGE_SELF, of_bare_clients, &run).iter().sum()
    };
    let both = Pairs::take(TURNS, &mut both, &mut bare);
    let own = Pairs::from_iter(alone);
    let name = format!("{}, processor time of an item", server.name);
    row(&format!("{name}: own beside the server's"), "server", "us", 1, &own, Goal::AtMost(0.3));
    row(&format!("{name}: own and the server's, beside bare clients'"), "bare", "us", 1, &both, Goal::None);
}

/// Seconds of the processor that this process has had, or that all its children have had that have ended.
fn of_processes(who: libc::c_int) -> f64 {
    // SAFETY: a plain system call, which fills the zeroed struct.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    [usage.ru_utime, usage.ru_stime].iter().map(|time| time.tv_sec as f64 + time.tv_usec as f64 / 1e6).sum()
}

fn servers(part: &str) -> Vec<Server> {
    let redis = |name, fsync| {
        let arguments = ["--save", "", "--appendonly", "yes", "--appendfsync", fsync];
        start(name, "redis-server", "--port", &arguments)
    };
    let mut servers = Vec::new();
    if "redis".contains(part) {
        servers.push(redis("redis always", "always"));
        servers.push(redis("redis everysec", "everysec"));
    }
    if "nats".contains(part) {
        servers.push(start("nats jetstream", "nats-server", "-p", &["-js", "-sd", "store"]));
    }
    servers
}

fn main() {
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("| a hop | mprun | bare clients | ratio | goal |\n|---|---|---|---|---|");
    for server in servers(&part) {
        for (bytes, items, goal) in SIZES {
            for side in [1, 2] {
                let ours = || items as f64 / (server.run(items, bytes, side) - server.run(1, bytes, side));
                let theirs = || items as f64 / bare::through(&server.url, items, bytes, side);
                let pairs = Pairs::take(TURNS, ours, theirs);
                row(
                    &format!("{}, {bytes} B, {side} to {side}", server.name),
                    "bare",
                    "items/s",
                    0,
                    &pairs,
                    goal,
                );
            }
        }
        processor_time(&server);
    }
}
