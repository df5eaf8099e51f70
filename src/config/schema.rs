//! The JSON schema of a pipeline file, from the same definitions that read it, and from the registry.

use serde_json::{Map, Value, json};

use super::elements::{Element, With};
use super::keys::FileKeys;
use crate::stage::{Kind, Registry};

/// JSON Schema, draft 2020-12, of the files that this program takes.
pub fn schema(registry: &Registry) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": concat!("urn:mprun:pipeline-file:", env!("CARGO_PKG_VERSION")),
        "title": "mprun pipeline file",
        "description": "Programs as one supervised pipeline of processes. Durations need a unit; `${VAR}` and `${VAR:-default}` are expanded in strings.",
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut schema, FileKeys::schema()) {
        all.extend(own);
    }
    // Stages may all stand in other files.
    schema["anyOf"] = json!([{ "required": ["stages"] }, { "required": ["include"] }]);
    schema["properties"]["stages"]["minProperties"] = json!(1);
    if let Some(stage) = schema.pointer_mut("/properties/stages/additionalProperties") {
        add_registry(stage, registry);
    }
    schema
}

/// What `use` may say, and what each choice means for the other keys.
fn add_registry(stage: &mut Value, registry: &Registry) {
    let names = registry.names();
    let choice = |name: &&str| json!({ "const": name, "description": registry.about(name) });
    let mut choices: Vec<Value> = names.iter().map(choice).collect();
    choices.push(json!({ "type": "string", "pattern": r"\$\{" }));
    let description = stage.pointer("/properties/use/description").cloned();
    stage["properties"]["use"] = json!({ "description": description, "anyOf": choices });
    stage["oneOf"] = json!([{ "required": ["use"] }, { "required": ["command"] }]);
    stage["allOf"] = names.iter().map(|name| rule(name, registry)).collect();
}

/// The rule of one name: the keys of its `with`, and which ends it has.
fn rule(name: &str, registry: &Registry) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in registry.keys(name) {
        properties.insert(key.name.to_string(), parameter(key.schema.clone(), key.doc));
        if key.required {
            required.push(key.name.to_string());
        }
    }
    let mut then = json!({ "properties": { "with": With::schema() } });
    let needs_with = !required.is_empty();
    then["properties"]["with"]["properties"] = Value::Object(properties);
    then["properties"]["with"]["required"] = json!(required);
    then["properties"]["with"]["additionalProperties"] = json!(false);
    match registry.kind(name) {
        Some(Kind::Source) => then["properties"]["input"] = json!(false),
        Some(Kind::Sink) => then["properties"]["output"] = json!(false),
        Some(Kind::Transform) | None => {}
    }
    let needs_input = matches!(registry.kind(name), Some(Kind::Transform | Kind::Sink));
    let needs = [("with", needs_with), ("input", needs_input)].into_iter().filter(|(_, needs)| *needs);
    then["required"] = needs.map(|(key, _)| key).collect();
    json!({ "if": { "properties": { "use": { "const": name } }, "required": ["use"] }, "then": then })
}

/// A parameter's schema with its description; a variable may stand for it.
fn parameter(mut schema: Value, doc: &str) -> Value {
    let default = schema.as_object_mut().and_then(|schema| schema.shift_remove("default"));
    let mut described = super::elements::or_variable(schema);
    described["description"] = doc.into();
    if let Some(default) = default {
        described["default"] = default;
    }
    described
}
