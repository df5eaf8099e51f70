//! One hop over each broker, in one run: `count -> jobs -> work -> done -> discard` in one mprun, start and end subtracted, in pairs.
//! As Redis runs with and without an fsync for each request, and JetStream with its own `sync_interval`.
#![allow(missing_docs, reason = "a program")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ITEMS: u64 = 20_000;
const PAIRS: usize = 5;

struct Server {
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

fn start(scheme: &str, program: &str, port_option: &str, arguments: &[&str]) -> Server {
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
    Server { child, url: format!("{scheme}://127.0.0.1:{port}"), folder }
}

/// Seconds that a run of so many items takes.
fn run(server: &Server, items: u64) -> f64 {
    let text = format!(
        "broker = '{}'\n[queues.jobs]\nshared = true\n[queues.done]\nshared = true\n[stages.read]\nuse = 'count'\n\
         with = {{ to = {items} }}\noutput = 'jobs'\n[stages.work]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\n\
         input = 'jobs'\noutput = 'done'\n[stages.write]\nuse = 'discard'\ninput = 'done'\n",
        server.url
    );
    let file = server.folder.join("hop.toml");
    fs::write(&file, text).unwrap();
    let begun = Instant::now();
    let mut mprun = Command::new(env!("CARGO_BIN_EXE_mprun"));
    mprun.arg("run").arg(&file).args(["--new-run", "-q"]).env("XDG_STATE_HOME", &server.folder);
    let output = mprun.env("XDG_RUNTIME_DIR", &server.folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed().as_secs_f64()
}

fn items_a_second(server: &Server) -> f64 {
    let empty = run(server, 1);
    ITEMS as f64 / (run(server, ITEMS) - empty)
}

fn main() {
    let servers = [
        (
            "redis, appendfsync always",
            start(
                "redis",
                "redis-server",
                "--port",
                &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
            ),
        ),
        (
            "redis, appendfsync everysec",
            start("redis", "redis-server", "--port", &["--save", "", "--appendonly", "yes"]),
        ),
        ("nats jetstream", start("nats", "nats-server", "-p", &["-js", "-sd", "store"])),
    ];
    let mut figures = vec![Vec::new(); servers.len()];
    for _ in 0..PAIRS {
        for (n, (_, server)) in servers.iter().enumerate() {
            figures[n].push(items_a_second(server));
        }
    }
    println!(
        "a hop and its source and sink over a broker, {ITEMS} items of a few bytes, items/s: median (least, most)"
    );
    for ((name, _), mut figures) in servers.iter().zip(figures) {
        figures.sort_by(f64::total_cmp);
        println!("{name:28} {:>8.0} ({:.0}, {:.0})", figures[PAIRS / 2], figures[0], figures[PAIRS - 1]);
    }
}
