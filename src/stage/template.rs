//! Texts with fields in braces: `hello {item} from {pid}`.

use super::Setting;
use serde_json::{Value, json};
use std::io::Write;

/// What a template can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Item,
    Pid,
    Parent,
    Worker,
    Stage,
    Attempt,
}

const FIELDS: [(&str, Field); 6] = [
    ("item", Field::Item),
    ("pid", Field::Pid),
    ("parent", Field::Parent),
    ("worker", Field::Worker),
    ("stage", Field::Stage),
    ("attempt", Field::Attempt),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<F> {
    Text(String),
    Field(F),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    written: String,
    parts: Vec<Part<Field>>,
}

/// What the fields stand for.
pub(crate) struct Values<'a> {
    pub item: &'a [u8],
    pub pid: u32,
    /// The supervisor's process id.
    pub parent: u32,
    pub worker: u32,
    pub stage: &'a str,
    pub attempt: u32,
}

impl Template {
    /// Parses a text; `known` are the fields that may stand in it.
    pub(super) fn parse_with(written: &str, known: &[Field]) -> Result<Template, String> {
        Ok(Template { written: written.to_owned(), parts: parse(written, |name| field(name, known))? })
    }

    /// Appends the text with its fields filled in.
    pub(super) fn render(&self, values: &Values<'_>, into: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => into.extend_from_slice(text.as_bytes()),
                Part::Field(Field::Item) => into.extend_from_slice(values.item),
                Part::Field(Field::Stage) => into.extend_from_slice(values.stage.as_bytes()),
                Part::Field(Field::Pid) => number(values.pid, into),
                Part::Field(Field::Parent) => number(values.parent, into),
                Part::Field(Field::Worker) => number(values.worker, into),
                Part::Field(Field::Attempt) => number(values.attempt, into),
            }
        }
    }
}

/// The parts of a text; `field` says what stands for the text between two braces.
pub(super) fn parse<F>(
    written: &str,
    field: impl Fn(&str) -> Result<F, String>,
) -> Result<Vec<Part<F>>, String> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut rest = written;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
        } else if brace == "}" {
            return Err("has a `}` without its `{` (write `}}` for the character itself)".to_owned());
        } else {
            let (name, after) = rest.split_once('}').ok_or_else(|| {
                "has a `{` without its `}` (write `{{` for the character itself)".to_owned()
            })?;
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Field(field(name)?));
            rest = after;
        }
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    Ok(parts)
}

fn number(number: u32, into: &mut Vec<u8>) {
    // Writing to a `Vec` can't fail.
    let _ = write!(into, "{number}");
}

fn field(name: &str, known: &[Field]) -> Result<Field, String> {
    let find = |&&(field_name, field): &&(&str, Field)| field_name == name && known.contains(&field);
    if let Some((_, field)) = FIELDS.iter().find(find) {
        return Ok(*field);
    }
    let names: Vec<_> = FIELDS
        .iter()
        .filter(|(_, field)| known.contains(field))
        .map(|(name, _)| format!("{{{name}}}"))
        .collect();
    Err(format!("has an unknown field {{{name}}}: it knows {}", names.join(" ")))
}

impl Setting for Template {
    fn schema() -> Value {
        json!({"type": "string", "examples": ["{item}", "worker {worker} ({pid}) got {item}"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        Template::parse_with(&String::parse(written)?, &FIELDS.map(|(_, field)| field))
    }
    fn show(&self) -> Value {
        json!(self.written)
    }
    fn placeholder() -> Self {
        Template { written: String::new(), parts: Vec::new() }
    }
}

/// A template of a text that is about no item.
#[derive(Clone, Debug)]
pub(crate) struct StageTemplate(pub Template);

impl Setting for StageTemplate {
    fn schema() -> Value {
        json!({"type": "string", "examples": ["parent id is {parent}"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        let known = [Field::Pid, Field::Parent, Field::Worker, Field::Stage];
        Template::parse_with(&String::parse(written)?, &known).map(StageTemplate)
    }
    fn show(&self) -> Value {
        self.0.show()
    }
    fn placeholder() -> Self {
        StageTemplate(Template::placeholder())
    }
}

/// A template that knows nothing but `{item}`.
#[derive(Clone, Debug)]
pub(crate) struct ItemTemplate(pub Template);

impl Setting for ItemTemplate {
    fn schema() -> Value {
        json!({"type": "string", "examples": ["hello {item}"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        Template::parse_with(&String::parse(written)?, &[Field::Item]).map(ItemTemplate)
    }
    fn show(&self) -> Value {
        self.0.show()
    }
    fn placeholder() -> Self {
        ItemTemplate(Template::placeholder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let template = Template::parse(&json!(template))?;
        let mut text = Vec::new();
        let values = Values { item: b"x", pid: 4321, parent: 4000, worker: 2, stage: "say", attempt: 1 };
        template.render(&values, &mut text);
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn fields_are_filled_in() {
        assert_eq!(
            rendered("{stage}[{worker}] {pid} of {parent}: {item}, try {attempt}.").unwrap(),
            "say[2] 4321 of 4000: x, try 1."
        );
        assert_eq!(rendered("{item}{item}").unwrap(), "xx");
        assert_eq!(rendered("").unwrap(), "");
    }

    #[test]
    fn doubled_braces_are_braces() {
        assert_eq!(rendered("{{item}} {{{item}}} }}{{").unwrap(), "{item} {x} }{");
    }

    #[test]
    fn faults_say_what_to_write() {
        assert!(
            rendered("{itm}").unwrap_err().contains("unknown field {itm}: it knows {item} {pid} {parent}")
        );
        let no_item = StageTemplate::parse(&json!("{item}")).unwrap_err();
        assert!(no_item.ends_with("it knows {pid} {parent} {worker} {stage}"), "{no_item}");
        assert!(rendered("a {item").unwrap_err().contains("`{` without its `}`"));
        assert!(rendered("a } b").unwrap_err().contains("`}` without its `{`"));
        let only_item = ItemTemplate::parse(&json!("{pid}")).unwrap_err();
        assert!(only_item.ends_with("it knows {item}"), "{only_item}");
    }
}
