//! HTTP on one connection of the control API, the page or the metrics: its limits, its refusals and its end.

use super::closing;
use super::reply::BoxError;
use super::slots::{Slot, either};
use super::unread_head::{MAX_HEAD_BYTES, MAX_HEADERS, WithoutOwnRefusals};
use super::write_timeout::WriteTimeout;
use crate::control::protocol::Refused;
use crate::sys::hangup::Hangup;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// The whole answer to a request whose head can't be read.
pub(super) type Refusal = fn(StatusCode, &Refused) -> String;

/// Serves until the client goes, or breaks a limit. `read_timeout`: for the head of a request, and between two requests.
pub(super) async fn serve<S, V, B>(
    stream: S,
    slot: Arc<Slot>,
    read_timeout: Duration,
    service: V,
    refusal: Refusal,
) where
    S: AsyncRead + AsyncWrite + AsFd + Unpin,
    V: Service<Request<Incoming>, Response = Response<B>> + Unpin,
    V::Future: Unpin,
    V::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let hangup = Hangup::of(&stream);
    let stream = WriteTimeout::new(stream, slot);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    // A client may close its writing half after its request, and read on.
    http.half_close(true);
    let served = async {
        let stream = TokioIo::new(WithoutOwnRefusals::new(stream));
        let mut connection = http.serve_connection(stream, service);
        let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
        let parts = connection.into_parts();
        let (stream, refused) = parts.io.into_inner().finish(ended, !parts.read_buf.is_empty());
        let refusal = refused.map(|(code, refused)| refusal(code, &refused));
        closing::end(stream, refusal.as_deref()).await;
    };
    either(served, closing::gone(hangup)).await;
}
