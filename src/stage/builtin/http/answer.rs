//! What an answer means for the items of its request.

use super::secrets::Secrets;
use crate::stage::{Failure, Undelivered};
use hyper::StatusCode;
use hyper::header::{HeaderMap, LOCATION, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Characters of a body that become a reason.
const SHOWN: usize = 200;

/// The head of an answer, and the beginning of its body.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// `Ok`: the items are done.
    pub(super) fn outcome(&self, now: SystemTime, secrets: &Secrets) -> Result<(), Undelivered> {
        if self.status.is_success() {
            return Ok(());
        }
        let reason = self.reason(secrets);
        if !is_passing(self.status) {
            return Err(Failure::new(reason).into());
        }
        Err(Undelivered { failure: Failure::later(reason), pause: self.pause(now) })
    }

    fn reason(&self, secrets: &Secrets) -> String {
        let status = match self.status.canonical_reason() {
            Some(words) => format!("HTTP {} {words}", self.status.as_u16()),
            None => format!("HTTP {}", self.status.as_u16()),
        };
        if self.status.is_redirection() {
            let to = self.headers.get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
            let to = to.map(|to| format!(" to `{}`", plain(&secrets.hide(without_secrets(&to)))));
            return format!(
                "{status}{}: not followed, as a request is sent to `url` only",
                to.unwrap_or_default()
            );
        }
        // Hidden before it is cut: half a secret is one.
        let said = plain(&secrets.hide(&String::from_utf8_lossy(&self.body)));
        if said.is_empty() { status } else { format!("{status}: {said}") }
    }

    /// `Retry-After`: seconds, or a date.
    fn pause(&self, now: SystemTime) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More than a number holds is longer than any pause.
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
    }
}

/// Whether the same request may well succeed later.
fn is_passing(status: StatusCode) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || passing.contains(&status)
}

/// An address without a query, a fragment, a user and a password.
fn without_secrets(address: &str) -> &str {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let address = &address[..end];
    let host = address.find("://").map_or(0, |at| at + 3);
    let path = address[host..].find('/').map_or(address.len(), |at| host + at);
    address[..path].rfind('@').map_or(address, |at| &address[at + 1..])
}

/// On one line, without control characters, cut.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Reach;
    use std::time::UNIX_EPOCH;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn outcome(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<(), Undelivered> {
        answer(status, headers, body)
            .outcome(UNIX_EPOCH + Duration::from_secs(784_111_770), &Secrets::default())
    }

    #[test]
    fn a_status_says_whether_it_is_the_items() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(outcome(status, &[], ""), Ok(()));
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(outcome(status, &[], "").unwrap_err().failure.reach(), Reach::Later, "{status}");
        }
        for status in [101, 301, 304, 400, 401, 403, 404, 413, 418, 422] {
            assert_eq!(outcome(status, &[], "").unwrap_err().failure.reach(), Reach::Item, "{status}");
        }
    }

    #[test]
    fn a_reason_is_the_status_and_the_beginning_of_the_body() {
        let reason =
            |status, headers: &_, body: &str| outcome(status, headers, body).unwrap_err().failure.to_string();
        assert_eq!(
            reason(422, &[], "no\r\n\tsuch  \x1b[31mfield\n"),
            "HTTP 422 Unprocessable Entity: no such [31mfield"
        );
        assert_eq!(reason(499, &[], ""), "HTTP 499");
        let long = reason(400, &[], &"ä".repeat(1000));
        assert_eq!(long.chars().filter(|c| *c == 'ä').count(), SHOWN);
        let to = reason(302, &[("location", "https://a:b@c.d/e?token=f")], "");
        assert_eq!(to, "HTTP 302 Found to `c.d/e`: not followed, as a request is sent to `url` only");
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let pause = |text| outcome(503, &[("retry-after", text)], "").unwrap_err().pause;
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Sunday, 06-Nov-94 08:49:37 GMT"), Some(Duration::from_secs(7)));
        for text in ["Sun, 06 Nov 1994 08:49:00 GMT", "soon", "-1", "1.5", ""] {
            assert_eq!(pause(text), None, "{text}");
        }
        assert_eq!(
            pause("99999999999999999999"),
            Some(Duration::from_secs(u64::MAX)),
            "`retry.max` bounds it"
        );
    }
}
