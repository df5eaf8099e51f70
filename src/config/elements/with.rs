//! `with`: the parameters of a stage. Which there are is for the stage to say.

use serde_json::{Value, json};

use super::{Element, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node, Table};

/// A table of any keys.
pub(crate) struct With;

impl Element for With {
    type Output = Table;

    fn read(node: &Node, report: &mut Report) -> Option<Table> {
        if let Content::Table(table) = &node.content {
            return Some(table.clone());
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

    fn written(_: &Table) -> Value {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{read, refuses};

    #[test]
    fn any_table() {
        assert_eq!(read::<With>("{ a = 1, b = [2] }").map(|with| with.entries.len()), Ok(2));
        refuses::<With>(&[("\"a\"", "expected a table, found a string")]);
    }
}
