//! `[metrics]`: the same for Prometheus, on an address of the network. Everybody who can reach it may read, and nothing
//! can be told.

use super::connection::{ask, rated};
use super::{REST, ServerState, linger};
use crate::control::protocol::{Answer, Request, Status};
use crate::metrics::{self, Format, Monotone};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

use super::patience::Patient;
use super::seats::{Held, Seat, Seats};

const PLAIN: &str = "text/plain; charset=utf-8";
/// Scrapers at once.
const CONNECTIONS: usize = 16;
/// How long one may take over a request, or between two.
const SEND_WITHIN: Duration = Duration::from_secs(120);

/// Serves for ever.
pub async fn serve(listener: TcpListener, state: ServerState) {
    let seats = Seats::new(CONNECTIONS);
    let told = Arc::new(Mutex::new(Monotone::default()));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (state, told) = (state.clone(), Arc::clone(&told));
        let refusal = || linger::too_many(PLAIN, "too many clients: come again soon\n");
        seats.admit(stream, refusal, |stream, seat| connection(stream, state, told, seat));
    }
}

async fn connection(stream: TcpStream, state: ServerState, told: Arc<Mutex<Monotone>>, seat: Arc<Seat>) {
    let stream = Patient::new(stream, Arc::clone(&seat));
    let service = service_fn(move |request| {
        let (state, told, busy) = (state.clone(), Arc::clone(&told), seat.busy());
        async move {
            let response = respond(&state, &told, &request).await;
            Ok::<_, Infallible>(response.map(|body| Held::new(body, busy)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SEND_WITHIN).max_buf_size(16 * 1024).max_headers(64);
    http.half_close(true);
    // What went wrong with a scraper shows at the scraper.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    state: &ServerState,
    told: &Mutex<Monotone>,
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
    let Ok(Answer::Status(seen)) = ask(&state.ask, Request::Status(Status::default()), false).await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the supervisor does not answer\n");
    };
    let Answer::Status(mut seen) = rated(state, Answer::Status(seen)) else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the supervisor does not answer\n");
    };
    state.letters.tell(&mut seen).await;
    if let Ok(mut told) = told.lock() {
        told.raise(&mut seen);
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let text = metrics::encode(*seen, format).unwrap_or_default();
    with_type(StatusCode::OK, format.content_type(), text)
}

fn plain(code: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    with_type(code, PLAIN, text.to_owned())
}

fn with_type(code: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
