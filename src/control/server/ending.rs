//! How the run ends, for clients that wait for it.

use super::reply::{self, Frames, Response};
use super::slots::either;
use super::stream::HEARTBEAT_INTERVAL;
use crate::control::protocol::RunEnded;
use hyper::body::Bytes;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// For the last line of all clients, which fits into the buffer of a socket though it is not read.
const LIMIT: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Empty as long as the run lasts. Its receivers are clients to whom it is yet to be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<watch::Sender<Option<RunEnded>>>);

impl Ending {
    /// Sends it to all that wait.
    pub(super) fn send(&self, ended: RunEnded) {
        self.0.send_replace(Some(ended));
        let until = Instant::now() + LIMIT;
        while self.0.receiver_count() > 0 && Instant::now() < until {
            sleep(LOOK_INTERVAL);
        }
    }

    /// A reply of one line at the end of the run, and of empty lines before it. It ends only with this process: by that a client sees that it is gone.
    pub(super) fn reply(&self) -> Response {
        let (sender, receiver) = mpsc::channel(1);
        let mut ended = self.0.subscribe();
        tokio::spawn(async move {
            let sent = async {
                let ended = loop {
                    match timeout(HEARTBEAT_INTERVAL, ended.wait_for(Option::is_some)).await {
                        Ok(Ok(ended)) => break *ended,
                        Ok(Err(_)) => return,
                        // A client that does not read has the last one still.
                        Err(_) => drop(sender.try_send(Bytes::from_static(b"\n"))),
                    }
                };
                let Ok(line) = serde_json::to_vec(&ended) else { return };
                if sender.send([line, vec![b'\n']].concat().into()).await.is_ok() {
                    // There is room again: the connection has taken the line, and has written it before it lets others run.
                    let _ = sender.reserve().await;
                }
            };
            either(sent, sender.closed()).await;
            drop(ended);
            sender.closed().await;
        });
        reply::lines(Frames(receiver))
    }
}
