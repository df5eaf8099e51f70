//! What a stage does: a `command`, or `use` and `with`, checked against the registry.

use serde_json::{Map, Value};

use super::command;
use super::draft::Draft;
use super::routes;
use crate::config::diagnostic::{Diagnostic, Report, Span, list, nearest, quote};
use crate::config::document::{Content, Node, Table, to_json};
use crate::config::elements::{At, QueueName};
use crate::config::pipeline::{Task, Work};
use crate::stage::{Kind, Registry, WithFault};

pub(super) fn compile(draft: &Draft, registry: &Registry, report: &mut Report) -> Work {
    let keys = &draft.keys;
    let names = |queues: &[QueueName]| queues.iter().map(|queue| queue.name.clone()).collect();
    let (inputs, outputs) = (names(&keys.input.value), names(&keys.output.value));
    let (apart, routes) = (draft.apart, routes::compile(draft));
    Work { task: task(draft, registry, report), inputs, outputs, apart, routes }
}

fn task(draft: &Draft, registry: &Registry, report: &mut Report) -> Task {
    let keys = &draft.keys;
    if let (Some(uses), Some(command)) = (&keys.r#use.at, &keys.command.at) {
        let fault = Diagnostic::error(format!("the stage `{}` has both a `use` and a `command`", draft.name));
        report.push(fault.at(&command.key).also(&uses.key, "one of them is too much"));
    }
    if let Some(command) = command::compile(draft, report) {
        if let Some(with) = &keys.with.at {
            let fault = Diagnostic::error("`with` holds the parameters of a `use`").at(&with.key);
            report.push(fault.help("a program takes its own in the words of its `command`, or in `env`"));
        }
        return Task::Command(Box::new(command));
    }
    match (&keys.r#use.value, &keys.r#use.at) {
        (Some(uses), Some(at)) => registered(draft, uses, at, registry, report),
        _ => {
            if !keys.unread.may_be("use") && !keys.unread.may_be("command") {
                report.push(without_task(draft, registry));
            }
            Task::Use { name: String::new(), with: Map::new() }
        }
    }
}

fn registered(draft: &Draft, uses: &str, at: &At, registry: &Registry, report: &mut Report) -> Task {
    command::check_absent(draft, report);
    let mut parameters = Map::new();
    match registry.kind(uses) {
        None => report.push(unknown(uses, &at.value, registry)),
        Some(kind) => {
            check_ends(draft, uses, kind, at, report);
            parameters = with(draft, uses, at, registry, report);
        }
    }
    Task::Use { name: uses.to_owned(), with: parameters }
}

fn without_task(draft: &Draft, registry: &Registry) -> Diagnostic {
    Diagnostic::error(format!("the stage `{}` has no `use` and no `command`", draft.name))
        .at(&draft.span)
        .label("what does it do?")
        .accepted(format!("a `command` to run, or a `use`: {}", list(registry.names(), "and")))
}

fn unknown(name: &str, span: &Span, registry: &Registry) -> Diagnostic {
    let fault = Diagnostic::error(format!("there is no built-in {}", quote(name))).at(span);
    let fault = match (instead_of(name), nearest(name, registry.names())) {
        (Some(help), _) => fault.help(help),
        (None, Some(near)) => fault.did_you_mean(Some(quote(near))),
        (None, None) => fault.help(A_PROGRAM),
    };
    fault.accepted(list(registry.names(), "and"))
}

const A_PROGRAM: &str = "a program goes into `command`, not into `use`";

/// What does what people know by another name.
fn instead_of(name: &str) -> Option<&'static str> {
    Some(match name.to_lowercase().as_str() {
        "tail" | "follow" | "watch" => {
            "`use = \"lines\"` with `follow = true` in `with` reads a file as it grows"
        }
        "cat" | "read" | "reader" => "`use = \"lines\"` reads a file, `use = \"stdin\"` standard input",
        "stdout" | "print" | "console" | "echo" => "leave it out: a stage without `output` prints its items",
        "write" | "writer" | "tee" => "`use = \"file\"` writes items to a file",
        "cron" | "timer" => {
            "`use = \"tick\"` emits at intervals; `schedule` starts a program at times of the day"
        }
        "exec" | "command" | "program" | "process" | "script" | "shell" | "sh" | "bash" | "python"
        | "python3" => A_PROGRAM,
        _ => return None,
    })
}

