//! Changed keys, as a plan shows them: `sleep: 10s -> 5s`.

use std::fmt;
use std::time::Duration;

use super::Change;
use crate::config::elements::{Element, show_duration, show_size};

/// A key whose value changed, both as a file would write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key, dotted where it lies in a table of the stage.
    pub key: &'static str,
    /// Its values.
    pub change: Change<String>,
    /// The value is the same, and what it names has changed: what of it.
    pub within: Option<String>,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.within {
            Some(what) => write!(f, "{} changed: {what}", self.key),
            None => write!(f, "{}: {}", self.key, self.change),
        }
    }
}

/// Collects changed keys.
#[derive(Default)]
pub struct Keys(pub Vec<KeyChange>);

impl Keys {
    /// Notes a key if its value changed.
    pub fn compare<T: PartialEq>(
        &mut self,
        key: &'static str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) {
        if old != new {
            self.0.push(KeyChange { key, change: Change { old: show(old), new: show(new) }, within: None });
        }
    }

    pub fn duration(&mut self, key: &'static str, old: &Duration, new: &Duration) {
        self.compare(key, old, new, |duration| show_duration(*duration));
    }

    pub fn optional(&mut self, key: &'static str, old: &Option<Duration>, new: &Option<Duration>) {
        self.compare(key, old, new, |duration| duration.map_or_else(unset, show_duration));
    }

    pub fn number<T: PartialEq + ToString>(&mut self, key: &'static str, old: &T, new: &T) {
        self.compare(key, old, new, T::to_string);
    }

    pub fn size(&mut self, key: &'static str, old: &u64, new: &u64) {
        self.compare(key, old, new, |size| show_size(*size));
    }

    /// A setting with a few words to choose from.
    pub fn choice<T: Element + PartialEq>(&mut self, key: &'static str, old: &T, new: &T) {
        self.compare(key, old, new, |choice| choice.written().as_str().unwrap_or_default().to_owned());
    }
}

/// A key that the file leaves out.
pub fn unset() -> String {
    "unset".into()
}
