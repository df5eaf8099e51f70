//! `after`: a list of stages.

use serde_json::Value;

use super::{Element, Name, one_or_several, read_several};
use crate::config::diagnostic::{Report, Span};
use crate::config::document::Node;

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
        read_several::<Self, _>(node, report, "the name of a stage", |node, report| {
            Some(StageName { name: Name::read(node, report)?, span: node.span.clone() })
        })
    }

    fn accepted() -> String {
        r#"the name of a stage, or a list of such names, such as ["db", "cache"]"#.into()
    }

    fn schema() -> Value {
        one_or_several(&Name::schema())
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
