//! One value that changed.

use crate::secret;
use std::fmt;

/// An old and a new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChange<T> {
    /// What held.
    pub old: T,
    /// What is to hold.
    pub new: T,
}

/// A key whose value changed, both as a file would write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key, dotted where it lies in a table of the stage.
    pub key: String,
    /// Its values.
    pub change: ValueChange<String>,
    /// The value is the same, and what it names has changed: what of it.
    pub within: Option<String>,
}

impl<T: Clone + PartialEq> ValueChange<T> {
    /// The change, if there is one.
    pub fn of(old: &T, new: &T) -> Option<ValueChange<T>> {
        (old != new).then(|| ValueChange { old: old.clone(), new: new.clone() })
    }
}

impl<T: fmt::Display> fmt::Display for ValueChange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.old, self.new)
    }
}

impl KeyChange {
    /// The change of a key, if there is one.
    pub fn between<T: PartialEq>(
        key: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) -> Option<KeyChange> {
        let change = (old != new).then(|| ValueChange { old: show(old), new: show(new) })?;
        Some(KeyChange { key: key.to_owned(), change, within: None })
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.within {
            Some(what) => write!(f, "{} changed: {what}", self.key),
            None => {
                let [old, new] = [&self.change.old, &self.change.new].map(|value| secret::hidden(value));
                match (old == new, self.change.old == self.change.new) {
                    (true, true) => write!(f, "{} changed: values in it", self.key),
                    (true, false) => write!(f, "{} changed: a secret in it", self.key),
                    (false, _) => write!(f, "{}: {old} -> {new}", self.key),
                }
            }
        }
    }
}
