//! Requests for the page: its files, and the exchange of a link's code for a session.

use super::access::Right;
use super::files::{FILES, HTML, INDEX, OPEN, OPEN_PAGE};
use super::site::Site;
use crate::control::protocol::{Reason, Refused};
use crate::control::server::reply::{self, Response};
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

/// In place of the page, for a browser that may not see it.
pub(in crate::control::server) fn how_to_open(path: &str) -> Option<Response> {
    (path == "/").then(|| reply::file(StatusCode::UNAUTHORIZED, HTML, OPEN_PAGE))
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// The answer, if the path is one of the page.
pub(in crate::control::server) fn respond(
    site: &Site,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Option<Result<Response, Refused>> {
    let file = |kind, text| Some(Ok(reply::file(StatusCode::OK, kind, text)));
    match (path, method) {
        ("/", &Method::GET) => file(HTML, INDEX),
        (OPEN, &Method::GET) => file(HTML, OPEN_PAGE),
        (OPEN, &Method::POST) => Some(open(site, body)),
        _ => {
            let name = path.strip_prefix("/page/")?;
            match FILES.iter().find(|(known, _, _)| *known == name) {
                Some((_, kind, text)) if method == Method::GET => file(kind, text),
                Some(_) => Some(Err(Refused::new(
                    Reason::WrongMethod,
                    format!("{path} is asked with GET, not with {method}"),
                ))),
                _ => Some(Err(Refused::new(Reason::NoSuchPath, "the page has no such file"))),
            }
        }
    }
}

fn open(site: &Site, body: &[u8]) -> Result<Response, Refused> {
    let code = serde_json::from_slice::<Code>(body).map(|body| body.code).unwrap_or_default();
    let Some((right, session)) = site.redeem(&code) else {
        return Err(Refused::new(
            Reason::NotAllowed,
            "this link was used, or is too old: `mprun open` makes another",
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
