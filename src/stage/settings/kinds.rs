//! The kinds of values that a parameter can have.

use crate::framing::Framing;
use serde_json::{Value, json};
use std::time::Duration;

/// A kind of value: how it is written, read and described. Implement it for your own kinds.
pub trait Setting: Sized {
    /// JSON schema of the written form.
    fn schema() -> Value;

    /// Reads the written form.
    ///
    /// # Errors
    /// A phrase that follows the key's name: `takes a whole number, not "ten"`.
    fn parse(written: &Value) -> Result<Self, String>;

    /// The written form, for the default in the schema.
    fn show(&self) -> Value;

    /// Stands in for a value that is missing or wrong while the other parameters are read.
    fn placeholder() -> Self;
}

fn mismatch<T>(takes: &str, written: &Value) -> Result<T, String> {
    Err(format!("takes {takes}, not {written}"))
}

impl Setting for i64 {
    fn schema() -> Value {
        json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        written.as_i64().map_or_else(|| mismatch("a whole number", written), Ok)
    }
    fn show(&self) -> Value {
        json!(self)
    }
    fn placeholder() -> Self {
        0
    }
}

impl Setting for u64 {
    fn schema() -> Value {
        json!({"type": "integer", "minimum": 0})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        written.as_u64().map_or_else(|| mismatch("a whole number that isn't negative", written), Ok)
    }
    fn show(&self) -> Value {
        json!(self)
    }
    fn placeholder() -> Self {
        1
    }
}

impl Setting for bool {
    fn schema() -> Value {
        json!({"type": "boolean"})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        written.as_bool().map_or_else(|| mismatch("true or false", written), Ok)
    }
    fn show(&self) -> Value {
        json!(self)
    }
    fn placeholder() -> Self {
        false
    }
}

impl Setting for String {
    fn schema() -> Value {
        json!({"type": "string"})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        written.as_str().map_or_else(|| mismatch("a text in quotes", written), |text| Ok(text.to_owned()))
    }
    fn show(&self) -> Value {
        json!(self)
    }
    fn placeholder() -> Self {
        String::new()
    }
}

impl Setting for Framing {
    fn schema() -> Value {
        json!({"type": "string", "enum": Framing::ALL.map(Framing::word)})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        let known = Framing::ALL.into_iter().find(|framing| written.as_str() == Some(framing.word()));
        known.map_or_else(|| mismatch("\"lines\", \"nul\", \"netstring\" or \"u32be\"", written), Ok)
    }
    fn show(&self) -> Value {
        json!(self.word())
    }
    fn placeholder() -> Self {
        Framing::Lines
    }
}

impl Setting for Duration {
    fn schema() -> Value {
        json!({"type": "string", "examples": ["250ms", "10s", "1m30s"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        let parsed = written.as_str().and_then(|text| humantime::parse_duration(text).ok());
        parsed
            .map_or_else(|| mismatch("a duration with its unit (\"250ms\", \"10s\", \"1m30s\")", written), Ok)
    }
    fn show(&self) -> Value {
        json!(humantime::format_duration(*self).to_string())
    }
    fn placeholder() -> Self {
        Duration::from_secs(1)
    }
}

impl Setting for regex::bytes::Regex {
    fn schema() -> Value {
        json!({"type": "string", "format": "regex"})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        let text = String::parse(written)?;
        regex::bytes::Regex::new(&text)
            .map_err(|error| format!("is not a regular expression: {}", in_one_line(&error)))
    }
    fn show(&self) -> Value {
        json!(self.as_str())
    }
    fn placeholder() -> Self {
        // An empty pattern is always valid: there is nothing in it to be wrong.
        regex::bytes::Regex::new("").unwrap_or_else(|_| unreachable!("the empty pattern is valid"))
    }
}

/// The crate draws the pattern with a caret over several lines; the last one says what is wrong.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_says_what_is_taken_and_what_was_there() {
        assert_eq!(i64::parse(&json!("ten")).unwrap_err(), "takes a whole number, not \"ten\"");
        assert_eq!(i64::parse(&json!(1.5)).unwrap_err(), "takes a whole number, not 1.5");
        assert_eq!(u64::parse(&json!(-1)).unwrap_err(), "takes a whole number that isn't negative, not -1");
        assert_eq!(bool::parse(&json!("yes")).unwrap_err(), "takes true or false, not \"yes\"");
        let error = regex::bytes::Regex::parse(&json!("a(b")).unwrap_err();
        assert_eq!(error, "is not a regular expression: unclosed group");
    }

    #[test]
    fn a_shown_value_is_read_back() {
        let duration = Duration::from_millis(90_250);
        assert_eq!(Duration::parse(&duration.show()), Ok(duration));
        assert_eq!(i64::parse(&i64::MIN.show()), Ok(i64::MIN));
        for framing in Framing::ALL {
            assert_eq!(Framing::parse(&framing.show()), Ok(framing));
        }
    }
}
