//! One client: its requests, one after the other.

use super::linger;
use super::patience::Patient;
use super::reply::{self, Body, Response};
use super::route::{Route, route};
use super::seats::{Held, Seat, either};
use super::{Ask, ServerState, retry, stream};
use crate::control::protocol::{Answer, Reason, Refused, Reply, Request};
use crate::sys::cpus;
use crate::sys::hangup::Hangup;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
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
pub async fn serve(stream: UnixStream, state: ServerState, seat: Arc<Seat>) {
    let hangup = Hangup::of(&stream);
    let stream = Patient::new(stream, Arc::clone(&seat));
    let service = service_fn(move |request| answer(state.clone(), Arc::clone(&seat), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SEND_WITHIN).max_buf_size(LARGEST_HEAD).max_headers(64);
    // A client that has said all may close its writing half, and read on.
    http.half_close(true);
    let served = async {
        // What went wrong with a client is told to the client, as far as it listens.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    };
    either(served, linger::gone(hangup)).await;
}

async fn answer(
    state: ServerState,
    seat: Arc<Seat>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Held<Body>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = read(body).await;
    let busy = seat.busy();
    let response = match body {
        Ok(body) => respond(&state, &head, &body).await,
        Err(refused) => Err(refused),
    };
    let response = response.unwrap_or_else(|refused| reply::refused(&refused));
    Ok(response.map(|body| Held::new(body, busy)))
}

async fn respond(state: &ServerState, head: &Parts, body: &[u8]) -> Result<Response, Refused> {
    match route(&head.method, head.uri.path(), head.uri.query(), body)? {
        Route::Hello => Ok(reply::hello()),
        Route::Ask { request, waits } => {
            let answer = ask(&state.ask, request, waits).await?;
            let mut answer = rated(state, answer);
            if let Answer::Status(snapshot) = &mut answer {
                state.letters.tell(snapshot).await;
            }
            Ok(reply::answer(answer))
        }
        Route::Tap(tap) => stream::tap(state, tap).await,
        Route::Retry(keys) => Ok(reply::value(&retry::retry(state, keys).await?)),
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
pub fn rated(state: &ServerState, mut answer: Answer) -> Answer {
    if let Answer::Status(snapshot) = &mut answer
        && let Ok(mut samples) = state.samples.lock()
    {
        samples.rate(snapshot, cpus::ticks);
    }
    answer
}
