//! Examples, verbs and options of the docs are those of mprun. The tables of docs/pipeline-file.md come from the schema:
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

/// What an example may leave to the rest of its file, or to the environment.
const LEFT_OUT: [&str; 6] = [
    "the file has no stage",
    "nothing reads the queue",
    "nothing writes the queue",
    "no stage uses the queue",
    "neither reads nor writes a shared queue",
    "the variable `",
];

/// The pages and the README with their names.
fn pages() -> Vec<(String, String)> {
    let docs = std::fs::read_dir("docs").expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let all = pages.chain([std::path::PathBuf::from("README.md")]);
    all.map(|path| (path.display().to_string(), std::fs::read_to_string(path).expect("read a page")))
        .collect()
}

#[test]
fn an_example_of_a_pipeline_file_has_no_fault_but_for_what_it_leaves_out() {
    let folder = std::env::temp_dir().join(format!("mprun-docs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut count = 0;
    for (page, text) in pages() {
        for example in text.split("```toml\n").skip(1) {
            let example = example.split("```").next().expect("a block");
            let file = folder.join("example.toml");
            std::fs::write(&file, example).expect("write the example");
            let mut check = Command::new(env!("CARGO_BIN_EXE_mprun"));
            let output = check.args(["check", "--syntax"]).arg(&file).output().expect("run mprun");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let faults = said.lines().filter(|line| line.starts_with("error"));
            let wrong: Vec<&str> =
                faults.filter(|fault| !LEFT_OUT.iter().any(|left_out| fault.contains(left_out))).collect();
            assert!(wrong.is_empty(), "{page}: {wrong:?} in\n{example}");
            count += 1;
        }
    }
    std::fs::remove_dir_all(&folder).expect("remove the folder");
    assert!(count > 35, "only {count} examples");
}

/// The commands of a page that begin with `mprun`: typed, or named in a sentence.
fn mprun_commands(text: &str) -> impl Iterator<Item = &str> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("$ mprun "));
    let named = text.split('`').filter_map(|piece| piece.strip_prefix("mprun "));
    typed.chain(named).flat_map(|line| line.lines().next())
}

#[test]
fn verbs_and_options_of_the_docs_are_there() {
    let help = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mprun"));
        let output = command.args(arguments).arg("--help").output().expect("run mprun");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut texts = std::collections::BTreeMap::new();
    let mut count = 0;
    for (page, text) in pages() {
        for command in mprun_commands(&text) {
            // What stands behind the words of mprun are those of another program.
            let words =
                command.split([' ', '|', '[', ']', '>', '&', ';', '"']).take_while(|word| *word != "--");
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let is_verb = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let Some(verb) = words.first().copied().filter(|word| is_verb(word)) else { continue };
            let text = texts.entry(verb.to_owned()).or_insert_with(|| {
                let of_verb =
                    help(&[verb]).unwrap_or_else(|| panic!("{page}: there is no verb {verb}: {command}"));
                let inner = ["install", "show", "uninstall", "list", "retry", "drop"];
                inner.iter().filter_map(|word| help(&[verb, word])).fold(of_verb, |all, text| all + &text)
            });
            count += 1;
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.split(['=', ',', '.', ')']).next().expect("an option");
                let of_text = |c: char| !c.is_ascii_alphanumeric() && c != '-';
                assert!(
                    text.split(of_text).any(|word| word == option),
                    "{page}: mprun {verb} has no {option}: {command}"
                );
            }
        }
    }
    assert!(count > 100, "only {count} commands");
}
