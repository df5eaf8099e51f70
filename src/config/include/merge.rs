//! The tables of an included file become part of the pipeline's.

use std::collections::HashMap;

use crate::config::diagnostic::{Diagnostic, Report, Span, nearest, quote};
use crate::config::document::{Content, Entry, Table};

/// All that an included file may hold.
const KEYS: [&str; 2] = ["stages", "queues"];

/// Adds what an included file says. A name that is there already is a fault with both places.
pub(in crate::config) fn merge(main: &mut Table, included: Table, report: &mut Report) {
    for entry in included.entries {
        match KEYS.contains(&entry.key.as_str()) {
            true => add(main, entry, report),
            false => report.push(not_included(&entry)),
        }
    }
}

fn not_included(entry: &Entry) -> Diagnostic {
    let near = nearest(&entry.key, KEYS).map(|near| format!("`{near}`"));
    Diagnostic::error(format!("{} has no place in an included file", quote(&entry.key)))
        .at(&entry.key_span)
        .did_you_mean(near)
        .help("an included file holds `stages` and `queues` only; all else stands in the pipeline file")
}

fn add(main: &mut Table, entry: Entry, report: &mut Report) {
    let Some(own) = main.get_mut(&entry.key) else { return main.entries.push(entry) };
    let (Content::Table(own), Content::Table(more)) = (&mut own.value.content, entry.value.content) else {
        return report.push(no_tables(&entry.key, &entry.key_span));
    };
    let mut places: HashMap<String, Span> =
        own.entries.iter().map(|entry| (entry.key.clone(), entry.key_span.clone())).collect();
    for named in more.entries {
        match places.insert(named.key.clone(), named.key_span.clone()) {
            Some(first) => report.push(twice(&named, &first, &entry.key)),
            None => own.entries.push(named),
        }
    }
}

fn no_tables(key: &str, span: &Span) -> Diagnostic {
    Diagnostic::error(format!("`{key}` is no table of tables in both files"))
        .at(span)
        .accepted(format!("`[{key}.NAME]`"))
}

fn twice(named: &Entry, first: &Span, key: &str) -> Diagnostic {
    let thing = key.trim_end_matches('s');
    Diagnostic::error(format!("there is a {thing} {} already", quote(&named.key)))
        .at(&named.key_span)
        .label("the second time")
        .also(first, "the first time")
}
