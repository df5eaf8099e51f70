//! The format of the control API is frozen: requests, answers and refusals are held against the files in `golden/`.

use super::reply;
use super::route::{Route, route};
use crate::control::protocol::{Audit, Done, Reason, Refused, ReloadSteps, Request, Retried, endpoint};
use crate::status::{Glimpse, Snapshot};
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const REQUESTS: &str = include_str!("../golden/requests.txt");
const ANSWERS: &str = include_str!("../golden/answers.txt");
const REFUSALS: &str = include_str!("../golden/refusals.txt");

/// The body of a request or an answer, decoded and encoded again.
fn round_trip<T: DeserializeOwned + Serialize>(json: &str) -> String {
    let value: T = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    serde_json::to_string(&value).unwrap()
}

#[test]
fn answers_have_the_golden_json() {
    for line in ANSWERS.lines() {
        let (request, json) = line.split_once(" {").unwrap();
        let json = format!("{{{json}");
        let encoded = match request {
            "GET /v1/status" => round_trip::<Snapshot>(&json),
            "GET /v1/audit" => round_trip::<Audit>(&json),
            "POST /v1/plan" => round_trip::<ReloadSteps>(&json),
            "GET /v1/tap" => round_trip::<Glimpse>(&json),
            "POST /v1/dead/retry" => round_trip::<Retried>(&json),
            _ => round_trip::<Done>(&json),
        };
        assert_eq!(encoded, json, "{request}");
    }
}

/// What the server understands of a golden request, as the client would send it.
fn sent_again(route: &Route) -> Option<Value> {
    match route {
        Route::Ask(Request::Command(command)) => Some(command.to_request().unwrap().1),
        Route::Ask(Request::Plan(plan)) => Some(serde_json::to_value(plan).unwrap()),
        Route::Drop(letters) => Some(serde_json::to_value(letters).unwrap()),
        Route::Open(open) => Some(serde_json::to_value(open).unwrap()),
        Route::Retry(retry) => Some(serde_json::to_value(retry).unwrap()),
        _ => None,
    }
}

#[test]
fn requests_have_the_golden_paths_and_json() {
    for line in REQUESTS.lines() {
        let mut parts = line.splitn(3, ' ');
        let method = Method::from_bytes(parts.next().unwrap().as_bytes()).unwrap();
        let target = parts.next().unwrap();
        let body = parts.next().unwrap_or_default();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let route = route(endpoint(path).unwrap(), &method, query, body.as_bytes())
            .unwrap_or_else(|error| panic!("{error:?}"));
        if let Some(sent) = sent_again(&route) {
            assert_eq!(sent, serde_json::from_str::<Value>(body).unwrap(), "{line}");
        }
        if let Route::Ask(Request::Command(command)) = &route {
            assert_eq!(command.to_request().unwrap().0, path);
        }
    }
    for (path, method) in crate::control::protocol::PATHS {
        let known = REQUESTS.lines().any(|line| {
            let target = line.strip_prefix(&format!("{method} {path}"));
            target.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '?']))
        });
        assert!(known, "{method} {path} is not in golden/requests.txt");
    }
}

#[test]
fn refusals_have_the_golden_codes_and_json() {
    let mut reasons = Vec::new();
    for line in REFUSALS.lines() {
        let (code, json) = line.split_once(' ').unwrap();
        let refused: Refused = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&refused).unwrap(), json);
        assert_eq!(reply::refused("/v1", &refused).status().as_str(), code, "{json}");
        reasons.push(format!("`{}`", serde_json::to_value(refused.reason).unwrap().as_str().unwrap()));
    }
    // serde names all variants where it knows none: a new reason belongs into the file.
    let unknown = serde_json::from_str::<Reason>("\"?\"").unwrap_err().to_string();
    assert!(unknown.contains(&format!("expected one of {} at", reasons.join(", "))), "{unknown}");
}

#[test]
fn a_client_without_a_slot_gets_a_whole_response() {
    let response = reply::too_many();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let error = "too many clients wait for their answers: try again in a few seconds";
    assert_eq!(body, format!("{{\"reason\":\"busy\",\"error\":\"{error}\"}}\n"));
}
