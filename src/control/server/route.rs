//! From a method, a path and a body to what is asked. Pure.

use crate::control::protocol::{
    self, AUDIT, Command, DEAD, DEAD_GROUPS, DROP, Dead, Drop, END, EVENTS, LOGS, Logs, MACHINES, METRICS,
    Nothing, OPEN, Open, PATHS, PIPELINES, PLAN, PREFIX, RETRY, ROOT, Reason, Refused, Request, Retry,
    STATUS, TAP, Tap,
};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a request asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Route {
    /// The description of the API.
    Hello,
    /// The status for Prometheus.
    Metrics,
    /// One answer of the supervisor.
    Ask(Request),
    /// The items that pass through a queue, as a stream.
    Tap(Tap),
    /// Dead letters back into their queues.
    Retry(Retry),
    /// The end of the run.
    End,
    /// The status, once a second.
    Events,
    /// The last lines of the log.
    Logs(Logs),
    /// Dead letters.
    Dead(Dead),
    /// The same, counted.
    DeadGroups,
    /// Dead letters that are forgotten.
    Drop(Drop),
    /// A link to the page.
    Open(Open),
    /// The other pipelines.
    Pipelines,
    /// All machines.
    Machines,
}

/// What is asked.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> Result<Route, Refused> {
    let path = plain(path);
    let Some(wanted) = method_of(path) else {
        let error = format!("there is no path {path}: GET {ROOT} lists what there is");
        return Err(Refused::new(Reason::NoSuchPath, error));
    };
    if *method != wanted {
        let error = format!("{path} is asked with {wanted}, not with {method}");
        return Err(Refused::new(Reason::WrongMethod, error));
    }
    check_place(path, &wanted, query, body)?;
    Ok(match path {
        ROOT => from_query(query).map(|Nothing {}| Route::Hello)?,
        // A scraper may add what it likes.
        METRICS => Route::Metrics,
        END => from_query(query).map(|Nothing {}| Route::End)?,
        EVENTS => from_query(query).map(|Nothing {}| Route::Events)?,
        LOGS => Route::Logs(from_query(query)?),
        DEAD => Route::Dead(from_query(query)?),
        DEAD_GROUPS => from_query(query).map(|Nothing {}| Route::DeadGroups)?,
        DROP => Route::Drop(from_body(body)?),
        OPEN => Route::Open(from_body(body)?),
        PIPELINES => from_query(query).map(|Nothing {}| Route::Pipelines)?,
        MACHINES => from_query(query).map(|Nothing {}| Route::Machines)?,
        TAP => Route::Tap(from_query(query)?),
        RETRY => Route::Retry(from_body(body)?),
        STATUS => Route::Ask(Request::Status(from_query(query)?)),
        AUDIT => from_query(query).map(|Nothing {}| Route::Ask(Request::Audit))?,
        PLAN => Route::Ask(Request::Plan(from_body(body)?)),
        command => Route::Ask(Request::Command(parse_command(command, body)?)),
    })
}

/// The path as it stands in [`PATHS`].
fn plain(path: &str) -> &str {
    if path == "/" { ROOT } else { path.trim_end_matches('/') }
}

/// With what a path is asked, if there is such a path.
pub(super) fn method_of(path: &str) -> Option<Method> {
    let path = plain(path);
    PATHS.iter().find(|(known, _)| *known == path).map(|(_, method)| method.clone())
}

/// What is asked must not stand where it is not looked for: `POST /v1/pause?stage=a` would pause all stages.
fn check_place(path: &str, method: &Method, query: Option<&str>, body: &[u8]) -> Result<(), Refused> {
    let is_empty = body.trim_ascii().is_empty();
    match (*method == Method::GET, query) {
        (false, Some(query)) if !query.is_empty() => {
            Err(malformed(&format!("{path} takes a body of JSON, and nothing behind a `?`")))
        }
        (true, _) if !is_empty => {
            Err(malformed(&format!("{path} takes what stands behind a `?`, and no body")))
        }
        _ => Ok(()),
    }
}

fn parse_command(path: &str, body: &[u8]) -> Result<Command, Refused> {
    let name = path.trim_start_matches(PREFIX);
    let command = Command::from_request(name, body).map_err(|error| malformed(&error))?;
    match &command {
        Command::Scale(scale) if scale.processes.is_some() == scale.by.is_some() => {
            Err(malformed(&"say one of `processes` and `by`"))
        }
        _ => Ok(command),
    }
}

fn malformed(error: &impl std::fmt::Display) -> Refused {
    Refused::new(Reason::Malformed, format!("the request can't be read: {error}; docs/control.md shows each"))
}

fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    protocol::from_body(body).map_err(|error| malformed(&error))
}

/// `a=true&b=text`. Names of stages and queues need no escapes.
fn from_query<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Refused> {
    let mut values = Map::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let value = match value {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                // A name of digits only is no stage's and no queue's.
                text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
            }
            text => Value::String(text.to_owned()),
        };
        values.insert(key.to_owned(), value);
    }
    serde_json::from_value(Value::Object(values)).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Scale, Status};

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
            Route::Ask(Request::Command(Command::Scale(scale)))
        );
        let status = Request::Status(Status { history: true });
        assert_eq!(route(&Method::GET, "/v1/status/", Some("history"), b"").unwrap(), Route::Ask(status));
        assert_eq!(route(&Method::GET, "/", None, b"").unwrap(), Route::Hello);
    }
}
