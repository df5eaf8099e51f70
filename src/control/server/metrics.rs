//! `[metrics]`: the status for Prometheus, on an address of the network. Every client that can reach it may read; there
//! are no commands.

use super::late::{LateListener, listen_later};
use super::reply::{self, with_type};
use super::slots::{ACCEPT_RETRY_DELAY, Slot, Slots};
use super::state::ServerState;
use super::{closing, http};
use crate::control::protocol::{Reason, Refused};
use crate::metrics::{self, Format};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, StatusCode};
use log::{Level, log};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const PLAIN: &str = "text/plain; charset=utf-8";
const MAX_CONNECTIONS: usize = 16;
/// For the head of a request, and between two requests.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Serves from the time on at which the address can be had.
pub(super) async fn serve_later(address: SocketAddr, state: ServerState, late: LateListener) {
    let listener = listen_later(address).await;
    late.set(listener.try_clone().ok());
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            log!(target: "mprun", Level::Info, "metrics on http://{address}/metrics");
            serve(listener, state).await;
        }
        Err(error) => log!(target: "mprun", Level::Warn, "no metrics: {error}"),
    }
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, state: ServerState) {
    let slots = Slots::new(MAX_CONNECTIONS);
    loop {
        slots.room().await;
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
    let service = service_fn({
        let slot = Arc::clone(&slot);
        move |request| {
            let (state, busy) = (state.clone(), slot.busy());
            Box::pin(async move {
                let response = respond(&state, &request).await;
                Ok::<_, Infallible>(reply::held(response, busy))
            })
        }
    });
    http::serve(stream, slot, READ_TIMEOUT, service, refusal).await;
}

fn refusal(code: StatusCode, refused: &Refused) -> String {
    closing::last_answer(&code.to_string(), PLAIN, &format!("{}\n", refused.error))
}

async fn respond(state: &ServerState, request: &hyper::Request<Incoming>) -> reply::Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "metrics are read with GET\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => {}
        "/" => return plain(StatusCode::OK, "mprun: see /metrics\n"),
        _ => return plain(StatusCode::NOT_FOUND, "there is no such path: see /metrics\n"),
    }
    let answered = answer(state, request.headers()).await;
    answered
        .unwrap_or_else(|_| plain(StatusCode::SERVICE_UNAVAILABLE, "the supervisor did not answer in time\n"))
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
