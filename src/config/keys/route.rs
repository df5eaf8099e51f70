//! `routes`: rules, of which the first that holds for an item says where it goes.

use serde_json::{Value, json};

use crate::condition::Condition;
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::document::{Content, Node};
use crate::config::elements::{Element, Name, read_table, reject, table, wrong_kind};

table! {
    /// A rule.
    RouteKeys = "a rule of `routes`" {
        /// The rule holds for JSON items for which this condition holds (docs/conditions.md). Without it, for every item.
        when: Option<ConditionText> = None, also "if" "where" "condition" "case" "match";
        /// The queue that gets the item. "drop": it is dropped.
        to: Option<Name> = None, also "queue" "output" "then" "target" "goto";
    }
}

/// A rule and its place.
#[derive(Clone)]
pub(crate) struct Rule {
    pub keys: RouteKeys,
    pub span: Span,
}

/// A list of rules.
pub(crate) struct Routes;

impl Element for Routes {
    type Output = Vec<Rule>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<Rule>> {
        let Content::List(nodes) = &node.content else {
            report.push(wrong_kind::<Self>(node, "a list of rules"));
            return None;
        };
        if nodes.is_empty() {
            report.push(reject::<Self>(node, "an empty list"));
            return None;
        }
        let read = |node: &Node| Some(Rule { keys: read_table(node, report)?, span: node.span.clone() });
        let rules: Vec<Rule> = nodes.iter().filter_map(read).collect();
        (rules.len() == nodes.len()).then_some(rules)
    }

    fn accepted() -> String {
        "a list of rules, such as [{ when = 'status >= 500', to = \"errors\" }, { to = \"drop\" }]".into()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": RouteKeys::schema(), "minItems": 1 })
    }

    fn written(rules: &Vec<Rule>) -> Value {
        match rules.as_slice() {
            [] => Value::Null,
            rules => rules.iter().map(|rule| RouteKeys::written(&rule.keys)).collect(),
        }
    }
}

/// A condition over items; what is wrong with it is shown where it stands.
pub(crate) struct ConditionText;

impl Element for ConditionText {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        let Some(text) = node.text() else {
            report.push(wrong_kind::<Self>(node, "a condition in quotes"));
            return None;
        };
        let Err(fault) = Condition::parse(text) else { return Some(text.to_owned()) };
        let diagnostic = Diagnostic::error(fault.message).at(&node.place(fault.place));
        report.push(match fault.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
        None
    }

    fn accepted() -> String {
        "a condition over JSON items, such as 'level == \"error\" && took_ms > 1000'".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "examples": ["level == \"error\" && took_ms > 1000"] })
    }

    fn written(text: &String) -> Value {
        text.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{read, refuses};

    #[test]
    fn rules_in_their_order() {
        let rules = read::<Routes>("[{ when = \"a == \\\"x\\\"\", to = \"x\" }, { to = \"drop\" }]").unwrap();
        assert_eq!(Routes::written(&rules), json!([{ "when": "a == \"x\"", "to": "x" }, { "to": "drop" }]));
        refuses::<Routes>(&[("[]", "an empty list"), ("3", "a list of rules"), ("[3]", "a table")]);
        for (rules, said) in [
            ("[{ when = 'a = 1', to = \"x\" }]", "`=` has no meaning here"),
            ("[{ if = 'a == 1', to = \"x\" }]", "did you mean `when`?"),
            ("[{ when = 3, to = \"x\" }]", "a condition in quotes"),
            ("[{ to = \"a b\" }]", "can't hold ' '"),
        ] {
            let read = read::<Routes>(rules).map(|rules| rules.len()).unwrap_err();
            assert!(read.contains(said), "{rules}: {read}");
        }
    }
}
