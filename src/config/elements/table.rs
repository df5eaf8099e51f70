//! Tables of settings. `table!` states a table once: its keys with their types, defaults and descriptions; reader,
//! unknown-key check and schema follow from that.

use serde_json::{Map, Value, json};

use super::{At, Element, Key};
use crate::config::diagnostic::{Beside, Diagnostic, Report, UnknownKey, list, nearest, nearly, quote};
use crate::config::document::{Content, Entry, Node, Table, to_json};

/// The keys of a table that could not be read: a check for what is missing must keep quiet about them.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadKeys {
    meant: Vec<Option<&'static str>>,
}

impl UnreadKeys {
    /// Whether one of them may be this key, misspelt or with a bad value.
    pub(crate) fn may_be(&self, key: &str) -> bool {
        self.meant.iter().any(|meant| meant.is_none_or(|meant| meant == key))
    }

    /// Whether one of them is this key, or is probably meant for it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.meant.contains(&Some(key))
    }

    /// These and those of what lies beneath.
    #[must_use]
    pub(crate) fn and(mut self, beneath: UnreadKeys) -> UnreadKeys {
        self.meant.extend(beneath.meant);
        self
    }

    /// Notes a key with a bad value, or what an unknown key probably means.
    pub(crate) fn push(&mut self, meant: Option<&'static str>) {
        self.meant.push(meant);
    }
}

/// What `table!` makes of a table, for the functions below.
pub(crate) trait Fields: Element<Output = Self> + Default + Clone {
    /// The table's name, as it fits after "unknown key of ".
    const CALLED: &'static str;

    /// The stage's key that a number in the table's place is probably meant for, if not one of the table's own.
    const NUMBER_IS: Option<&'static str>;
    /// All keys, in the order of their definition.
    fn keys() -> Vec<Key>;
    /// Reads the entry of a known key; `None`: not known; `Some(false)`: reported as bad.
    fn read_entry(&mut self, entry: &Entry, report: &mut Report) -> Option<bool>;
    /// The keys that the file sets, and where.
    fn set_keys(&self) -> Vec<(&'static str, &At)>;
    /// What could not be read.
    fn unread(&mut self) -> &mut UnreadKeys;
}

/// Reads a table: every entry, and a fault for each unknown one.
pub(crate) fn read_table<T: Fields>(node: &Node, report: &mut Report) -> Option<T> {
    let Content::Table(table) = &node.content else {
        let fault = super::wrong_kind::<T>(node, "a table");
        let guess = instead::<T>(node).map(|guess| format!("did you mean {guess}?"));
        report.push(match guess {
            Some(guess) => fault.help(guess),
            None => fault,
        });
        return None;
    };
    let mut read = T::default();
    for entry in &table.entries {
        if report.is_full() {
            break;
        }
        match read.read_entry(entry, report) {
            Some(true) => {}
            Some(false) => {
                let known = T::keys().into_iter().find(|key| key.name == entry.key).map(|key| key.name);
                read.unread().push(known);
            }
            None => {
                let meant = unknown::<T>(entry, table, report);
                read.unread().push(meant);
            }
        }
    }
    Some(read)
}

/// What a value that stands in the table's place is probably meant for.
fn instead<T: Fields>(node: &Node) -> Option<String> {
    let text = node.span.text();
    if let (Some(key), Content::Integer(_)) = (T::NUMBER_IS, &node.content) {
        return Some(format!("`{key} = {text}`"));
    }
    key_for::<T>(node).map(|(key, value)| format!("{{ {key} = {value} }}"))
}

/// The key of a small table that would take the value which stands in the table's place: first among those that do not take
/// any text. A number may lack its unit.
fn key_for<T: Fields>(node: &Node) -> Option<(&'static str, String)> {
    const SMALL: usize = 12;
    let keys = T::keys();
    let takes = |key: &str, content: &Content| {
        let value = Node { span: node.span.clone(), content: content.clone() };
        let entry = Entry { key: key.to_owned(), key_span: node.span.clone(), value };
        let mut faults = Report::new();
        T::default().read_entry(&entry, &mut faults) == Some(true) && faults.is_empty()
    };
    if keys.len() > SMALL || matches!(node.content, Content::List(_)) {
        return None;
    }
    let any_text = Content::Text { text: "any text".to_owned(), from_variable: false };
    let first_for = |content: &Content| {
        let mut fitting: Vec<&str> =
            keys.iter().map(|key| key.name).filter(|key| takes(key, content)).collect();
        fitting.sort_by_key(|key| takes(key, &any_text));
        fitting.first().copied()
    };
    if let Some(key) = first_for(&node.content) {
        return Some((key, node.span.text().to_owned()));
    }
    let Content::Integer(number) = node.content else { return None };
    let seconds = format!("{number}s");
    let key = first_for(&Content::Text { text: seconds.clone(), from_variable: false })?;
    Some((key, format!("\"{seconds}\"")))
}

/// Reports an unknown key; returns the key that is probably meant.
fn unknown<T: Fields>(entry: &Entry, table: &Table, report: &mut Report) -> Option<&'static str> {
    let keys = T::keys();
    let exact = keys.iter().find(|key| key.is_also(&entry.key));
    let meant = exact.map(|key| key.name).or_else(|| nearest_key(&entry.key, &keys));
    let fault = Diagnostic::error(format!("{} has no key {}", T::CALLED, quote(&entry.key)))
        .at(&entry.key_span)
        .accepted(list(keys.iter().map(|key| key.name), "and"));
    let is_table = matches!(entry.value.content, Content::Table(_));
    let mut unheard = Report::new();
    report.push(fault.did_you_mean(meant.map(|name| format!("`{name}`"))).about(UnknownKey {
        key: entry.key.clone(),
        table: T::CALLED,
        value: to_json(&entry.value, &mut unheard),
        is_other_word: exact.is_some_and(|key| is_table || key.schema["type"] != "object"),
        beside: Beside {
            uses: table.get("use").and_then(|entry| entry.value.text()).map(str::to_owned),
            has_command: table.get("command").is_some(),
            has_with: table.get("with").is_some(),
        },
    }));
    // A parameter of the built-in may be called so, too.
    if exact.is_some() && table.get("use").is_some() { None } else { meant }
}

