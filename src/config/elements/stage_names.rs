//! `after`: a list of stages.

use serde_json::{Value, json};

use super::{Element, Name, wrong_kind};
use crate::config::diagnostic::{Report, Span};
use crate::config::document::{Content, Node};

/// Stages in the order of the file; a name that comes twice means the same as once. The default is none.
pub(crate) struct StageNames;

/// A stage as another one names it.
#[derive(Clone, Debug)]
pub(crate) struct StageName {
    pub name: String,
    pub span: Span,
}

impl Element for StageNames {
    type Output = Vec<StageName>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<StageName>> {
        let nodes = match &node.content {
            Content::Text { .. } => std::slice::from_ref(node),
            Content::List(nodes) => nodes,
            _ => {
                report.push(wrong_kind::<Self>(node, "the name of a stage"));
                return None;
            }
        };
        // Every name is read, so that each bad one is reported.
        let mut names = Vec::with_capacity(nodes.len());
        for node in nodes {
            let name = if node.is_unknown() { None } else { Name::read(node, report) };
            names.extend(name.map(|name| StageName { name, span: node.span.clone() }));
        }
        (names.len() == nodes.len()).then_some(names)
    }

    fn accepted() -> String {
        r#"the name of a stage, or a list of such names, such as ["db", "cache"]"#.into()
    }

    fn schema() -> Value {
        let list = json!({ "type": "array", "items": Name::schema() });
        json!({ "anyOf": [Name::schema(), list] })
    }

    fn written(stages: &Vec<StageName>) -> Value {
        match stages.as_slice() {
            [] => Value::Null,
            many => many.iter().map(|stage| stage.name.as_str()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn one_stage_or_several() {
        accepts::<StageNames>(&["\"a\"", "[\"a\"]", "[\"a\", \"b\"]"]);
        refuses::<StageNames>(&[("3", "the name of a stage"), ("[\"a b\"]", "can't hold ' '")]);
    }
}
