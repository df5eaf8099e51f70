//! `command`: a list of words, run directly, or a line for the shell.

use serde_json::{Value, json};

use super::{Element, reject, wrong_kind};
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::document::{Content, Node};
use crate::config::pipeline;

/// What a command stage runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation(pub pipeline::Invocation);

impl Element for Invocation {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match &node.content {
            Content::Text { text, .. } if text.trim().is_empty() => {
                report.push(reject::<Self>(node, "an empty command"));
                None
            }
            Content::Text { text, .. } => {
                check(text, node, report).then(|| Invocation(pipeline::Invocation::Shell(text.clone())))
            }
            Content::List(nodes) => {
                let words: Option<Vec<String>> = nodes.iter().map(|node| word(node, report)).collect();
                let words = words?;
                if words.first().is_none_or(String::is_empty) {
                    report.push(reject::<Self>(node, "a command without a program"));
                    return None;
                }
                Some(Invocation(pipeline::Invocation::Direct(words)))
            }
            _ => {
                report.push(wrong_kind::<Self>(node, "a command"));
                None
            }
        }
    }

    fn accepted() -> String {
        r#"a list of words, such as ["grep", "-v", "x"], or a line for the shell, such as "sort | uniq -c""#
            .into()
    }

    fn schema() -> Value {
        let words = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
        json!({ "anyOf": [{ "type": "string", "minLength": 1 }, words] })
    }

    fn written(&self) -> Value {
        match &self.0 {
            pipeline::Invocation::Direct(words) => words.as_slice().into(),
            pipeline::Invocation::Shell(line) => line.as_str().into(),
        }
    }
}

fn word(node: &Node, report: &mut Report) -> Option<String> {
    match &node.content {
        Content::Text { text, .. } => check(text, node, report).then(|| text.clone()),
        _ => {
            let guess = match &node.content {
                Content::Integer(number) => Some(format!("\"{number}\", in quotes")),
                _ => None,
            };
            report.push(wrong_kind::<Invocation>(node, "a word in quotes").did_you_mean(guess));
            None
        }
    }
}

/// The kernel ends arguments with a zero byte.
fn check(text: &str, node: &Node, report: &mut Report) -> bool {
    let has_zero = text.contains('\0');
    if has_zero {
        report.push(Diagnostic::error("a zero byte in a command").at(&node.place));
    }
    !has_zero
}
