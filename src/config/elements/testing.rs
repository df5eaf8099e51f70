//! What the elements' tests share.

use std::sync::Arc;

use super::Element;
use crate::config::diagnostic::{Report, Source};
use crate::config::document;

/// Reads a value as TOML writes it; the error is what a user would be told.
pub fn read<T: Element>(toml: &str) -> Result<T::Output, String> {
    let source = Arc::new(Source { name: "test".into(), text: format!("key = {toml}\n") });
    let mut report = Report::new();
    let table = document::parse(&source, &mut report).table;
    let read = table.get("key").and_then(|entry| T::read(&entry.value, &mut report));
    match read {
        Some(value) if report.is_empty() => Ok(value),
        _ => Err(report.to_string()),
    }
}

/// Holds that values are accepted, and that what they are written as is accepted too.
pub fn accepts<T: Element>(values: &[&str]) {
    for value in values {
        let read = self::read::<T>(value).unwrap_or_else(|said| panic!("{value}: {said}"));
        let written = T::written(&read).to_string();
        if let Err(said) = self::read::<T>(&written) {
            panic!("{value} was written as {written}: {said}");
        }
    }
}

/// Holds that values are refused with a message that says what is accepted, and maybe what is meant.
pub fn refuses<T: Element>(values: &[(&str, &str)]) {
    for (value, words) in values {
        let Err(said) = self::read::<T>(value) else { panic!("{value} was accepted") };
        assert!(said.contains("accepted: ") && said.contains(words), "{value}: {said}");
    }
}
