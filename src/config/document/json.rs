//! A value as JSON: the form in which stages get their `with`.

use serde_json::{Map, Number, Value};

use super::{Content, Node, Table};
use crate::config::diagnostic::{Diagnostic, Report};

/// The value as JSON; `None` after a report of what JSON can't hold.
pub(crate) fn to_json(node: &Node, report: &mut Report) -> Option<Value> {
    Some(match &node.content {
        Content::Text { text, .. } | Content::Moment(text) => Value::String(text.clone()),
        Content::Integer(number) => Value::Number(integer(*number, node, report)?),
        Content::Float(number) => Value::Number(float(*number, node, report)?),
        Content::Flag(flag) => Value::Bool(*flag),
        Content::List(nodes) => {
            Value::Array(nodes.iter().map(|node| to_json(node, report)).collect::<Option<_>>()?)
        }
        Content::Table(table) => Value::Object(object(table, report)?),
        Content::Unknown => return None,
    })
}

fn object(table: &Table, report: &mut Report) -> Option<Map<String, Value>> {
    table.entries.iter().map(|entry| Some((entry.key.clone(), to_json(&entry.value, report)?))).collect()
}

fn integer(number: i128, node: &Node, report: &mut Report) -> Option<Number> {
    let fits = i64::try_from(number).map(Number::from).or_else(|_| u64::try_from(number).map(Number::from));
    if fits.is_err() {
        report.push(Diagnostic::error("this number needs more than 64 bits").at(&node.span));
    }
    fits.ok()
}

fn float(number: f64, node: &Node, report: &mut Report) -> Option<Number> {
    let number = Number::from_f64(number);
    if number.is_none() {
        report.push(Diagnostic::error("a stage can't take a number that is not finite").at(&node.span));
    }
    number
}
