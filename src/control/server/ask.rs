//! One question to the supervisor.

use crate::control::protocol::{Reason, Refused, Reply, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The supervisor's limit for an answer, unless the request asks to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends a request to the supervisor, who replies when it has decided. A sender that is dropped without a reply: the run
/// is over.
pub(crate) type Ask = Arc<dyn Fn(Request, oneshot::Sender<Reply>) + Send + Sync>;

const OVER: &str = "the run is over, and its process ends";

pub(super) async fn ask(supervisor: &Ask, request: Request) -> Reply {
    let waits = matches!(&request, Request::Command(command) if command.waits());
    let (sender, receiver) = oneshot::channel();
    supervisor(request, sender);
    let over = |_| Err(Refused::new(Reason::Stopping, OVER));
    if waits {
        return receiver.await.unwrap_or_else(over);
    }
    match timeout(ANSWER_TIMEOUT, receiver).await {
        Ok(reply) => reply.unwrap_or_else(over),
        Err(_) => Err(Refused::new(Reason::TooSlow, "the supervisor did not answer in time")),
    }
}
