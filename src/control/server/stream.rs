//! The items that pass through a queue, as a stream.

use super::reply::{self, Frames, Response};
use super::state::ServerState;
use crate::control::protocol::{Answer, Refused, Request, Tap};
use crate::status::Glimpse;
use hyper::body::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Between two looks at a tapped queue: quick for the eye, nothing for the queue.
const TAP_INTERVAL: Duration = Duration::from_millis(100);

/// What passes through a queue, a line for each item that is seen, until the client goes or the run ends.
pub(super) async fn tap(state: &ServerState, tap: Tap) -> Result<Response, Refused> {
    // The first look finds out whether there is such a queue.
    let first = look(state, &tap).await?;
    let (sender, receiver) = mpsc::channel(4);
    let state = state.clone();
    tokio::spawn(async move { watch(&state, &tap, first, sender).await });
    Ok(reply::lines(Frames(receiver)))
}

async fn watch(state: &ServerState, tap: &Tap, mut seen: Option<Glimpse>, lines: mpsc::Sender<Bytes>) {
    loop {
        if let Some(glimpse) = &seen {
            let mut line = serde_json::to_vec(glimpse).unwrap_or_default();
            line.push(b'\n');
            if lines.send(line.into()).await.is_err() {
                return;
            }
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
