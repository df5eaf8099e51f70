//! The schema that `mprun schema` prints, held against a real validator.

use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::Validator;
use serde_json::{Value, json};

fn schema() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_mprun")).arg("schema").output().expect("run mprun");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn validator() -> Validator {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).expect("a valid schema");
    jsonschema::draft202012::new(&schema).expect("a usable schema")
}

/// A pipeline file as an editor's validator sees it: nothing expanded.
fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("read the file");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    assert!(!files.is_empty());
    files.sort();
    files
}

#[test]
fn every_example_is_valid() {
    let validator = validator();
    let more = ["tests/graph.toml", "tests/every_key.toml", "src/cli/starter.toml"].map(PathBuf::from);
    for file in files("pipelines").into_iter().chain(more) {
        let errors: Vec<String> =
            validator.iter_errors(&read(&file)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
    }
}

#[test]
fn what_is_wrong_in_itself_is_invalid() {
    let validator = validator();
    // What only the whole shows (a queue without reader, a ring) is beyond a schema.
    for name in [
        "choices",
        "defaults",
        "durations",
        "extras",
        "no_stage",
        "durable",
        "queue_lists",
        "sizes",
        "stage_without_a_name",
        "stages_in_a_list",
        "unknown_builtin",
        "unknown_keys",
        "without_use",
        "wrong_ends",
        "wrong_types",
        "bad_names",
        "one_slip_is_one_fault",
    ] {
        let file = PathBuf::from(format!("tests/config_errors/{name}.toml"));
        assert!(!validator.is_valid(&read(&file)), "{name}");
    }
}

#[test]
fn each_kind_of_value_is_checked() {
    let validator = validator();
    let stage = |key: &str, value: Value| {
        let mut stage = json!({ "use": "filter", "input": "q" });
        stage[key] = value;
        validator.is_valid(&json!({ "stages": { "a": stage } }))
    };
    for (key, good, bad) in [
        ("sleep", json!("1m30s"), json!("10")),
        ("sleep", json!("${PAUSE:-1s}"), json!(10)),
        ("processes", json!("cpus"), json!(0)),
        ("processes", json!("${N}"), json!("four")),
        ("recycle", json!({ "memory": "64MiB" }), json!({ "memory": "64" })),
        ("recycle", json!({ "items": 5 }), json!({ "itmes": 5 })),
        ("input", json!(["a", "b"]), json!([])),
        ("output", json!("a-b"), json!("a b")),
        ("restart", json!("on-failure"), json!("sometimes")),
        ("log_items", json!(true), json!("yes")),
        ("with", json!({ "keep": "even" }), json!({ "kepe": "even" })),
        ("with", json!({ "keep": "${WHICH}" }), json!({ "keep": "none" })),
        ("use", json!("format"), json!("fromat")),
    ] {
        if key == "use" {
            // `format` needs its template.
            assert!(!stage(key, good), "{key}");
        } else {
            assert!(stage(key, good.clone()), "{key} = {good}");
        }
        assert!(!stage(key, bad.clone()), "{key} = {bad}");
    }
}

#[test]
fn every_key_has_its_description() {
    fn walk(value: &Value, path: &str) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (key, property) in properties {
                let is_rule =
                    path.contains("allOf") && matches!(key.as_str(), "use" | "with" | "input" | "output");
                let described =
                    property.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
                assert!(described || is_rule, "{path}.{key}");
            }
        }
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"))),
            Value::Array(list) => list.iter().for_each(|value| walk(value, &format!("{path}[]"))),
            _ => {}
        }
    }
    walk(&schema(), "");
}
