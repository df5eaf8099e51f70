//! `healthcheck`: what is run, how often, and how many failures are too many.

use super::variables::expanded;
use super::yaml::Value;
use crate::cli::toml_text::{command, table, text};

/// A check that a stage could have; `None`: there is none, or it is off.
pub(super) fn check(value: &Value) -> Option<Result<Vec<(&'static str, String)>, String>> {
    let is_off = value.get("disable").and_then(Value::text) == Some("true");
    let test = value.get("test").filter(|_| !is_off)?;
    let run = match (test, test.texts().as_slice()) {
        (_, ["NONE", ..]) | (_, []) => return None,
        (Value::List(_), ["CMD-SHELL", line]) | (Value::Text(_), [line]) => {
            expanded(line).map(|line| text(&line))
        }
        (_, ["CMD", words @ ..]) => list(words),
        (_, words) => list(words),
    };
    Some(run.map(|run| vec![("command", run)]))
}

fn list(words: &[&str]) -> Result<String, String> {
    let words = words.iter().map(|word| expanded(word)).collect::<Result<Vec<_>, _>>()?;
    Ok(command(words.iter().map(String::as_str)))
}

/// As `health`: a check for as long as the service lives.
pub(super) fn health(value: &Value) -> Option<Result<String, String>> {
    let mut pairs = match check(value)? {
        Ok(pairs) => pairs,
        Err(why) => return Some(Err(why)),
    };
    let known = [("interval", "every"), ("timeout", "timeout")];
    for (name, key) in known {
        match value.get(name).and_then(Value::text).map(expanded).transpose() {
            Ok(time) => pairs.extend(time.map(|time| (key, text(&time)))),
            Err(why) => return Some(Err(why)),
        }
    }
    let failures = value.get("retries").and_then(Value::text).map(|number| match expanded(number) {
        Ok(number) if number.parse::<u32>().is_err() => text(&number),
        Ok(number) => number,
        Err(_) => number.to_owned(),
    });
    pairs.extend(failures.map(|number| ("failures", number)));
    Some(Ok(table(pairs)))
}

/// As `ready`: others wait for it once.
pub(super) fn ready(value: &Value) -> Option<Result<String, String>> {
    let mut pairs = match check(value)? {
        Ok(pairs) => pairs,
        Err(why) => return Some(Err(why)),
    };
    match start_period(value).map(expanded).transpose() {
        Ok(time) => pairs.extend(time.map(|time| ("timeout", text(&time)))),
        Err(why) => return Some(Err(why)),
    }
    Some(Ok(table(pairs)))
}

/// Until then failed checks count for nothing.
pub(super) fn start_period(value: &Value) -> Option<&str> {
    value.get("start_period").and_then(Value::text).filter(|time| !time.starts_with('0'))
}
