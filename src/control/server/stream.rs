//! The items that pass through a queue, as a stream.

use super::reply::{self, Frames, Response};
use super::state::ServerState;
use crate::control::protocol::{Answer, Refused, Request, Tap};
use crate::status::Glimpse;
use hyper::body::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Between two looks at a tapped queue: quick for the eye, nothing for the queue.
const TAP_INTERVAL: Duration = Duration::from_millis(100);
/// Of a stream in which nothing else comes. Most proxies wait for a minute.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// What passes through a queue, a line for each item that is seen, until the client goes or the run ends. While none
/// passes, an empty line now and then: a proxy ends a stream that is silent.
pub(super) async fn tap(state: &ServerState, tap: Tap) -> Result<Response, Refused> {
    // The first look finds out whether there is such a queue.
    let first = look(state, &tap).await?;
    let (sender, receiver) = mpsc::channel(4);
    let state = state.clone();
    tokio::spawn(async move { watch(&state, &tap, first, sender).await });
    Ok(reply::lines(Frames(receiver)))
}

async fn watch(state: &ServerState, tap: &Tap, mut seen: Option<Glimpse>, lines: mpsc::Sender<Bytes>) {
    let mut last = Instant::now();
    loop {
        if seen.is_some() || last.elapsed() >= HEARTBEAT_INTERVAL {
            let mut line = seen.as_ref().and_then(|seen| serde_json::to_vec(seen).ok()).unwrap_or_default();
            line.push(b'\n');
            if lines.send(line.into()).await.is_err() {
                return;
            }
            last = Instant::now();
        }
        if timeout(TAP_INTERVAL, lines.closed()).await.is_ok() {
            return;
        }
        match look(state, tap).await {
            Ok(more) => seen = more,
            Err(_) => return,
        }
    }
}

async fn look(state: &ServerState, tap: &Tap) -> Result<Option<Glimpse>, Refused> {
    match state.ask(Request::Tap(tap.clone())).await? {
        Answer::Tap(seen) => Ok(seen),
        _ => Ok(None),
    }
}
