//! From a method, a path and a body to what is asked. Pure.

use crate::control::protocol::{
    Command, Plan, Reason, Refused, Request, Restart, Retry, Scale, Status, Tap, Whom,
};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a request wants.
#[derive(Debug, PartialEq)]
pub enum Route {
    /// Who is there?
    Hello,
    /// One question to the supervisor.
    Ask {
        request: Request,
        /// The answer may take any time.
        waits: bool,
    },
    /// The items that pass through a queue, as a stream.
    Tap(Tap),
    /// Dead letters get another chance.
    Retry(Retry),
    /// The end of the run.
    End,
}

/// What there is, and how it is asked.
const PATHS: [(&str, Method); 15] = [
    ("/v1", Method::GET),
    ("/v1/status", Method::GET),
    ("/v1/audit", Method::GET),
    ("/v1/plan", Method::POST),
    ("/v1/tap", Method::GET),
    ("/v1/end", Method::GET),
    ("/v1/scale", Method::POST),
    ("/v1/restart", Method::POST),
    ("/v1/pause", Method::POST),
    ("/v1/resume", Method::POST),
    ("/v1/reload", Method::POST),
    ("/v1/upgrade", Method::POST),
    ("/v1/drain", Method::POST),
    ("/v1/stop", Method::POST),
    ("/v1/dead/retry", Method::POST),
];

/// All paths, for whoever looks around.
pub fn paths() -> Vec<String> {
    PATHS.iter().map(|(path, method)| format!("{method} {path}")).collect()
}

/// Finds out what is asked.
pub fn route(method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> Result<Route, Refused> {
    let path = if path == "/" { "/v1" } else { path.trim_end_matches('/') };
    let Some((_, wanted)) = PATHS.iter().find(|(known, _)| *known == path) else {
        let error = format!("there is no path {path}: GET /v1 lists what there is");
        return Err(Refused { reason: Reason::NoSuchPath, error });
    };
    if method != wanted {
        let error = format!("{path} is asked with {wanted}, not with {method}");
        return Err(Refused { reason: Reason::WrongMethod, error });
    }
    let just = |request| Ok(Route::Ask { request, waits: false });
    let tell = |command, waits| Ok(Route::Ask { request: Request::Tell(command), waits });
    match path {
        "/v1" => Ok(Route::Hello),
        "/v1/end" => Ok(Route::End),
        "/v1/tap" => Ok(Route::Tap(from_query(query)?)),
        "/v1/dead/retry" => Ok(Route::Retry(from_body(body)?)),
        "/v1/status" => just(Request::Status(from_query::<Status>(query)?)),
        "/v1/audit" => just(Request::Audit),
        "/v1/plan" => just(Request::Plan(from_body::<Plan>(body)?)),
        "/v1/scale" => {
            let scale: Scale = from_body(body)?;
            if scale.processes.is_some() == scale.by.is_some() {
                return Err(malformed(&"say one of `processes` and `by`"));
            }
            let waits = scale.wait;
            tell(Command::Scale(scale), waits)
        }
        "/v1/restart" => {
            let restart: Restart = from_body(body)?;
            let waits = restart.wait;
            tell(Command::Restart(restart), waits)
        }
        "/v1/pause" => {
            let whom: Whom = from_body(body)?;
            let waits = whom.wait;
            tell(Command::Pause(whom), waits)
        }
        "/v1/resume" => tell(Command::Resume(from_body(body)?), false),
        "/v1/reload" => tell(Command::Reload(from_body(body)?), true),
        "/v1/upgrade" => tell(Command::Upgrade, true),
        "/v1/drain" => tell(Command::Drain, false),
        "/v1/stop" => tell(Command::Stop(from_body(body)?), false),
        _ => Err(Refused { reason: Reason::NoSuchPath, error: format!("there is no path {path}") }),
    }
}

fn malformed(error: &impl std::fmt::Display) -> Refused {
    Refused { reason: Reason::Malformed, error: format!("the request makes no sense: {error}") }
}

/// An empty body is an empty object.
fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    // A list would do for serde, too: its fields by their order.
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    serde_json::from_value(Value::Object(object)).map_err(|error| malformed(&error))
}

/// `a=true&b=text`. Names of stages and queues need no escapes.
fn from_query<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Refused> {
    let mut values = Map::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let value = match value {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => Value::String(text.to_owned()),
        };
        values.insert(key.to_owned(), value);
    }
    serde_json::from_value(Value::Object(values)).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(method: Method, path: &str, query: Option<&str>, body: &str) -> Reason {
        route(&method, path, query, body.as_bytes()).unwrap_err().reason
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        assert_eq!(reason(Method::GET, "/v2/status", None, ""), Reason::NoSuchPath);
        assert_eq!(reason(Method::GET, "/v1/../etc", None, ""), Reason::NoSuchPath);
        assert_eq!(reason(Method::POST, "/v1/status", None, ""), Reason::WrongMethod);
        assert_eq!(reason(Method::GET, "/v1/stop", None, ""), Reason::WrongMethod);
        assert_eq!(reason(Method::POST, "/v1/scale", None, "{\"stage\":\"a\"}"), Reason::Malformed);
        let both = "{\"stage\":\"a\",\"processes\":1,\"by\":1}";
        assert_eq!(reason(Method::POST, "/v1/scale", None, both), Reason::Malformed);
        assert_eq!(reason(Method::POST, "/v1/stop", None, "{\"wow\":1}"), Reason::Malformed);
        assert_eq!(reason(Method::POST, "/v1/stop", None, "\u{0}"), Reason::Malformed);
        assert_eq!(reason(Method::GET, "/v1/status", Some("histroy"), ""), Reason::Malformed);
    }

    #[test]
    fn a_request_is_known_by_its_path() {
        let scale = Scale { stage: "a".into(), processes: Some(3), by: None, wait: true };
        assert_eq!(
            route(&Method::POST, "/v1/scale", None, br#"{"stage":"a","processes":3,"wait":true}"#).unwrap(),
            Route::Ask { request: Request::Tell(Command::Scale(scale)), waits: true }
        );
        let status = Request::Status(Status { history: true });
        assert_eq!(
            route(&Method::GET, "/v1/status/", Some("history"), b"").unwrap(),
            Route::Ask { request: status, waits: false }
        );
        assert_eq!(route(&Method::GET, "/", None, b"").unwrap(), Route::Hello);
    }
}
