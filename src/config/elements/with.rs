//! `with`: the parameters of a stage. Which there are is for the stage to say.

use serde_json::{Value, json};

use super::{Element, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node, Table};

/// A table of any keys.
#[derive(Clone, Debug, Default)]
pub struct With(pub Table);

impl Element for With {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        if let Content::Table(table) = &node.content {
            return Some(With(table.clone()));
        }
        report.push(wrong_kind::<Self>(node, "a table"));
        None
    }

    fn accepted() -> String {
        "a table of parameters, such as { min = 0, max = 10 }".into()
    }

    fn schema() -> Value {
        json!({ "type": "object" })
    }

    fn written(&self) -> Value {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{read, refuses};

    #[test]
    fn any_table() {
        assert_eq!(read::<With>("{ a = 1, b = [2] }").map(|with| with.0.entries.len()), Ok(2));
        refuses::<With>(&[("\"a\"", "expected a table, found a string")]);
    }
}
