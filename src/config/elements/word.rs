//! A string that is not empty: what it may say is decided elsewhere.

use serde_json::{Value, json};

use super::{Element, reject, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::Node;

/// Some text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub String);

impl Element for Word {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match node.text() {
            Some("") => report.push(reject::<Self>(node, "an empty string")),
            Some(text) => return Some(Word(text.to_owned())),
            None => report.push(wrong_kind::<Self>(node, "a string")),
        }
        None
    }

    fn accepted() -> String {
        "a string, not empty".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn written(&self) -> Value {
        self.0.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn any_text_but_none() {
        accepts::<Word>(&["\"a b\"", "'x'"]);
        refuses::<Word>(&[("\"\"", "an empty string"), ("3", "expected a string")]);
    }
}
