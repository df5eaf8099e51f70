//! The server: one thread that reads requests, asks the supervisor, and writes its answers.
//!
//! A client can cost only this thread: it bounds headers and bodies, the time to send them and to read the reply, and the
//! number of connections ([`slots`]). Without a client it sleeps in the kernel.
//!
//! | a client … | then |
//! |---|---|
//! | closes its writing half after the request | it gets its answer |
//! | closes both halves while it waits | its request is done, and its slot is free |
//! | comes when all slots are taken | the connection is closed that the server waits for longest; if all clients wait for answers, the new one is refused |
//! | does not read its answer | it is disconnected after a while, and before others when a slot is wanted |

mod ask;
mod broker_letters;
mod closing;
mod connection;
mod drawing;
mod ending;
mod events;
mod history;
mod http;
mod late;
mod letter_count;
mod letters;
mod log_lines;
mod machines;
mod metrics;
mod neighbours;
mod query;
mod reply;
mod retry;
mod route;
mod shared;
mod slots;
mod state;
mod stream;
mod unread_head;
mod web;
mod write_timeout;

use crate::control::protocol::RunEnded;
use crate::dead_letter::Store;
use connection::Transport;
use ending::Ending;
use late::LateListener;
use letters::LetterReader;
use shared::Shared;
use slots::{ACCEPT_RETRY_DELAY, Slots, either};
use state::ServerState;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;
use tokio::net;
use tokio::sync::{mpsc, oneshot};

pub(crate) use ask::Ask;
pub(crate) use retry::Retrier;
pub(crate) use shared::Place;
use web::Change;
pub(crate) use web::Settings;

const MAX_CONNECTIONS: usize = 128;
/// For a request and its reply.
const STACK_BYTES: usize = 512 * 1024;

/// Where to serve.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// The control socket.
    pub control: Option<UnixListener>,
    /// Metrics, for Prometheus.
    pub metrics: Option<TcpListener>,
    /// The address of metrics that could not be had.
    pub missing_metrics: Option<SocketAddr>,
    /// `[control] listen`.
    pub web: Option<TcpListener>,
}

/// The running server. Dropped, it ends, and its connections with it.
#[derive(Debug)]
pub(crate) struct Server {
    changes: mpsc::UnboundedSender<Change>,
    late_web: LateListener,
    late_metrics: LateListener,
    ending: Ending,
    /// Its end is that of the thread.
    _life: oneshot::Sender<()>,
}

impl Server {
    /// From now on clients are served in this way.
    pub(crate) fn set(&self, settings: Settings) {
        let _ = self.changes.send(Change::Settings(settings)); // without the server's thread there are no clients
    }

    /// Clients over TCP need the tokens from now on that their files hold now.
    pub(crate) fn read_tokens_again(&self) {
        let _ = self.changes.send(Change::Tokens);
    }

    /// Adds those of addresses that could not be had at first, and are served by now.
    pub(crate) fn move_late_listeners(&self, to: &mut Listeners) {
        to.web = to.web.take().or_else(|| self.late_web.take());
        to.metrics = to.metrics.take().or_else(|| self.late_metrics.take());
    }

    /// Those that wait for the end get to know what it is like; then this process may end.
    pub(crate) fn say_end(&self, exit_code: u8) {
        self.ending.send(RunEnded { exit_code });
    }
}

impl Listeners {
    /// Copies that outlive this program: clients that connect during an upgrade wait there.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Listeners> {
        let control = self.control.as_ref().map(UnixListener::try_clone).transpose()?;
        let copy = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::try_clone).transpose();
        Ok(Listeners {
            control,
            metrics: copy(&self.metrics)?,
            missing_metrics: self.missing_metrics,
            web: copy(&self.web)?,
        })
    }
}

/// Serves from now on, until it is dropped; `[control] listen`, once there are settings. `dead_letters`: their file.
///
/// # Errors
/// When the thread or what it needs can't be made.
pub(crate) fn start(
    listeners: Listeners,
    place: Place,
    ask: Ask,
    dead_letters: &Store,
) -> io::Result<Server> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let state = ServerState::new(ask, dead_letters);
    let ending = Ending::default();
    let shared = Shared::new(state.clone(), LetterReader::new(&dead_letters.path), place, ending.clone());
    let (to_web, changes) = mpsc::unbounded_channel();
    let [late_web, late_metrics] = [LateListener::default(), LateListener::default()];
    let late = (late_web.clone(), late_metrics.clone());
    let (control, metrics) = {
        let _context = runtime.enter();
        let control = listeners.control.map(net::UnixListener::from_std).transpose()?;
        (control, listeners.metrics.map(net::TcpListener::from_std).transpose()?)
    };
    let (life, ended) = oneshot::channel();
    let serve = move || {
        runtime.block_on(async {
            if let Some(metrics) = metrics {
                tokio::spawn(metrics::serve(metrics, state));
            } else if let Some(address) = listeners.missing_metrics {
                tokio::spawn(metrics::serve_later(address, state, late.1));
            }
            tokio::spawn(web::serve(changes, shared.clone(), late.0));
            let accepting = async {
                match control {
                    Some(control) => accept(control, shared).await,
                    None => std::future::pending().await,
                }
            };
            either(accepting, async { drop(ended.await) }).await;
        });
        // A slow disk may hold up what it has begun.
        runtime.shutdown_background();
    };
    thread::Builder::new().name("control".to_owned()).stack_size(STACK_BYTES).spawn(serve)?;
    Ok(Server { changes: to_web, late_web, late_metrics, ending, _life: life })
}

async fn accept(listener: net::UnixListener, shared: Shared) {
    let slots = Slots::new(MAX_CONNECTIONS);
    loop {
        slots.room().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::debug!(target: "mprun", "failed to accept a control connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let shared = shared.clone();
        slots.admit(stream, reply::too_many, |stream, slot| {
            connection::serve(stream, Transport::Socket, shared, slot)
        });
    }
}

#[cfg(test)]
mod tests;
