//! `true` or `false`.

use serde_json::{Value, json};

use super::{Element, or_variable, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node};

impl Element for bool {
    type Output = bool;

    fn read(node: &Node, report: &mut Report) -> Option<bool> {
        let flag = node.flag();
        if flag.is_none() {
            report.push(wrong_kind::<bool>(node, "true or false").did_you_mean(meant(node)));
        }
        flag
    }

    fn accepted() -> String {
        "true or false, without quotes".into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "boolean" }))
    }

    fn written(flag: &bool) -> Value {
        (*flag).into()
    }
}

fn meant(node: &Node) -> Option<bool> {
    match &node.content {
        Content::Integer(0) => Some(false),
        Content::Integer(1) => Some(true),
        Content::Text { text, .. } => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn only_true_and_false() {
        accepts::<bool>(&["true", "false"]);
        refuses::<bool>(&[
            ("\"no\"", "did you mean false?"),
            ("1", "did you mean true?"),
            ("2", "found a whole number"),
        ]);
    }
}
