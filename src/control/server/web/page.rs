//! Requests for the page: its files, and the exchange of a link's code for a session.

use super::access::Right;
use super::files::{HTML, INDEX, OPEN_PAGE, Target};
use super::site::Site;
use crate::control::protocol::{Reason, Refused};
use crate::control::server::reply::{self, Response};
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

/// In place of the page, for a browser that may not see it.
pub(in crate::control::server) fn how_to_open(target: &Target) -> Option<Response> {
    (*target == Target::Index).then(|| reply::file(StatusCode::UNAUTHORIZED, HTML, OPEN_PAGE))
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// The answer, if the target is a part of the page.
pub(in crate::control::server) fn respond(
    site: &Site,
    method: &Method,
    target: &Target,
    body: &[u8],
) -> Option<Result<Response, Refused>> {
    let (kind, text) = match target {
        Target::Open if method == Method::POST => return Some(open(site, body)),
        Target::Open => (HTML, OPEN_PAGE),
        Target::Index => (HTML, INDEX),
        Target::File(Some(file)) => (file.kind, file.text),
        Target::File(None) => {
            return Some(Err(Refused::new(Reason::NoSuchPath, "the page has no such file")));
        }
        Target::Api(_) => return None,
    };
    Some(match method == Method::GET {
        true => Ok(reply::file(StatusCode::OK, kind, text)),
        false => Err(Refused::new(Reason::WrongMethod, format!("this is asked with GET, not with {method}"))),
    })
}

fn open(site: &Site, body: &[u8]) -> Result<Response, Refused> {
    let code = serde_json::from_slice::<Code>(body).map(|body| body.code).unwrap_or_default();
    let Some((right, session)) = site.redeem(&code) else {
        return Err(Refused::new(
            Reason::NotAllowed,
            "this link was used, is too old, or was made before an upgrade of mprun or a change of its token: `mprun open` makes another",
        ));
    };
    let mut response = reply::value(&json!({ "key": session.key, "read_only": right != Right::All }));
    // A year; it ends with its token.
    let cookie =
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000", session.name, session.cookie);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}
