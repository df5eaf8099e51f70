//! The serving end: one thread that reads requests, asks the supervisor, and writes what it says.
//!
//! Whatever a client does costs only this thread: it bounds headers and bodies, how long a client may take to send
//! them and to read the reply, and how many are connected ([`seats`]). With nobody connected it sleeps in the kernel.
//!
//! | a client … | then |
//! |---|---|
//! | closes its writing half after the request | it gets its answer |
//! | closes both while it waits | what it asked for is done, and its seat is free |
//! | comes when all seats are taken | who keeps us waiting longest goes; if all wait for us, it is told to come again |
//! | does not read its answer | it is let go after a while, and before others when a seat is wanted |

mod connection;
mod letters;
mod linger;
mod metrics;
mod patience;
mod reply;
mod retry;
mod route;
mod seats;
mod stream;

use super::protocol::{Reply, Request};
use crate::dead_letter::Store;
use crate::status::Samples;
use crate::sys::cpus;
use seats::Seats;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::net;
use tokio::sync::oneshot;

pub use retry::Retrier;

/// Clients at once.
const CONNECTIONS: usize = 128;
/// After an error of the system, such as too many open files, the next try waits this long.
const REST: Duration = Duration::from_millis(100);
/// Enough for a request and its reply.
const STACK: usize = 512 * 1024;

/// Asks the supervisor, who replies when it has decided. Dropped without a reply: the run is over.
pub type Ask = Arc<dyn Fn(Request, oneshot::Sender<Reply>) + Send + Sync>;

/// What all connections share.
#[derive(Clone)]
struct ServerState {
    ask: Ask,
    samples: Arc<Mutex<Samples>>,
    /// Whoever has it may retry dead letters: a queue remembers only the last one.
    retrier: Arc<tokio::sync::Mutex<Retrier>>,
    letters: Arc<letters::Kept>,
}

/// Where to serve.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The control socket.
    pub control: Option<UnixListener>,
    /// Metrics, for Prometheus.
    pub metrics: Option<TcpListener>,
}

impl Listeners {
    /// The same sockets once more, so that they outlive this program: clients that come meanwhile wait there.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub fn try_clone(&self) -> io::Result<Listeners> {
        let control = self.control.as_ref().map(UnixListener::try_clone).transpose()?;
        Ok(Listeners { control, metrics: self.metrics.as_ref().map(TcpListener::try_clone).transpose()? })
    }
}

/// Serves from now on, until this process ends. `dead_letters`: their file.
///
/// # Errors
/// When the thread or what it needs can't be made.
pub fn start(listeners: Listeners, ask: Ask, dead_letters: &Store) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let samples = Arc::new(Mutex::new(Samples::new(cpus::ticks())));
    let retrier = Arc::new(tokio::sync::Mutex::new(Retrier::new(Arc::clone(&ask), &dead_letters.path)));
    let state = ServerState { ask, samples, retrier, letters: Arc::new(letters::Kept::of(dead_letters)) };
    let Listeners { control, metrics } = listeners;
    let (control, metrics) = {
        let _context = runtime.enter();
        let control = control.map(net::UnixListener::from_std).transpose()?;
        (control, metrics.map(net::TcpListener::from_std).transpose()?)
    };
    let serve = move || {
        runtime.block_on(async {
            if let Some(metrics) = metrics {
                tokio::spawn(metrics::serve(metrics, state.clone()));
            }
            match control {
                Some(control) => accept(control, state).await,
                None => std::future::pending().await,
            }
        });
    };
    thread::Builder::new().name("control".to_owned()).stack_size(STACK).spawn(serve)?;
    Ok(())
}

async fn accept(listener: net::UnixListener, state: ServerState) {
    let seats = Seats::new(CONNECTIONS);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::debug!(target: "mprun", "failed to accept a control connection: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let state = state.clone();
        seats.admit(stream, reply::too_many, |stream, seat| connection::serve(stream, state, seat));
    }
}
