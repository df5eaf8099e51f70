//! One client: its requests, one after the other.

use super::closing;
use super::reply::{self, BoxError, Response};
use super::route::{Route, route};
use super::slots::{Slot, either};
use super::state::ServerState;
use super::write_timeout::WriteTimeout;
use super::{retry, stream};
use crate::control::protocol::{Reason, Refused};
use crate::sys::hangup::Hangup;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The head of a request: its line and its headers.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The body of a request.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// For the head of a request, for its body, and between two requests.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until the client goes, or breaks a limit.
pub(super) async fn serve(stream: UnixStream, state: ServerState, slot: Arc<Slot>) {
    let hangup = Hangup::of(&stream);
    let stream = WriteTimeout::new(stream, Arc::clone(&slot));
    let service = service_fn(move |request| answer(state.clone(), Arc::clone(&slot), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(64);
    // A client may close its writing half after its request, and read on.
    http.half_close(true);
    let served = async {
        // The client gets the error, if it still reads.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    };
    either(served, closing::gone(hangup)).await;
}

async fn answer(
    state: ServerState,
    slot: Arc<Slot>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<impl Body<Data = Bytes, Error = BoxError>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = read(body).await;
    let busy = slot.busy();
    let response = match body {
        Ok(body) => respond(&state, &head, &body).await,
        Err(refused) => Err(refused),
    };
    let response = response.unwrap_or_else(|refused| reply::refused(&refused));
    Ok(reply::held(response, busy))
}

async fn respond(state: &ServerState, head: &Parts, body: &[u8]) -> Result<Response, Refused> {
    match route(&head.method, head.uri.path(), head.uri.query(), body)? {
        Route::Hello => Ok(reply::hello()),
        Route::Ask(request) => Ok(reply::value(&state.ask(request).await?)),
        Route::Tap(tap) => stream::tap(state, tap).await,
        Route::Retry(keys) => Ok(reply::value(&retry::retry(Arc::clone(&state.retrier), keys).await?)),
        Route::End => Ok(stream::until_the_end()),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refused> {
    match timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Err(_) => Err(Refused::new(Reason::TooSlow, "the body of the request did not come in time")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Refused::new(
            Reason::TooLarge,
            format!("a request's body has at most {MAX_BODY_BYTES} bytes"),
        )),
        Ok(Err(error)) => Err(Refused::new(Reason::Malformed, format!("the body can't be read: {error}"))),
    }
}
