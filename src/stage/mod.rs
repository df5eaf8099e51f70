//! STUB for the config branch only: the stage builder's file replaces it.
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Source,
    Transform,
    Sink,
}

pub struct KeyDoc {
    pub name: &'static str,
    pub schema: Value,
    pub doc: &'static str,
    pub required: bool,
}

pub struct WithFault {
    pub key: Option<String>,
    pub message: String,
    pub help: Option<String>,
}

struct Built {
    name: &'static str,
    kind: Kind,
    keys: Vec<KeyDoc>,
}

/// Registry stub.
pub struct Registry {
    built: Vec<Built>,
}

fn key(name: &'static str, kind: &str, doc: &'static str) -> KeyDoc {
    KeyDoc { name, schema: json!({ "type": kind }), doc, required: false }
}

impl Registry {
    pub fn builtin() -> Registry {
        let built = vec![
            Built {
                name: "random",
                kind: Kind::Source,
                keys: vec![
                    key("min", "integer", "The least number."),
                    key("max", "integer", "The greatest."),
                    key("seed", "integer", "Seed."),
                    key("times", "integer", "So many."),
                ],
            },
            Built {
                name: "count",
                kind: Kind::Source,
                keys: vec![
                    key("from", "integer", "From."),
                    key("to", "integer", "To."),
                    key("step", "integer", "Step."),
                    key("format", "string", "Format."),
                ],
            },
            Built {
                name: "repeat",
                kind: Kind::Source,
                keys: vec![
                    KeyDoc {
                        name: "text",
                        schema: json!({"type": "string"}),
                        doc: "The text.",
                        required: true,
                    },
                    key("times", "integer", "So many."),
                ],
            },
            Built { name: "stdin", kind: Kind::Source, keys: vec![] },
            Built {
                name: "filter",
                kind: Kind::Transform,
                keys: vec![
                    KeyDoc {
                        name: "keep",
                        schema: json!({ "enum": ["even", "odd"] }),
                        doc: "Which.",
                        required: false,
                    },
                    key("matches", "string", "Regex."),
                    key("invert", "boolean", "Turn round."),
                ],
            },
            Built {
                name: "format",
                kind: Kind::Transform,
                keys: vec![KeyDoc {
                    name: "template",
                    schema: json!({"type": "string"}),
                    doc: "The template.",
                    required: true,
                }],
            },
            Built { name: "discard", kind: Kind::Sink, keys: vec![] },
        ];
        Registry { built }
    }
    fn find(&self, name: &str) -> Option<&Built> {
        self.built.iter().find(|b| b.name == name)
    }
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.find(name).map(|b| b.kind)
    }
    pub fn names(&self) -> Vec<&str> {
        self.built.iter().map(|b| b.name).collect()
    }
    pub fn keys(&self, name: &str) -> &[KeyDoc] {
        self.find(name).map(|b| b.keys.as_slice()).unwrap_or(&[])
    }
    pub fn keeps_state(&self, name: &str, _with: &Map<String, Value>) -> bool {
        matches!(name, "count" | "repeat")
    }
    pub fn check(&self, name: &str, with: &Map<String, Value>) -> Vec<WithFault> {
        let keys = self.keys(name);
        let mut faults = Vec::new();
        for (k, v) in with {
            let Some(doc) = keys.iter().find(|d| d.name == k) else {
                faults.push(WithFault {
                    key: Some(k.clone()),
                    message: format!("`{name}` has no parameter `{k}`"),
                    help: Some(format!(
                        "it knows {}",
                        keys.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")
                    )),
                });
                continue;
            };
            let good = match doc.schema["type"].as_str() {
                Some("integer") => v.is_i64(),
                Some("string") => v.is_string(),
                Some("boolean") => v.is_boolean(),
                _ => doc.schema["enum"].as_array().is_none_or(|e| e.contains(v)),
            };
            if !good {
                faults.push(WithFault {
                    key: Some(k.clone()),
                    message: format!("`{k}` = {v} is not what `{name}` takes"),
                    help: None,
                });
            }
        }
        for doc in keys.iter().filter(|d| d.required && !with.contains_key(d.name)) {
            faults.push(WithFault {
                key: None,
                message: format!("`{name}` needs the parameter `{}`", doc.name),
                help: None,
            });
        }
        faults
    }
}
