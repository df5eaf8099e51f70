//! One client: its requests, one after the other.

use super::patience::Patient;
use super::reply::{self, Response};
use super::route::{Route, route};
use super::{Ask, Desk, retry, stream};
use crate::control::protocol::{Answer, Reason, Refused, Reply, Request};
use crate::sys::cpus;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The head of a request: its line and its headers.
const LARGEST_HEAD: usize = 16 * 1024;
/// The body of a request.
const LARGEST_BODY: usize = 256 * 1024;
/// How long a client may take over the head, over the body, or between two requests.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long the supervisor may take over what needs no waiting.
const REPLY_WITHIN: Duration = Duration::from_secs(10);

/// Serves until the client goes, or asks too much.
pub async fn serve(stream: UnixStream, desk: Desk) {
    let service = service_fn(move |request| answer(desk.clone(), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SEND_WITHIN).max_buf_size(LARGEST_HEAD).max_headers(64);
    // What went wrong with a client is told to the client, as far as it listens.
    let _ = http.serve_connection(TokioIo::new(Patient::new(stream)), service).await;
}

async fn answer(desk: Desk, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
    Ok(respond(&desk, request).await.unwrap_or_else(|refused| reply::refused(&refused)))
}

async fn respond(desk: &Desk, request: hyper::Request<Incoming>) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    match route(&head.method, head.uri.path(), head.uri.query(), &body)? {
        Route::Hello => Ok(reply::hello()),
        Route::Ask { request, waits } => {
            let answer = ask(&desk.ask, request, waits).await?;
            let mut answer = rated(desk, answer);
            if let Answer::Status(snapshot) = &mut answer {
                desk.letters.tell(snapshot).await;
            }
            Ok(reply::answer(answer))
        }
        Route::Tap(tap) => stream::tap(desk, tap).await,
        Route::Retry(keys) => Ok(reply::value(&retry::retry(desk, keys).await?)),
        Route::End => Ok(stream::until_the_end()),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refused> {
    let refuse = |reason, error: &str| Refused { reason, error: error.to_owned() };
    match timeout(SEND_WITHIN, Limited::new(body, LARGEST_BODY).collect()).await {
        Err(_) => Err(refuse(Reason::TooSlow, "the body of the request did not come in time")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(refuse(Reason::TooLarge, &format!("a request's body has at most {LARGEST_BODY} bytes")))
        }
        Ok(Err(error)) => Err(refuse(Reason::Malformed, &format!("the body can't be read: {error}"))),
    }
}

/// Asks the supervisor.
pub async fn ask(supervisor: &Ask, request: Request, waits: bool) -> Reply {
    let (sender, receiver) = oneshot::channel();
    supervisor(request, sender);
    let over = |_| Err(Refused { reason: Reason::Stopping, error: "the run is over".to_owned() });
    if waits {
        return receiver.await.unwrap_or_else(over);
    }
    match timeout(REPLY_WITHIN, receiver).await {
        Ok(reply) => reply.unwrap_or_else(over),
        Err(_) => Err(Refused {
            reason: Reason::TooSlow,
            error: "the supervisor did not answer in time".to_owned(),
        }),
    }
}

/// With what takes more than one look.
pub fn rated(desk: &Desk, mut answer: Answer) -> Answer {
    if let Answer::Status(snapshot) = &mut answer
        && let Ok(mut samples) = desk.samples.lock()
    {
        samples.rate(snapshot, cpus::ticks);
    }
    answer
}
