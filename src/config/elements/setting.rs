//! A value that knows whether the file sets it, and where.

use serde_json::Value;

use super::Element;
use crate::config::diagnostic::{Report, Span, is_same_word};
use crate::config::document::{Content, Entry, Node};

/// A key's value: the file's, or the default.
pub(crate) struct Setting<T: Element> {
    /// The value that holds.
    pub value: T::Output,
    /// Where the file sets it; `None`: it does not.
    pub at: Option<At>,
}

impl<T: Element> Clone for Setting<T> {
    fn clone(&self) -> Self {
        Setting { value: self.value.clone(), at: self.at.clone() }
    }
}

/// Where a key and its value stand.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The key.
    pub key: Span,
    /// The value.
    pub value: Span,
    /// Of a list its elements.
    elements: Vec<Span>,
}

impl At {
    pub(crate) fn new(key: &Span, node: &Node) -> At {
        let elements = match &node.content {
            Content::List(nodes) => nodes.iter().map(|node| node.span.clone()).collect(),
            _ => Vec::new(),
        };
        At { key: key.clone(), value: node.span.clone(), elements }
    }

    /// An element of a list, counted from 0. Where the value is no list, all of it.
    pub(crate) fn element(&self, number: usize) -> &Span {
        self.elements.get(number).unwrap_or(&self.value)
    }
}

/// What there is to tell about a key.
pub(crate) struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Other words that people try for it.
    pub also: &'static [&'static str],
    /// What it means.
    pub doc: String,
    /// What it accepts, in words.
    pub accepted: String,
    /// What it accepts, for a validator.
    pub schema: Value,
    /// What holds without it; null: nothing.
    pub default: Value,
}

impl Key {
    /// Whether people say this word for it.
    pub(crate) fn is_also(&self, word: &str) -> bool {
        self.also.iter().any(|also| is_same_word(also, word))
    }
}

impl<T: Element> Setting<T> {
    /// What holds as long as the file says nothing.
    pub(crate) fn default_of(value: T::Output) -> Setting<T> {
        Setting { value, at: None }
    }

    /// Reads an entry; `false` after the report says why not.
    pub(crate) fn read(&mut self, entry: &Entry, report: &mut Report) -> bool {
        let read = if entry.value.is_unknown() { None } else { T::read(&entry.value, report) };
        let Some(value) = read else { return false };
        self.value = value;
        self.at = Some(At::new(&entry.key_span, &entry.value));
        true
    }

    /// This where the file sets it, else what lies beneath.
    #[must_use]
    pub(crate) fn over(self, beneath: Setting<T>) -> Setting<T> {
        match (&self.at, &beneath.at) {
            (None, _) => beneath,
            (Some(_), None) => self,
            (Some(_), Some(_)) => Setting { value: T::over(self.value, beneath.value), at: self.at },
        }
    }

    /// What there is to tell about the key.
    pub(crate) fn describe(&self, name: &'static str, also: &'static [&'static str], doc: &str) -> Key {
        let doc = doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let default = T::written(&self.value);
        Key { name, also, doc, accepted: T::accepted(), schema: T::schema(), default }
    }
}

/// A setting that may be absent, with nothing in its place.
impl<T: Element> Element for Option<T> {
    type Output = Option<T::Output>;

    fn read(node: &Node, report: &mut Report) -> Option<Self::Output> {
        T::read(node, report).map(Some)
    }

    fn accepted() -> String {
        T::accepted()
    }

    fn schema() -> Value {
        T::schema()
    }

    fn written(value: &Self::Output) -> Value {
        value.as_ref().map_or(Value::Null, T::written)
    }

    fn shown(value: &Self::Output) -> String {
        value.as_ref().map_or_else(|| "unset".to_owned(), T::shown)
    }

    fn over(value: Self::Output, beneath: Self::Output) -> Self::Output {
        match (value, beneath) {
            (Some(value), Some(beneath)) => Some(T::over(value, beneath)),
            (value, beneath) => value.or(beneath),
        }
    }
}