/// A key with some typos, or another word for one with hardly any: words that are alike mean quite different things.
fn nearest_key(wanted: &str, keys: &[Key]) -> Option<&'static str> {
    let by_name = nearest(wanted, keys.iter().map(|key| key.name));
    let name = by_name.and_then(|near| keys.iter().find(|key| key.name == near)).map(|key| key.name);
    name.or_else(|| {
        keys.iter().find(|key| key.also.iter().any(|word| nearly(wanted, word))).map(|key| key.name)
    })
}

/// The JSON schema of a table.
pub(crate) fn table_schema<T: Fields>() -> Value {
    let properties: Map<String, Value> =
        T::keys().into_iter().map(|key| (key.name.into(), property(key))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn property(key: Key) -> Value {
    let mut schema = json!({ "description": key.doc, "$comment": format!("accepted: {}", key.accepted) });
    if !key.default.is_null() {
        schema["default"] = key.default;
    }
    if let (Value::Object(all), Value::Object(own)) = (&mut schema, key.schema) {
        all.extend(own);
    }
    schema
}

/// A table as a user would write it; without anything set, nothing.
pub(crate) fn write_table<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    let set = fields.into_iter().filter(|(_, value)| !value.is_null());
    let table: Map<String, Value> = set.map(|(key, value)| (key.to_owned(), value)).collect();
    if table.is_empty() { Value::Null } else { Value::Object(table) }
}

/// A field's name as a key: `use` has to be `r#use` in Rust.
pub(crate) fn bare(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// States a table. See `config/keys/` for how it reads.
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        $name:ident = $called:literal $(, number is $number:literal)? {
            $( $(#[doc = $doc:literal])* $field:ident : $kind:ty = $default:expr $(, also $($also:literal)+)?; )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])* pub $field: $crate::config::elements::Setting<$kind>, )*
            /// Entries that could not be read.
            pub unread: $crate::config::elements::UnreadKeys,
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $( $field: $crate::config::elements::Setting::default_of($default), )*
                    unread: Default::default(),
                }
            }
        }

        impl $crate::config::elements::Fields for $name {
            const CALLED: &'static str = $called;

            const NUMBER_IS: Option<&'static str> = [$(Some($number),)? None][0];

            fn keys() -> Vec<$crate::config::elements::Key> {
                let defaults = $name::default();
                vec![$( defaults.$field.describe(
                    $crate::config::elements::bare(stringify!($field)),
                    &[$($($also),+)?],
                    concat!($($doc, "\n"),*),
                ), )*]
            }

            fn read_entry(
                &mut self,
                entry: &$crate::config::document::Entry,
                report: &mut $crate::config::diagnostic::Report,
            ) -> Option<bool> {
                $( if entry.key == $crate::config::elements::bare(stringify!($field)) {
                    return Some(self.$field.read(entry, report));
                } )*
                None
            }

            fn set_keys(&self) -> Vec<(&'static str, &$crate::config::elements::At)> {
                let all = [$( ($crate::config::elements::bare(stringify!($field)), &self.$field.at), )*];
                all.into_iter().filter_map(|(key, at)| Some((key, at.as_ref()?))).collect()
            }

            fn unread(&mut self) -> &mut $crate::config::elements::UnreadKeys {
                &mut self.unread
            }
        }

        impl $crate::config::elements::Element for $name {
            type Output = Self;

            fn read(
                node: &$crate::config::document::Node,
                report: &mut $crate::config::diagnostic::Report,
            ) -> Option<Self> {
                $crate::config::elements::read_table(node, report)
            }

            fn accepted() -> String {
                let names = <$name as $crate::config::elements::Fields>::keys().into_iter().map(|key| key.name);
                format!("a table of {}", $crate::config::diagnostic::list(names, "and"))
            }

            fn schema() -> serde_json::Value {
                $crate::config::elements::table_schema::<$name>()
            }

            fn written(keys: &Self) -> serde_json::Value {
                let fields = [$( (
                    $crate::config::elements::bare(stringify!($field)),
                    <$kind as $crate::config::elements::Element>::written(&keys.$field.value),
                ), )*];
                $crate::config::elements::write_table(fields)
            }

            fn over(keys: Self, beneath: Self) -> Self {
                $name { $( $field: keys.$field.over(beneath.$field), )* unread: keys.unread.and(beneath.unread) }
            }
        }
    };
}
pub(in crate::config) use table;
