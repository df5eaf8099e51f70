//! Replies that take their time.

use super::reply::{self, Response};
use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

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

/// A reply that never ends but with this process: whoever waits for that reads to the end of it.
pub fn until_the_end() -> Response {
    let (sender, receiver) = mpsc::channel(1);
    // The sender keeps it open, as long as the client does.
    tokio::spawn(async move { sender.closed().await });
    reply::lines(Lines(receiver))
}
