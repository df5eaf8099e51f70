//! `env`: variables of an environment.

use serde_json::{Map, Value, json};

use super::{Element, wrong_kind};
use crate::config::diagnostic::{Diagnostic, Report, quote};
use crate::config::document::{Content, Entry, Node};

/// Names and values, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub Vec<(String, String)>);

impl Element for Variables {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Content::Table(table) = &node.content else {
            report.push(wrong_kind::<Self>(node, "a table of variables"));
            return None;
        };
        let pairs: Vec<_> = table.entries.iter().map(|entry| pair(entry, report)).collect();
        pairs.into_iter().collect::<Option<_>>().map(Variables)
    }

    fn accepted() -> String {
        r#"a table of names and strings, such as { LANG = "C", LEVEL = "2" }"#.into()
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": { "type": "string" } })
    }

    fn written(&self) -> Value {
        let table: Map<String, Value> =
            self.0.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        if table.is_empty() { Value::Null } else { Value::Object(table) }
    }

    fn over(self, beneath: Self) -> Self {
        let kept = beneath.0.into_iter().filter(|(name, _)| self.0.iter().all(|(own, _)| own != name));
        Variables(kept.chain(self.0.clone()).collect())
    }
}

fn pair(entry: &Entry, report: &mut Report) -> Option<(String, String)> {
    let name = &entry.key;
    let fault = if name.is_empty() || name.contains(['=', '\0']) {
        Some(
            Diagnostic::error(format!("{} can't be the name of a variable", quote(name)))
                .at(&entry.key_place),
        )
    } else if name.starts_with("MPRUN_") {
        Some(Diagnostic::error(format!("{} is set by mprun itself", quote(name))).at(&entry.key_place))
    } else {
        None
    };
    if let Some(fault) = fault {
        report.push(fault);
        return None;
    }
    match &entry.value.content {
        Content::Text { text, .. } if text.contains('\0') => {
            report.push(Diagnostic::error("a zero byte in a variable").at(&entry.value.place));
            None
        }
        Content::Text { text, .. } => Some((name.clone(), text.clone())),
        content => {
            let guess = match content {
                Content::Integer(number) => Some(format!("\"{number}\", in quotes")),
                Content::Flag(flag) => Some(format!("\"{flag}\", in quotes")),
                _ => None,
            };
            let fault = Diagnostic::error(format!("expected a string, found {}", entry.value.kind()));
            report.push(fault.at(&entry.value.place).accepted(Variables::accepted()).did_you_mean(guess));
            None
        }
    }
}
