//! One value of the file, and where it stands.

use crate::config::diagnostic::Span;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where the value stands; for a `[table]`, its header.
    pub span: Span,
    /// The value.
    pub content: Content,
}

/// What kinds of values there are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A string. A variable in it makes it fit for numbers and flags too: an environment holds nothing but text.
    Text { text: String, from_variable: bool },
    /// A whole number; one beyond 128 bits is the greatest or the least.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A date or a time, as written.
    Moment(String),
    /// `[…]`, or `[[table]]`s.
    List(Vec<Node>),
    /// `{…}`, or a `[table]`.
    Table(Table),
    /// Text with a variable that is not set. It is reported already: nothing more is to be said about it.
    Unknown,
}

/// Keys and their values, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Each key occurs once.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key, unquoted.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The kind of value, as it fits after "found".
    pub(crate) fn kind(&self) -> &'static str {
        match self.content {
            Content::Text { .. } => "a string",
            Content::Integer(_) => "a whole number",
            Content::Float(_) => "a decimal number",
            Content::Flag(_) => "true or false",
            Content::Moment(_) => "a date or time",
            Content::List(_) => "a list",
            Content::Table(_) => "a table",
            Content::Unknown => "a variable that is not set",
        }
    }

    /// Whether there is no value, for a reason that is reported already.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.content, Content::Unknown)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The number, also from a variable's text.
    pub(crate) fn integer(&self) -> Option<i128> {
        match &self.content {
            Content::Integer(number) => Some(*number),
            Content::Text { text, from_variable: true } => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The flag, also from a variable's text.
    pub(crate) fn flag(&self) -> Option<bool> {
        match &self.content {
            Content::Flag(flag) => Some(*flag),
            Content::Text { text, from_variable: true } => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl Table {
    /// The entry of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entry of a key, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }
}
