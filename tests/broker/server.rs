//! A redis-server of the test's own, on a free port of this machine, with a store in a folder that goes with it.

use crate::support::{Folder, process, wait_until};
use mprun::broker::redis::{Access, Redis};
use mprun::broker::{Broker, Fault, Layout, Membership, QueueSettings};
use mprun::queue::WhenFull;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Kept over a restart, and a kill -9 loses nothing of it.
pub const SAFE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

pub struct Server {
    child: Child,
    folder: Folder,
    pub port: u16,
    arguments: Vec<String>,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Server {
        let folder = Folder::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let child = spawn(&folder, port, &arguments);
        let server = Server { child, folder, port, arguments };
        server.wait();
        server
    }

    fn wait(&self) {
        wait_until("redis-server", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    pub fn kill(&mut self) {
        process::kill(self.child.id(), libc::SIGKILL);
        self.child.wait().unwrap();
    }

    /// A server that was killed while it wrote a script's effects leaves them there without their end, and applies them by half at
    /// its second start from then on: its own tool repairs the file first, as docs/many-machines.md says.
    fn repair(&self) {
        let manifest = self.folder.path().join("appendonlydir/appendonly.aof.manifest");
        let mut check = Command::new("redis-check-aof");
        check.arg("--fix").arg(manifest).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut check = check.spawn().expect("redis-check-aof: tests/run installs it");
        let _ = check.stdin.take().unwrap().write_all(b"y\n"); // it asks only where there is something to repair
        check.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.repair();
        self.child = spawn(&self.folder, self.port, &self.arguments);
        self.wait();
    }

    pub fn access(&self) -> Access {
        Access { url: format!("redis://127.0.0.1:{}", self.port), tls_ca: None }
    }

    /// Asks until the server is ready: it may be loading what it had.
    pub async fn join(&self, layout: &Layout, machine: &str) -> Redis {
        join(&self.access(), layout, &member(machine)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(folder: &Folder, port: u16, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
        .arg("--dir")
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server: tests/run installs it")
}

pub fn member(machine: &str) -> Membership {
    Membership { machine: machine.into(), life: "1".into(), new_run: false, allow_loss: false }
}

pub async fn join(access: &Access, layout: &Layout, who: &Membership) -> Redis {
    loop {
        match Redis::join(access, layout, who).await {
            Ok(redis) => return redis,
            Err(Fault::Away(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(fault) => panic!("{fault}"),
        }
    }
}

/// Queues with these capacities, named a, b, …
pub fn layout(capacities: &[u64]) -> Layout {
    let queue = |(name, &capacity): (char, _)| QueueSettings {
        name: name.into(),
        capacity,
        when_full: WhenFull::Block,
    };
    Layout {
        prefix: "mprun".into(),
        pipeline: "test".into(),
        queues: ('a'..).zip(capacities).map(queue).collect(),
        ack_wait: Duration::from_secs(30),
        max_deliveries: 20,
    }
}

/// The ledger of every queue adds up.
pub async fn audit(redis: &Redis, layout: &Layout) {
    for n in 0..layout.queues.len() {
        let ledger = redis.ledger(mprun::broker::SharedQueue(n as u16)).await.unwrap();
        assert!(ledger.adds_up(), "queue {n}: {ledger:?}");
    }
}
