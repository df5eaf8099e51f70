//! Settings of a program: what is run, and what it is given.

use serde_json::{Map, Value, json};

use super::count::not_a_number;
use super::{Count, Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::{Diagnostic, Report, quote};
use crate::config::document::{Content, Entry, Node};
use crate::config::pipeline;
use crate::numbers::counted;

/// `command`: a list of words, run directly, or a line for the shell.
pub(crate) struct Invocation;

/// `env`: names and values, in the order of the file.
pub(crate) struct Variables;

/// `success_codes`: exit codes, at least one.
pub(crate) struct ExitCodes;

/// `dead_codes`: exit codes, maybe none. A good end is none of them.
pub(crate) struct DeadCodes;

/// `later_codes`: the same.
pub(crate) struct LaterCodes;

/// `umask`: the permissions that new files don't get, in octal.
pub(crate) struct Umask;

/// `nice`: -20 (before all others) to 19 (behind all others).
pub(crate) struct Nice;

impl Element for Invocation {
    type Output = pipeline::Invocation;

    fn read(node: &Node, report: &mut Report) -> Option<pipeline::Invocation> {
        match &node.content {
            Content::Text { text, .. } if text.trim().is_empty() => {
                report.push(reject::<Self>(node, "an empty command"));
                None
            }
            Content::Text { text, .. } => {
                has_no_zero(text, node, report).then(|| pipeline::Invocation::Shell(text.clone()))
            }
            Content::List(nodes) => {
                let words: Option<Vec<String>> = nodes.iter().map(|node| word(node, report)).collect();
                let words = words?;
                if words.first().is_none_or(String::is_empty) {
                    report.push(reject::<Self>(node, "a command without a program"));
                    return None;
                }
                Some(pipeline::Invocation::Direct(words))
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

    fn written(invocation: &pipeline::Invocation) -> Value {
        match invocation {
            pipeline::Invocation::Direct(words) => words.as_slice().into(),
            pipeline::Invocation::Shell(line) => line.as_str().into(),
        }
    }

    fn shown(invocation: &pipeline::Invocation) -> String {
        match invocation {
            pipeline::Invocation::Direct(words) => words.join(" "),
            pipeline::Invocation::Shell(line) => line.clone(),
        }
    }
}

fn word(node: &Node, report: &mut Report) -> Option<String> {
    match &node.content {
        Content::Text { text, .. } => has_no_zero(text, node, report).then(|| text.clone()),
        Content::Unknown => None, // reported where it was expanded
        content => {
            let fault = wrong_kind::<Invocation>(node, "a word in quotes");
            report.push(fault.did_you_mean(quoted_number(content)));
            None
        }
    }
}

/// The kernel ends arguments with a zero byte.
fn has_no_zero(text: &str, node: &Node, report: &mut Report) -> bool {
    let has_zero = text.contains('\0');
    if has_zero {
        report.push(Diagnostic::error("a zero byte in a command").at(&node.span));
    }
    !has_zero
}

fn quoted_number(content: &Content) -> Option<String> {
    match content {
        Content::Integer(number) => Some(format!("\"{number}\", in quotes")),
        _ => None,
    }
}

/// A list of `NAME=value`, as other tools take it, as a table.
fn as_table(node: &Node) -> Option<String> {
    let Content::List(nodes) = &node.content else { return None };
    let pair = |node: &Node| {
        let (name, value) = node.text()?.split_once('=')?;
        let is_name =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        is_name.then(|| format!("{name} = {}", quote(value)))
    };
    let pairs: Vec<String> = nodes.iter().map(pair).collect::<Option<_>>()?;
    (!pairs.is_empty()).then(|| format!("{{ {} }}", pairs.join(", ")))
}

impl Element for Variables {
    type Output = Vec<(String, String)>;

    fn read(node: &Node, report: &mut Report) -> Option<Self::Output> {
        let Content::Table(table) = &node.content else {
            let fault = wrong_kind::<Self>(node, "a table of variables");
            report.push(fault.did_you_mean(as_table(node)));
            return None;
        };
        // Every entry is read, so that each bad one is reported.
        let pairs: Vec<_> = table.entries.iter().map(|entry| variable(entry, report)).collect();
        pairs.into_iter().collect()
    }

    fn accepted() -> String {
        r#"a table of names and strings, such as { LANG = "C", LEVEL = "2" }"#.into()
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": { "type": "string" } })
    }

    fn written(variables: &Self::Output) -> Value {
        let table: Map<String, Value> =
            variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        if table.is_empty() { Value::Null } else { Value::Object(table) }
    }

    /// Not the values: they may be secrets.
    fn shown(variables: &Self::Output) -> String {
        counted(variables.len() as u64, "variable")
    }

    fn over(variables: Self::Output, beneath: Self::Output) -> Self::Output {
        let is_set = |name: &String| variables.iter().any(|(own, _)| own == name);
        let mut all: Self::Output = beneath.into_iter().filter(|(name, _)| !is_set(name)).collect();
        all.extend(variables);
        all
    }
}

fn variable(entry: &Entry, report: &mut Report) -> Option<(String, String)> {
    let name = &entry.key;
    let fault = if name.is_empty() || name.contains(['=', '\0']) {
        format!("{} can't be the name of a variable", quote(name))
    } else if name.starts_with("MPRUN_") {
        format!("{} is set by mprun itself", quote(name))
    } else {
        return variable_value(&entry.value, report).map(|value| (name.clone(), value));
    };
    report.push(Diagnostic::error(fault).at(&entry.key_span));
    None
}

fn variable_value(node: &Node, report: &mut Report) -> Option<String> {
    let fault = match &node.content {
        Content::Text { text, .. } if !text.contains('\0') => return Some(text.clone()),
        Content::Unknown => return None, // reported where it was expanded
        Content::Text { .. } => Diagnostic::error("a zero byte in a variable").at(&node.span),
        content => {
            let guess = match content {
                Content::Flag(flag) => Some(format!("\"{flag}\", in quotes")),
                other => quoted_number(other),
            };
            wrong_kind::<Variables>(node, "a string").did_you_mean(guess)
        }
    };
    report.push(fault);
    None
}

impl Element for ExitCodes {
    type Output = Vec<u8>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<u8>> {
        let Content::List(nodes) = &node.content else {
            report.push(wrong_kind::<Self>(node, "a list of numbers"));
            return None;
        };
        if nodes.is_empty() {
            report.push(reject::<Self>(node, "an empty list: then no end would be good"));
            return None;
        }
        codes::<0>(nodes, report)
    }

    fn accepted() -> String {
        "a list of exit codes from 0 to 255, such as [0, 1]".into()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": Count::<0, 255, u8>::schema(), "minItems": 1 })
    }

    fn written(codes: &Vec<u8>) -> Value {
        codes.as_slice().into()
    }

    fn shown(codes: &Vec<u8>) -> String {
        format!("{codes:?}")
    }
}

impl Element for DeadCodes {
    type Output = Vec<u8>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<u8>> {
        let Content::List(nodes) = &node.content else {
            report.push(wrong_kind::<Self>(node, "a list of numbers"));
            return None;
        };
        codes::<1>(nodes, report)
    }

    fn accepted() -> String {
        "a list of exit codes from 1 to 255, such as [65]".into()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": Count::<1, 255, u8>::schema() })
    }

    fn written(codes: &Vec<u8>) -> Value {
        if codes.is_empty() { Value::Null } else { codes.as_slice().into() }
    }

    fn shown(codes: &Vec<u8>) -> String {
        format!("{codes:?}")
    }
}

impl Element for LaterCodes {
    type Output = pipeline::LaterCodes;

    fn read(node: &Node, report: &mut Report) -> Option<pipeline::LaterCodes> {
        DeadCodes::read(node, report).map(pipeline::LaterCodes)
    }

    fn accepted() -> String {
        "a list of exit codes from 1 to 255, such as [75]".into()
    }

    fn schema() -> Value {
        DeadCodes::schema()
    }

    fn written(codes: &pipeline::LaterCodes) -> Value {
        codes.0.as_slice().into()
    }

    fn shown(codes: &pipeline::LaterCodes) -> String {
        DeadCodes::shown(&codes.0)
    }
}

/// Every code is read, so that each bad one is reported.
fn codes<const LEAST: u64>(nodes: &[Node], report: &mut Report) -> Option<Vec<u8>> {
    let codes: Vec<_> = nodes.iter().map(|node| Count::<LEAST, 255, u8>::read(node, report)).collect();
    codes.into_iter().collect()
}

impl Element for Umask {
    type Output = u32;

    fn read(node: &Node, report: &mut Report) -> Option<u32> {
        let Some(text) = node.text() else {
            // 27 would be 0o33: a user who writes it means the octal digits.
            let guess = match node.content {
                Content::Integer(number) => Some(format!("\"{number:03}\", in quotes")),
                _ => None,
            };
            report.push(wrong_kind::<Self>(node, "a string").did_you_mean(guess));
            return None;
        };
        let is_octal =
            (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mask = u32::from_str_radix(text, 8).ok().filter(|mask| is_octal && *mask <= 0o777);
        if mask.is_none() {
            report.push(reject::<Self>(node, "not a set of permissions"));
        }
        mask
    }

    fn accepted() -> String {
        r#"octal digits in quotes, such as "027""#.into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "string", "pattern": "^0?[0-7]{1,3}$" }))
    }

    fn written(mask: &u32) -> Value {
        format!("{mask:03o}").into()
    }
}

impl Element for Nice {
    type Output = i32;

    fn read(node: &Node, report: &mut Report) -> Option<i32> {
        let Some(number) = node.integer() else {
            report.push(not_a_number::<Self>(node));
            return None;
        };
        let nice = i32::try_from(number).ok().filter(|number| (-20..=19).contains(number));
        if nice.is_none() {
            report.push(reject::<Self>(node, "no such nice value"));
        }
        nice
    }

    fn accepted() -> String {
        "a whole number from -20 (first) to 19 (last)".into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "integer", "minimum": -20, "maximum": 19 }))
    }

    fn written(nice: &i32) -> Value {
        (*nice).into()
    }
}
