//! `input` and `output`: one queue, or a list of queues.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Element, Name, read_several, reject};
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::document::{Content, Node};

/// Queues in the order of the file, each once. The default is none; a list in the file is never empty.
pub(crate) struct QueueNames;

/// A queue as one stage names it.
#[derive(Clone, Debug)]
pub(crate) struct QueueName {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

impl Element for QueueNames {
    type Output = Vec<QueueName>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<QueueName>> {
        if matches!(&node.content, Content::List(nodes) if nodes.is_empty()) {
            report.push(reject::<Self>(node, "an empty list").help("leave the key out if there is no queue"));
            return None;
        }
        let mut seen = HashMap::new();
        let read_one = |node, report: &mut Report| read_name(node, &mut seen, report);
        read_several::<Self, _>(node, report, "the name of a queue", read_one)
    }

    fn accepted() -> String {
        r#"the name of a queue, or a list of such names, such as "lines" or ["lines", "errors"]"#.into()
    }

    fn schema() -> Value {
        let list = json!({ "type": "array", "items": Name::schema(), "minItems": 1, "uniqueItems": true });
        json!({ "anyOf": [Name::schema(), list] })
    }

    fn written(queues: &Vec<QueueName>) -> Value {
        match queues.as_slice() {
            [] => Value::Null,
            [only] => only.name.as_str().into(),
            many => many.iter().map(|queue| queue.name.as_str()).collect(),
        }
    }
}

/// Reads one name; `None` after the report says why not.
fn read_name<'n>(
    node: &'n Node,
    seen: &mut HashMap<String, &'n Span>,
    report: &mut Report,
) -> Option<QueueName> {
    let name = Name::read(node, report)?;
    if let Some(first) = seen.insert(name.clone(), &node.span) {
        let fault = Diagnostic::error(format!("the queue `{name}` is named twice"));
        report.push(fault.at(&node.span).label("the second time").also(first, "the first time"));
        return None;
    }
    Some(QueueName { name, span: node.span.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, read, refuses};

    #[test]
    fn one_queue_or_several() {
        accepts::<QueueNames>(&["\"a\"", "[\"a\"]", "[\"a\", \"b\"]"]);
        refuses::<QueueNames>(&[
            ("[]", "leave the key out"),
            ("3", "the name of a queue"),
            ("[\"a b\"]", "can't hold ' '"),
        ]);
        let said = read::<QueueNames>("[\"a\", \"b\", \"a\"]").unwrap_err();
        assert!(said.contains("the queue `a` is named twice"), "{said}");
    }
}
