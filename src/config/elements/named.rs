//! Tables whose keys are names that the user chooses: `[stages.NAME]`, `[queues.NAME]`.

use serde_json::{Value, json};

use super::{Element, Fields, Name, wrong_kind};
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::document::{Content, Entry, Node};

/// What a collection of named tables is called.
pub(crate) trait Tables: Fields {
    /// Its key at the top of the file.
    const KEY: &'static str;
    /// The key that a text in the place of such a table is probably meant for.
    const VALUE_IS: Option<&'static str> = None;
}

/// Named tables in the order of the file.
#[derive(Clone)]
pub(crate) struct Named<T> {
    /// Each name once.
    pub all: Vec<Item<T>>,
    /// Names of tables that could not be read.
    pub lost: Vec<String>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Item<T> {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// What the table says.
    pub keys: T,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named { all: Vec::new(), lost: Vec::new() }
    }
}

impl<T: Tables> Element for Named<T> {
    type Output = Self;

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Content::Table(table) = &node.content else {
            let fault = wrong_kind::<Self>(node, "tables with names");
            report.push(match &node.content {
                Content::List(_) => {
                    fault.help(format!("write `[{0}.NAME]` in the place of each `[[{0}]]`", T::KEY))
                }
                _ => fault,
            });
            return None;
        };
        let mut named = Named::default();
        for entry in &table.entries {
            if report.is_full() {
                break;
            }
            match read_item(entry, report) {
                Some(item) => named.all.push(item),
                None => named.lost.push(entry.key.clone()),
            }
        }
        Some(named)
    }

    fn accepted() -> String {
        format!("`[{}.NAME]`, with a name of your own for each", T::KEY)
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": Name::PATTERN },
            "additionalProperties": T::schema(),
        })
    }

    fn written(_: &Self) -> Value {
        Value::Null
    }
}

fn read_item<T: Tables>(entry: &Entry, report: &mut Report) -> Option<Item<T>> {
    if let Some(title) = Name::fault(&entry.key) {
        report.push(Diagnostic::error(title).at(&entry.key_span).accepted(Name::accepted()));
    }
    if !matches!(entry.value.content, Content::Table(_)) {
        report.push(not_a_table::<T>(entry));
        return None;
    }
    let keys = T::read(&entry.value, report)?;
    Some(Item { name: entry.key.clone(), span: entry.key_span.clone(), keys })
}

/// `[stages]` with a key of a stage below it: the name is missing.
fn not_a_table<T: Tables>(entry: &Entry) -> Diagnostic {
    let fault = Diagnostic::error(format!("`{}` is no table", entry.key)).at(&entry.key_span);
    if T::keys().iter().any(|key| key.name == entry.key) {
        return fault.help(format!("`[{}]` needs a name: write `[{}.NAME]` above this line", T::KEY, T::KEY));
    }
    let value = &entry.value;
    match (&value.content, T::VALUE_IS) {
        (Content::Text { .. } | Content::List(_), Some(key)) => {
            let (name, text) = (&entry.key, value.span.text());
            fault.help(format!("did you mean `{name} = {{ {key} = {text} }}`?"))
        }
        _ => fault.accepted(format!("`[{}.NAME]`", T::KEY)),
    }
}
