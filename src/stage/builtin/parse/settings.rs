//! The kinds of values that `parse` takes.

use crate::stage::Setting;
use regex::Regex;
use serde_json::{Value, json};
use std::ops::Range;

/// A regular expression with named groups; or what is wrong with it, and where.
pub(super) fn regex(pattern: &str) -> Result<Regex, (Range<usize>, String)> {
    if let Err(error) = regex_syntax::parse(pattern) {
        let (span, reason) = match &error {
            regex_syntax::Error::Parse(error) => (*error.span(), error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (*error.span(), error.kind().to_string()),
            other => return Err((0..pattern.len(), other.to_string())),
        };
        let place = span.start.offset..span.end.offset;
        return Err((place, format!("this is no regular expression: {reason}")));
    }
    let whole = |message: String| (0..pattern.len(), message);
    let regex = Regex::new(pattern).map_err(|error| whole(error.to_string()))?;
    match regex.capture_names().flatten().next() {
        Some(_) => Ok(regex),
        None => Err(whole("`pattern` has no named group, such as `(?<status>\\d+)`".to_owned())),
    }
}

/// What an item is parsed as.
#[derive(Clone, Copy)]
pub(super) enum As {
    Json,
    Regex,
}

impl Setting for As {
    fn schema() -> Value {
        json!({"enum": ["json", "regex"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        match written.as_str() {
            Some("json") => Ok(As::Json),
            Some("regex") => Ok(As::Regex),
            _ => Err(format!("takes \"json\" or \"regex\", not {written}")),
        }
    }
    fn show(&self) -> Value {
        json!(if matches!(self, As::Json) { "json" } else { "regex" })
    }
    fn placeholder() -> Self {
        As::Json
    }
}

/// `on_error`.
#[derive(Clone)]
pub(super) enum OnError {
    Fail,
    Drop,
    Queue(String),
}

impl Setting for OnError {
    fn schema() -> Value {
        json!({"type": "string", "examples": ["fail", "drop", "unparsed"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        let is_name = |text: &str| {
            let mut bytes = text.bytes();
            bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
                && text.len() <= 64
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        match written.as_str() {
            Some("fail") => Ok(OnError::Fail),
            Some("drop") => Ok(OnError::Drop),
            Some(name) if is_name(name) => Ok(OnError::Queue(name.to_owned())),
            _ => Err(format!("takes \"fail\", \"drop\" or the name of a queue, not {written}")),
        }
    }
    fn show(&self) -> Value {
        match self {
            OnError::Fail => json!("fail"),
            OnError::Drop => json!("drop"),
            OnError::Queue(name) => json!(name),
        }
    }
    fn placeholder() -> Self {
        OnError::Fail
    }
}
