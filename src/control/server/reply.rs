//! Replies as HTTP.

use super::closing;
use super::slots::Busy;
use crate::control::protocol::{PATHS, Reason, Refused, VERSION, endpoint};
use http_body_util::{BodyExt, Either, Full};
use hyper::StatusCode;
use hyper::body::{self, Bytes, Frame};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// All at once, or line by line.
pub(super) type Body = Either<Full<Bytes>, Frames>;
/// The error type of [`Either`].
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Response = hyper::Response<Body>;

/// A body whose parts come through a channel.
pub(super) struct Frames(pub mpsc::Receiver<Bytes>);

impl body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// To `GET /v1`.
pub(super) fn hello() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let paths: Vec<String> = PATHS.iter().map(|(path, method)| format!("{method} {path}")).collect();
    value(&json!({ "protocol": VERSION, "version": version, "paths": paths }))
}

pub(super) fn refused(path: &str, refused: &Refused) -> Response {
    let mut response = whole(code(refused.reason), refused);
    if refused.reason == Reason::WrongMethod
        && let Some((_, method)) = endpoint(path)
        && let Ok(allowed) = HeaderValue::from_str(method.as_str())
    {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// The refusal of a request whose head could not be read, with which the connection ends.
pub(super) fn whole_text(code: StatusCode, refused: &Refused) -> String {
    closing::last_answer(&code.to_string(), "application/json", &format!("{}\n", json!(refused)))
}

/// Lines of JSON, as they come.
pub(super) fn lines(body: Frames) -> Response {
    with_type(StatusCode::OK, "application/x-ndjson", Either::Right(body))
}

pub(super) fn value(value: &impl Serialize) -> Response {
    whole(StatusCode::OK, value)
}

/// A file of the page, or text for people.
pub(super) fn file(code: StatusCode, kind: &'static str, text: &'static str) -> Response {
    with_type(code, kind, Either::Left(Full::new(text.into())))
}

fn whole(code: StatusCode, value: &impl Serialize) -> Response {
    // All of these types are plain: only a map without text keys could fail.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    with_type(code, "application/json", Either::Left(Full::new(text.into())))
}

/// A response whose client waits until the end of the body.
pub(super) fn held<B: body::Body>(
    response: hyper::Response<B>,
    busy: Busy,
) -> hyper::Response<impl body::Body<Data = B::Data, Error = B::Error>> {
    // No error is mapped: the body owns the closure, and the closure owns `busy`.
    response.map(|body| {
        body.map_err(move |error| {
            let _owned = &busy;
            error
        })
    })
}

pub(super) fn with_type<B>(code: StatusCode, kind: &'static str, body: B) -> hyper::Response<B> {
    let mut response = hyper::Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What browsers are told about each answer over TCP: it is shown by this site's own pages, which load nothing from
/// elsewhere, and is not kept.
pub(super) fn guard<B>(response: &mut hyper::Response<B>) {
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let is_refused = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_refused {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

fn code(reason: Reason) -> StatusCode {
    match reason {
        Reason::Malformed => StatusCode::BAD_REQUEST,
        Reason::NoToken => StatusCode::UNAUTHORIZED,
        Reason::NotAllowed => StatusCode::FORBIDDEN,
        Reason::NoSuchPath | Reason::NoSuchStage | Reason::NoSuchQueue => StatusCode::NOT_FOUND,
        Reason::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Reason::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Reason::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Reason::TooFew
        | Reason::TooMany
        | Reason::Finished
        | Reason::GaveUp
        | Reason::Removed
        | Reason::Resumed
        | Reason::Stopping
        | Reason::NotPut
        | Reason::BadFile
        | Reason::FileRefused
        | Reason::RolledBack
        | Reason::NotUpgraded
        | Reason::Full
        | Reason::NotServed
        | Reason::Ended => StatusCode::CONFLICT,
    }
}

/// For a client that is refused before its request is known.
pub(super) fn too_many() -> String {
    let error = "too many clients wait for their answers: try again in a few seconds";
    let refused = json!(Refused::new(Reason::Busy, error));
    closing::too_many("application/json", &format!("{refused}\n"))
}
