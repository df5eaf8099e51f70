//! `[metrics]`: the status for Prometheus, on an address of the network. Every client that can reach it may read; there
//! are no commands.

use super::closing;
use super::reply::{self, with_type};
use super::slots::{ACCEPT_RETRY_DELAY, Slot, Slots};
use super::state::ServerState;
use super::write_timeout::WriteTimeout;
use crate::metrics::{self, Format, Monotone};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const PLAIN: &str = "text/plain; charset=utf-8";
const MAX_CONNECTIONS: usize = 16;
/// For the head of a request, and between two requests.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, state: ServerState) {
    let slots = Slots::new(MAX_CONNECTIONS);
    let monotone = Arc::new(Mutex::new(Monotone::default()));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        let (state, monotone) = (state.clone(), Arc::clone(&monotone));
        let refusal = || closing::too_many(PLAIN, "too many clients: come again soon\n");
        slots.admit(stream, refusal, |stream, slot| connection(stream, state, monotone, slot));
    }
}

async fn connection(stream: TcpStream, state: ServerState, monotone: Arc<Mutex<Monotone>>, slot: Arc<Slot>) {
    let stream = WriteTimeout::new(stream, Arc::clone(&slot));
    let service = service_fn(move |request| {
        let (state, monotone, busy) = (state.clone(), Arc::clone(&monotone), slot.busy());
        async move {
            let response = respond(&state, &monotone, &request).await;
            Ok::<_, Infallible>(reply::held(response, busy))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT).max_buf_size(16 * 1024).max_headers(64);
    http.half_close(true);
    // The scraper gets the error.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    state: &ServerState,
    monotone: &Mutex<Monotone>,
    request: &hyper::Request<Incoming>,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => {}
        "/" => return plain(StatusCode::OK, "mprun: see /metrics\n"),
        _ => return plain(StatusCode::NOT_FOUND, "there is only /metrics\n"),
    }
    let Some(mut snapshot) = state.snapshot().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the supervisor does not answer\n");
    };
    if let Ok(mut monotone) = monotone.lock() {
        monotone.raise(&mut snapshot);
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let text = metrics::encode(*snapshot, format).unwrap_or_default();
    with_type(StatusCode::OK, format.content_type(), Full::new(text.into()))
}

fn plain(code: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    with_type(code, PLAIN, Full::new(text.into()))
}
