//! A value that knows whether the file sets it, and where.

use super::{Element, Key};
use crate::config::diagnostic::{Place, Report};
use crate::config::document::Entry;

/// A key's value: the file's, or the default.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    /// The value that holds.
    pub value: T,
    /// Where the file sets it; `None`: it does not.
    pub at: Option<At>,
}

/// Where a key and its value stand.
#[derive(Clone, Debug)]
pub struct At {
    /// The key.
    pub key: Place,
    /// The value.
    pub value: Place,
}

impl<T: Element> Setting<T> {
    /// What holds as long as the file says nothing.
    pub fn default_of(value: T) -> Setting<T> {
        Setting { value, at: None }
    }

    /// Reads an entry; `false` after the report says why not.
    pub fn read(&mut self, entry: &Entry, report: &mut Report) -> bool {
        let read = if entry.value.is_unknown() { None } else { T::read(&entry.value, report) };
        let Some(value) = read else { return false };
        self.value = value;
        self.at = Some(At { key: entry.key_place.clone(), value: entry.value.place.clone() });
        true
    }

    /// This where the file sets it, else what lies beneath.
    #[must_use]
    pub fn over(self, beneath: Setting<T>) -> Setting<T> {
        match (&self.at, &beneath.at) {
            (None, _) => beneath,
            (Some(_), None) => self,
            (Some(_), Some(_)) => Setting { value: self.value.over(beneath.value), at: self.at },
        }
    }

    /// What there is to tell about the key.
    pub fn describe(&self, name: &'static str, also: &'static [&'static str], doc: &str) -> Key {
        let doc = doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Key { name, also, doc, accepted: T::accepted(), schema: T::schema(), default: self.value.written() }
    }
}
