//! `[metrics]`: the status for Prometheus, on an address of the network. Every client that can reach it may read; there
//! are no commands.

use super::closing;
use super::reply::{self, with_type};
use super::slots::{ACCEPT_RETRY_DELAY, Slot, Slots};
use super::state::ServerState;
use super::write_timeout::WriteTimeout;
use crate::control::protocol::{Reason, Refused};
use crate::metrics::{self, Format};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const PLAIN: &str = "text/plain; charset=utf-8";
const MAX_CONNECTIONS: usize = 16;
/// For the head of a request, and between two requests.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, state: ServerState) {
    let slots = Slots::new(MAX_CONNECTIONS);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        let state = state.clone();
        let refusal = || closing::too_many(PLAIN, "too many clients: come again soon\n");
        slots.admit(stream, refusal, |stream, slot| connection(stream, state, slot));
    }
}

async fn connection(stream: TcpStream, state: ServerState, slot: Arc<Slot>) {
    let stream = WriteTimeout::new(stream, Arc::clone(&slot));
    let service = service_fn(move |request| {
        let (state, busy) = (state.clone(), slot.busy());
        async move {
            let response = respond(&state, &request).await;
            Ok::<_, Infallible>(reply::held(response, busy))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT).max_buf_size(16 * 1024).max_headers(64);
    http.half_close(true);
    // The scraper gets the error.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(state: &ServerState, request: &hyper::Request<Incoming>) -> reply::Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => {}
        "/" => return plain(StatusCode::OK, "mprun: see /metrics\n"),
        _ => return plain(StatusCode::NOT_FOUND, "there is only /metrics\n"),
    }
    let answered = answer(state, request.headers()).await;
    answered.unwrap_or_else(|_| plain(StatusCode::SERVICE_UNAVAILABLE, "the supervisor does not answer\n"))
}

/// The metrics, in the format that the client accepts.
///
/// # Errors
/// When the supervisor does not answer.
pub(super) async fn answer(state: &ServerState, headers: &HeaderMap) -> Result<reply::Response, Refused> {
    let Some(mut snapshot) = state.snapshot().await else {
        return Err(Refused::new(Reason::TooSlow, "the supervisor did not answer in time"));
    };
    if let Ok(mut monotone) = state.monotone.lock() {
        monotone.raise(&mut snapshot);
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let text = metrics::encode(*snapshot, format).unwrap_or_default();
    let body = Either::Left(Full::new(text.into()));
    Ok(with_type(StatusCode::OK, format.content_type(), body))
}

fn plain(code: StatusCode, text: &'static str) -> reply::Response {
    with_type(code, PLAIN, Either::Left(Full::new(text.into())))
}
