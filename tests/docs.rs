//! The tables of docs/pipeline-file.md come from the schema, and so from the code:
//! `UPDATE_GOLDEN=1 cargo test --test docs` writes them anew.

use std::fmt::Write;
use std::process::Command;

use serde_json::{Map, Value};

const PAGE: &str = "docs/pipeline-file.md";

#[test]
fn the_reference_is_true_to_the_code() {
    let page = std::fs::read_to_string(PAGE).expect("read the page");
    let schema = schema();
    let stage = "/properties/stages/additionalProperties";
    let mut fresh = page.clone();
    for (name, pointer) in [
        ("top", String::new()),
        ("stage", stage.into()),
        ("backoff", format!("{stage}/properties/backoff")),
        ("retry", format!("{stage}/properties/retry")),
        ("give_up", format!("{stage}/properties/give_up")),
        ("recycle", format!("{stage}/properties/recycle")),
        ("log_file", format!("{stage}/properties/log_file")),
        ("limits", format!("{stage}/properties/limits")),
        ("dead_letters", "/properties/dead_letters".into()),
        ("broker", "/properties/broker/anyOf/1".into()),
        ("queue", "/properties/queues/additionalProperties".into()),
    ] {
        let properties = &schema.pointer(&pointer).expect("a table")["properties"];
        let keys = properties.as_object().expect("keys");
        fresh = replaced(&fresh, &format!("<!-- keys: {name} -->"), &table("key", keys, &Value::Null));
    }
    fresh = replaced(&fresh, "<!-- built-ins -->", &built_ins(schema.pointer(stage).expect("a stage")));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PAGE, &fresh).expect("write the page");
        return;
    }
    assert!(fresh == page, "{PAGE} is not true to the code: UPDATE_GOLDEN=1 writes it anew");
}

fn schema() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_mprun")).arg("schema").output().expect("run mprun");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The page with `text` between a mark and the next end.
fn replaced(page: &str, mark: &str, text: &str) -> String {
    let start = page.find(mark).expect("the mark") + mark.len();
    let end = start + page[start..].find("<!-- end -->").expect("the end");
    format!("{}\n\n{}\n\n{}", &page[..start], text.trim_end(), &page[end..])
}

/// Keys with their defaults and meanings; what they accept stands below, unless it is a table of its own.
fn table(head: &str, keys: &Map<String, Value>, required: &Value) -> String {
    let mut text = format!("| {head} | default | |\n|---|---|---|\n");
    for (key, schema) in keys {
        let is_required = required.as_array().is_some_and(|keys| keys.iter().any(|own| own == key));
        let default = match schema.get("default") {
            Some(default) => format!("`{}`", toml(default)),
            None if is_required => "required".into(),
            None => String::new(),
        };
        let doc = schema["description"].as_str().expect("a description");
        let accepted = schema["$comment"].as_str().filter(|_| schema["type"] != "object").unwrap_or_default();
        let accepted =
            accepted.strip_prefix("accepted: ").map(|words| format!("<br>{words}")).unwrap_or_default();
        // What looks like a tag would not be shown.
        let doc = doc.trim().replace('<', "&lt;");
        let doc = format!("{doc}{accepted}").replace('\n', " ").replace('|', "\\|");
        writeln!(text, "| `{key}` | {default} | {doc} |").expect("write");
    }
    text
}

/// A value as TOML writes it on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn built_ins(stage: &Value) -> String {
    let mut text = String::new();
    let choices = stage.pointer("/properties/use/anyOf").and_then(Value::as_array).expect("choices");
    for rule in stage["allOf"].as_array().expect("rules") {
        let name = rule.pointer("/if/properties/use/const").and_then(Value::as_str).expect("a name");
        let about = choices.iter().find(|choice| choice["const"] == name).expect("a choice");
        let then = &rule["then"];
        let kind = match (then.pointer("/properties/input"), then.pointer("/properties/output")) {
            (Some(_), _) => "a source",
            (_, Some(_)) => "a sink",
            _ => "a transform",
        };
        let about = about["description"].as_str().expect("a description");
        writeln!(text, "### `{name}`: {kind}\n\n{about}\n").expect("write");
        let with = &then["properties"]["with"];
        match with["properties"].as_object() {
            Some(keys) if !keys.is_empty() => {
                writeln!(text, "{}", table("parameter", keys, &with["required"])).expect("write");
            }
            _ => text += "It has no parameters.\n\n",
        }
    }
    text
}