/// A source reads no queue, all else does; a sink writes none.
fn check_ends(draft: &Draft, uses: &str, kind: Kind, at: &At, report: &mut Report) {
    let keys = &draft.keys;
    match (kind, &keys.input.at) {
        (Kind::Source, Some(input)) => report.push(
            Diagnostic::error(format!("`{uses}` is a source: it reads no queue"))
                .at(&input.key)
                .help("leave `input` out"),
        ),
        (Kind::Transform | Kind::Sink, None) if !keys.unread.may_be("input") => report.push(
            Diagnostic::error(format!("the stage `{}` has no `input`", draft.name))
                .at(&at.value)
                .label(format!("`{uses}` is no source: it needs a queue to read")),
        ),
        _ => {}
    }
    if let (Kind::Sink, Some(output)) = (kind, &keys.output.at) {
        let fault = Diagnostic::error(format!("`{uses}` is a sink: it writes no queue")).at(&output.key);
        report.push(fault.help("leave `output` out"));
    }
}

/// The parameters as the stage gets them; what the registry finds wrong goes to the report.
fn with(draft: &Draft, uses: &str, at: &At, registry: &Registry, report: &mut Report) -> Map<String, Value> {
    let (with, lost) = object(&draft.keys.with.value, uses, registry, report);
    // What can't be read is reported; what it would have been is not to be reported as missing.
    let is_whole = lost.is_empty() && !draft.keys.unread.may_be("with");
    for fault in registry.check(uses, &with) {
        if report.is_full() {
            break;
        }
        if !is_whole && fault.key.as_ref().is_none_or(|key| !with.contains_key(key)) {
            continue;
        }
        let span = span_of(&fault, draft, uses, at, registry);
        let diagnostic = Diagnostic::error(fault.message).at(&span);
        report.push(match fault.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }
    with
}

/// The value of a known key, the name of an unknown one; without a key, the table, or what asks for it.
fn span_of(fault: &WithFault, draft: &Draft, uses: &str, at: &At, registry: &Registry) -> Span {
    let table = &draft.keys.with.value;
    if let Some(entry) = fault.key.as_deref().and_then(|key| table.get(key)) {
        let is_known = registry.keys(uses).iter().any(|key| key.name == entry.key);
        return match &fault.within {
            Some(within) if is_known => entry.value.place(within.clone()),
            None | Some(_) if is_known => entry.value.span.clone(),
            None | Some(_) => entry.key_span.clone(),
        };
    }
    match &draft.keys.with.at {
        Some(with) => with.key.clone(),
        None => at.value.clone(),
    }
}

/// The parameters as JSON, and the keys of those that can't be.
fn object<'t>(
    table: &'t Table,
    uses: &str,
    registry: &Registry,
    report: &mut Report,
) -> (Map<String, Value>, Vec<&'t str>) {
    let mut object = Map::new();
    let mut lost = Vec::new();
    for entry in &table.entries {
        match to_json(&entry.value, report) {
            Some(value) => {
                let value = typed(value, &entry.value, &entry.key, uses, registry);
                object.insert(entry.key.clone(), value);
            }
            None => lost.push(entry.key.as_str()),
        }
    }
    (object, lost)
}

/// A variable's text as the number or flag that the key wants: the environment holds nothing but text.
fn typed(value: Value, node: &Node, key: &str, uses: &str, registry: &Registry) -> Value {
    let Content::Text { text, from_variable: true } = &node.content else { return value };
    let kind = registry.keys(uses).iter().find(|doc| doc.name == key).and_then(|doc| doc.schema.get("type"));
    match kind.and_then(Value::as_str) {
        Some("integer" | "number" | "boolean") => serde_json::from_str(text.trim()).unwrap_or(value),
        _ => value,
    }
}
