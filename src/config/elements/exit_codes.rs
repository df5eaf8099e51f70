//! `success_codes`: the exit codes that are a good end.

use serde_json::{Value, json};

use super::{Count, Element, reject, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node};

/// Exit codes, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCodes(pub Vec<u8>);

impl Element for ExitCodes {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Content::List(nodes) = &node.content else {
            report.push(wrong_kind::<Self>(node, "a list of numbers"));
            return None;
        };
        if nodes.is_empty() {
            report.push(reject::<Self>(node, "an empty list: then no end would be good"));
            return None;
        }
        let codes = nodes.iter().map(|node| Count::<0, 255>::read(node, report));
        // Every code is read, so that each bad one is reported.
        let codes: Vec<_> = codes.collect();
        let codes: Option<Vec<u8>> = codes.into_iter().map(|code| u8::try_from(code?.0).ok()).collect();
        codes.map(ExitCodes)
    }

    fn accepted() -> String {
        "a list of exit codes from 0 to 255, such as [0, 1]".into()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": Count::<0, 255>::schema(), "minItems": 1 })
    }

    fn written(&self) -> Value {
        self.0.iter().map(|code| Value::from(*code)).collect()
    }
}
