//! From a path of the API, a method, a query and a body to what is asked. Pure.

use super::query;
use crate::control::protocol::{
    self, AUDIT, Command, DEAD, DEAD_GROUPS, DROP, Dead, Drop, END, EVENTS, LOGS, Logs, MACHINES, METRICS,
    Nothing, OPEN, Open, PIPELINES, PLAN, PREFIX, RETRY, ROOT, Reason, Refused, Request, Retry, STATUS, TAP,
    Tap,
};
use hyper::Method;
use serde::de::DeserializeOwned;

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

/// What is asked at this endpoint.
pub(super) fn route(
    (path, wanted): (&'static str, Method),
    method: &Method,
    query: Option<&str>,
    body: &[u8],
) -> Result<Route, Refused> {
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

/// The refusal of a path that leads nowhere.
pub(super) fn no_such_path(path: &str) -> Refused {
    Refused::new(Reason::NoSuchPath, format!("there is no path {path}: GET {ROOT} lists what there is"))
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

fn from_query<T: DeserializeOwned>(text: Option<&str>) -> Result<T, Refused> {
    query::read(text.unwrap_or_default()).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Scale, Status, endpoint};

    fn asked(method: &Method, path: &str, query: Option<&str>, body: &str) -> Result<Route, Refused> {
        let found = endpoint(path).ok_or_else(|| no_such_path(path))?;
        route(found, method, query, body.as_bytes())
    }

    fn reason(method: Method, path: &str, query: Option<&str>, body: &str) -> Reason {
        asked(&method, path, query, body).unwrap_err().reason
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        assert_eq!(reason(Method::GET, "/v2/status", None, ""), Reason::NoSuchPath);
        for path in ["/v1/../etc", "/v1%2fstatus", "//v1/status", "/v1//status", "//", ""] {
            assert_eq!(reason(Method::GET, path, None, ""), Reason::NoSuchPath, "{path}");
        }
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
            asked(&Method::POST, "/v1/scale", None, r#"{"stage":"a","processes":3,"wait":true}"#).unwrap(),
            Route::Ask(Request::Command(Command::Scale(scale)))
        );
        let status = Request::Status(Status { history: true });
        assert_eq!(asked(&Method::GET, "/v1/status/", Some("history"), "").unwrap(), Route::Ask(status));
        assert_eq!(asked(&Method::GET, "/", None, "").unwrap(), Route::Hello);
    }
}
