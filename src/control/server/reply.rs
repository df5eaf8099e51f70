//! Replies as HTTP.

use super::linger;
use super::route::paths;
use super::stream::Lines;
use crate::control::protocol::{Answer, Reason, Refused, VERSION};
use http_body_util::{Either, Full};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::json;

/// All at once, or line by line.
pub type Body = Either<Full<Bytes>, Lines>;
/// To one request.
pub type Response = hyper::Response<Body>;

/// To `GET /v1`.
pub fn hello() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    whole(StatusCode::OK, &json!({ "protocol": VERSION, "version": version, "paths": paths() }))
}

/// What the supervisor says.
pub fn answer(answer: Answer) -> Response {
    match answer {
        Answer::Status(snapshot) => whole(StatusCode::OK, &snapshot),
        Answer::Audit(audit) => whole(StatusCode::OK, &audit),
        Answer::Plan(steps) => whole(StatusCode::OK, &steps),
        Answer::Tap(seen) => whole(StatusCode::OK, &seen),
        Answer::Done(done) => whole(StatusCode::OK, &done),
    }
}

/// Why there is no answer.
pub fn refused(refused: &Refused) -> Response {
    whole(code(refused.reason), refused)
}

/// Lines of JSON, as they come.
pub fn lines(body: Lines) -> Response {
    with_type(StatusCode::OK, "application/x-ndjson", Either::Right(body))
}

/// A value of its own.
pub fn value(value: &impl Serialize) -> Response {
    whole(StatusCode::OK, value)
}

fn whole(code: StatusCode, value: &impl Serialize) -> Response {
    // All of these types are plain: only a map without text keys could fail.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    with_type(code, "application/json", Either::Left(Full::new(text.into())))
}

fn with_type(code: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn code(reason: Reason) -> StatusCode {
    match reason {
        Reason::Malformed => StatusCode::BAD_REQUEST,
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
        | Reason::Ended => StatusCode::CONFLICT,
    }
}

/// For a client that has to be sent away, before its request is known.
pub fn too_many() -> String {
    let error = "too many clients wait for their answers: try again in a few seconds";
    let refused = Refused { reason: Reason::Busy, error: error.to_owned() };
    linger::too_many("application/json", &(json!(refused).to_string() + "\n"))
}
