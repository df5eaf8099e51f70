//! `nice`: how far a program steps back for others.

use serde_json::{Value, json};

use super::count::not_a_number;
use super::{Element, or_variable, reject};
use crate::config::diagnostic::Report;
use crate::config::document::Node;

/// -20 (before all others) to 19 (behind all others).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nice(pub i32);

impl Element for Nice {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Some(number) = node.integer() else {
            report.push(not_a_number::<Self>(node));
            return None;
        };
        match i32::try_from(number) {
            Ok(number) if (-20..=19).contains(&number) => Some(Nice(number)),
            _ => {
                report.push(reject::<Self>(node, "no such nice value"));
                None
            }
        }
    }

    fn accepted() -> String {
        "a whole number from -20 (first) to 19 (last)".into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "integer", "minimum": -20, "maximum": 19 }))
    }

    fn written(&self) -> Value {
        self.0.into()
    }
}
