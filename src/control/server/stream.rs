//! Replies that take their time.

use super::ServerState;
use super::connection::ask;
use super::reply::{self, Response};
use crate::control::protocol::{Answer, Refused, Request, Tap};
use crate::status::Glimpse;
use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How often a queue is looked at while somebody looks on: quick for the eye, nothing for the queue.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A body whose lines come from elsewhere.
pub struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// What passes through a queue, a line for each item that is seen, until the client goes or the run ends.
pub async fn tap(state: &ServerState, tap: Tap) -> Result<Response, Refused> {
    // The first look: whether there is such a queue.
    let first = look(state, &tap).await?;
    let (sender, receiver) = mpsc::channel(4);
    let state = state.clone();
    tokio::spawn(async move { watch(&state, &tap, first, sender).await });
    Ok(reply::lines(Lines(receiver)))
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
        if timeout(LOOK_EVERY, lines.closed()).await.is_ok() {
            return;
        }
        match look(state, tap).await {
            Ok(more) => seen = more,
            Err(_) => return,
        }
    }
}

async fn look(state: &ServerState, tap: &Tap) -> Result<Option<Glimpse>, Refused> {
    match ask(&state.ask, Request::Tap(tap.clone()), false).await? {
        Answer::Tap(seen) => Ok(seen),
        Answer::Status(_) | Answer::Audit(_) | Answer::Plan(_) | Answer::Done(_) => Ok(None),
    }
}

/// A reply that never ends but with this process: whoever waits for that reads to the end of it.
pub fn until_the_end() -> Response {
    let (sender, receiver) = mpsc::channel(1);
    // The sender keeps it open, as long as the client does.
    tokio::spawn(async move { sender.closed().await });
    reply::lines(Lines(receiver))
}
