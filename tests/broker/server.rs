//! A server of the test's own, on a free port of this machine, with a store in a folder that goes with it.

use crate::support::{Folder, LIMIT, process, wait_until};
use mprun::broker::{Access, AnyBroker, Broker, BrokerKind, Fault, Layout, Membership, QueueSettings};
use mprun::queue::WhenFull;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A Redis that is kept over a restart, and a kill -9 loses nothing of it.
pub const SAFE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

pub struct Server {
    kind: BrokerKind,
    child: Child,
    folder: Folder,
    pub port: u16,
    arguments: Vec<String>,
}

impl Server {
    /// One that loses nothing by a kill -9.
    pub fn safe(kind: BrokerKind) -> Server {
        match kind {
            BrokerKind::Redis => Server::start(SAFE),
            BrokerKind::Nats => Server::nats(&["-js"], ""),
        }
    }

    /// A redis-server; PORT in its arguments is the one where it listens.
    pub fn start(arguments: &[&str]) -> Server {
        Server::new(BrokerKind::Redis, arguments, Folder::new())
    }

    /// A nats-server, with a file of settings.
    pub fn nats(arguments: &[&str], settings: &str) -> Server {
        let folder = Folder::new();
        folder.file("nats.conf", settings);
        Server::new(BrokerKind::Nats, arguments, folder)
    }

    fn new(kind: BrokerKind, arguments: &[&str], folder: Folder) -> Server {
        let port = free_port();
        let arguments: Vec<String> =
            arguments.iter().map(|word| word.replace("PORT", &port.to_string())).collect();
        let child = spawn(kind, &folder, port, &arguments);
        let server = Server { kind, child, folder, port, arguments };
        server.wait();
        server
    }

    /// The system takes connections before the server looks at them. A server with TLS ends one like this.
    fn wait(&self) {
        wait_until("the server", || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            if self.kind == BrokerKind::Redis {
                stream.write_all(b"PING\r\n").ok()?;
            }
            let mut answer = [0; 8];
            let _ = stream.read(&mut answer);
            (answer != *b"-LOADING").then_some(())
        });
    }

    /// For what a server listens at beside its port.
    pub fn free_port() -> u16 {
        free_port()
    }

    pub fn kill(&mut self) {
        process::kill(self.child.id(), libc::SIGKILL);
        self.child.wait().unwrap();
    }

    /// A Redis that was killed while it wrote a script's effects leaves them there without their end, and applies them by half at
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
        if self.kind == BrokerKind::Redis {
            self.repair();
        }
        self.child = spawn(self.kind, &self.folder, self.port, &self.arguments);
        self.wait();
    }

    /// What a Redis answers to a line.
    pub fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "{command}\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// A Redis writes its append-only file anew, as it does by itself where that has grown.
    #[allow(dead_code, reason = "what only the tests of each request use")]
    pub fn write_file_anew(&self) {
        const IS_BUSY: &str = "local text = redis.call('INFO', 'persistence') \
            return tonumber(string.match(text, 'aof_rewrite_in_progress:(%d)')) + tonumber(string.match(text, 'aof_rewrite_scheduled:(%d)'))";
        wait_until("the rewrite", || self.ask("BGREWRITEAOF").starts_with('+').then_some(()));
        wait_until("the rewritten file", || {
            (self.ask(&format!("EVAL \"{IS_BUSY}\" 0")) == ":0").then_some(())
        });
    }

    /// From its next start on an argument is another one.
    #[allow(dead_code, reason = "tests of machines alone use it")]
    pub fn change_argument(&mut self, from: &str, to: &str) {
        let found = self.arguments.iter_mut().find(|argument| *argument == from);
        *found.expect("an argument of the server") = to.to_owned();
    }

    /// Where a nats-server keeps its streams.
    pub fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    /// The address, with who asks.
    pub fn url_of(&self, user: &str) -> String {
        let at = if user.is_empty() { "" } else { "@" };
        let scheme = if self.kind == BrokerKind::Redis { "redis" } else { "nats" };
        format!("{scheme}://{user}{at}127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        self.url_of("")
    }

    pub fn access(&self) -> Access {
        Access::at(self.url())
    }

    /// Asks until the server is ready: it may be loading what it had.
    pub async fn join(&self, layout: &Layout, machine: &str) -> AnyBroker {
        join(&self.access(), layout, &member(machine)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// None that the system gives to a connection of a test beside, and none that another server of this process is about to listen at.
fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(0..20_000)));
    wait_until("a free port", || {
        let port = 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    })
}

fn spawn(kind: BrokerKind, folder: &Folder, port: u16, arguments: &[String]) -> Child {
    let mut command = match kind {
        BrokerKind::Redis => {
            let mut redis = Command::new("redis-server");
            redis.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
            redis.arg("--dir").arg(folder.path());
            redis
        }
        BrokerKind::Nats => {
            let mut nats = Command::new("nats-server");
            nats.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
            nats.arg("-sd").arg(folder.path().join("store")).arg("-c").arg(folder.path().join("nats.conf"));
            nats
        }
    };
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server and nats-server: tests/run installs them")
}

/// Each test on each broker. One that is not named is a function without a use.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod redis {
            $(#[test]
            fn $test() {
                super::$test(mprun::broker::BrokerKind::Redis);
            })*
        }
        mod nats {
            $(#[test]
            fn $test() {
                super::$test(mprun::broker::BrokerKind::Nats);
            })*
        }
    };
}
pub(crate) use on_both;

pub fn member(machine: &str) -> Membership {
    Membership {
        machine: machine.into(),
        life: "1".into(),
        joined: None,
        only: None,
        new_run: false,
        allow_loss: false,
    }
}

pub async fn join(access: &Access, layout: &Layout, who: &Membership) -> AnyBroker {
    joined(access, layout, who).await.unwrap_or_else(|fault| panic!("{fault}"))
}

/// What becomes of a join at a server that may still be starting, or on a disk that stands still for seconds.
pub async fn joined(access: &Access, layout: &Layout, who: &Membership) -> Result<AnyBroker, Fault> {
    once_it_answers(async || AnyBroker::join(access, layout, who).await).await
}

/// The same for a look from without.
#[allow(dead_code, reason = "tests of the broker alone use it")]
pub async fn examined(access: &Access, layout: &Layout) -> Result<Vec<String>, Fault> {
    once_it_answers(async || AnyBroker::examine(access, layout, false).await).await
}

async fn once_it_answers<T>(ask: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
    let start = Instant::now();
    loop {
        match ask().await {
            Err(fault) if fault.may_pass() && start.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answer => return answer,
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
        replicas: 1,
    }
}

/// The ledger of every queue adds up.
pub async fn audit(broker: &impl Broker, layout: &Layout) {
    for n in 0..layout.queues.len() {
        let ledger = broker.ledger(mprun::broker::SharedQueue(n as u16)).await.unwrap();
        assert!(ledger.adds_up(), "queue {n}: {ledger:?}");
    }
}
