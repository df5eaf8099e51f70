//! `GET /v1/events`: the status once a second, as server-sent events, as long as a client listens.
//!
//! A snapshot is taken and written as JSON once for all clients. A client that is some seconds behind is disconnected, and
//! may come again; none is waited for. Without clients nothing runs.
//!
//! | event | data |
//! |---|---|
//! | `layout` | where stages and queues stand in a drawing; at first, and when they change |
//! | `history` | rates of the last ten minutes, as far as a client listened then; at first |
//! | `snapshot` | as `GET /v1/status` |

use super::drawing;
use super::history::History;
use super::reply::{Frames, Response, with_type};
use super::state::ServerState;
use crate::status::Snapshot;
use http_body_util::Either;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(1);
/// Events that wait for a client to read them. With one more it is too slow.
const MAX_BEHIND: usize = 8;

/// Those who listen.
#[derive(Clone, Default)]
pub(super) struct Events(Arc<Mutex<Listeners>>);

#[derive(Default)]
struct Listeners {
    clients: Vec<Client>,
    is_running: bool,
    history: History,
}

struct Client {
    events: mpsc::Sender<Bytes>,
    /// It has had what a client gets at first.
    begun: bool,
}

impl Events {
    /// A stream for one more client.
    pub(super) fn listen(&self, state: &ServerState) -> Response {
        let (events, receiver) = mpsc::channel(MAX_BEHIND);
        let mut listeners = self.lock();
        listeners.clients.push(Client { events, begun: false });
        if !std::mem::replace(&mut listeners.is_running, true) {
            tokio::spawn(run(self.clone(), state.clone()));
        }
        drop(listeners);
        with_type(StatusCode::OK, "text/event-stream", Either::Right(Frames(receiver)))
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client is left.
    fn is_heard(&self) -> bool {
        let mut listeners = self.lock();
        listeners.clients.retain(|client| !client.events.is_closed());
        listeners.is_running = !listeners.clients.is_empty();
        listeners.is_running
    }

    fn send(&self, snapshot: &Snapshot, layout: Option<&Bytes>, first: &Bytes) {
        let event = event("snapshot", snapshot);
        let mut listeners = self.lock();
        listeners.history.note(snapshot);
        let history = match listeners.clients.iter().all(|client| client.begun) {
            true => Bytes::new(),
            false => self::event("history", &listeners.history),
        };
        listeners.clients.retain_mut(|client| {
            let has_begun = std::mem::replace(&mut client.begun, true);
            let before = if has_begun { layout.into_iter().collect() } else { vec![first, &history] };
            let mut all = before.into_iter().chain([&event]);
            all.all(|event| client.events.try_send(event.clone()).is_ok())
        });
    }
}

async fn run(events: Events, state: ServerState) {
    let mut seconds = interval(INTERVAL);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut layout = (Vec::new(), Bytes::new());
    loop {
        seconds.tick().await;
        if !events.is_heard() {
            return;
        }
        // A supervisor that is busy answers later; the page says that nothing comes.
        let Some(snapshot) = state.snapshot().await else { continue };
        let shape = drawing::shape(&snapshot);
        let is_new = shape != layout.0;
        if is_new {
            layout = (shape, event("layout", &drawing::of(&snapshot)));
        }
        events.send(&snapshot, is_new.then_some(&layout.1), &layout.1);
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    // JSON holds no line feed of its own: an event is one line.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
