//! Tables of settings. `table!` states a table once: its keys with their types, defaults and descriptions; reader,
//! unknown-key check and schema follow from that.

use serde_json::{Map, Value, json};

use super::{At, Element, Key};
use crate::config::diagnostic::{Diagnostic, Report, list, nearest, quote};
use crate::config::document::{Content, Entry, Node};

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

    /// Notes a key with a bad value, or what an unknown key probably means.
    pub(crate) fn push(&mut self, meant: Option<&'static str>) {
        self.meant.push(meant);
    }
}

/// What `table!` makes of a table, for the functions below.
pub(crate) trait Fields: Element<Output = Self> + Default + Clone {
    /// The table's name, as it fits after "unknown key of ".
    const CALLED: &'static str;

    /// The other table that has this key, as it fits after "stands".
    fn elsewhere(_key: &str) -> Option<&'static str> {
        None
    }
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
        report.push(match key_for::<T>(node) {
            Some(key) => fault.help(format!("did you mean {{ {key} = {} }}?", node.span.text())),
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
                let meant = unknown::<T>(entry, report);
                read.unread().push(meant);
            }
        }
    }
    Some(read)
}

/// The key of a small table that would take the value which stands in the table's place: first among those that do not take
/// any text.
fn key_for<T: Fields>(node: &Node) -> Option<&'static str> {
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
    let mut fitting: Vec<&str> =
        keys.iter().map(|key| key.name).filter(|key| takes(key, &node.content)).collect();
    fitting.sort_by_key(|key| takes(key, &any_text));
    fitting.first().copied()
}

/// Reports an unknown key; returns the key that is probably meant.
fn unknown<T: Fields>(entry: &Entry, report: &mut Report) -> Option<&'static str> {
    let keys = T::keys();
    let words =
        keys.iter().flat_map(|key| key.also.iter().chain([&key.name]).map(move |word| (*word, key.name)));
    let near = nearest(&entry.key, words.clone().map(|(word, _)| word));
    let meant = near.and_then(|near| words.clone().find(|(word, _)| *word == near)).map(|(_, name)| name);
    let fault = Diagnostic::error(format!("{} has no key {}", T::CALLED, quote(&entry.key)))
        .at(&entry.key_span)
        .accepted(list(keys.iter().map(|key| key.name), "and"));
    // A table of that name may be meant: `[processes.NAME]` for `[stages.NAME]`.
    let is_other_word = near == Some(entry.key.as_str()) && matches!(entry.value.content, Content::Table(_));
    let place = T::elsewhere(&entry.key).filter(|_| !is_other_word);
    report.push(match place {
        Some(place) => fault.help(format!("`{}` stands {place}", entry.key)),
        None => fault.did_you_mean(meant.map(|name| format!("`{name}`"))),
    });
    meant
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
        $name:ident = $called:literal $(, elsewhere $elsewhere:path)? {
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

            $( fn elsewhere(key: &str) -> Option<&'static str> {
                $elsewhere(key)
            } )?

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
                $name { $( $field: keys.$field.over(beneath.$field), )* unread: keys.unread }
            }
        }
    };
}
pub(in crate::config) use table;
