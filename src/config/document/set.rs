//! `--set stages.x.processes=4`: one value of the file, replaced from the command line.

use std::sync::Arc;

use super::{Content, Entry, Node, Table, depth, parse};
use crate::config::diagnostic::{Diagnostic, Report, Source, Span, nearest, quote};

/// Puts every `--set` into the tree, in their order. Faults point at its text.
pub(crate) fn apply(table: &mut Table, sets: &[String], report: &mut Report) {
    for set in sets {
        let source = Arc::new(Source { name: "--set".into(), text: set.clone() });
        if let Err(fault) = read(&source).and_then(|(path, value)| put(table, &path, value)) {
            report.push(fault);
        }
    }
}

/// The keys of a path, each with its place.
type Path = Vec<(String, Span)>;

fn read(source: &Arc<Source>) -> Result<(Path, Node), Diagnostic> {
    let whole = Span::new(source, 0..source.text.len());
    let Some(split) = source.text.find('=') else {
        return Err(form(format!("{} has no `=`", quote(&source.text)), &whole));
    };
    let Some(path) = path(&source.text[..split], source) else {
        return Err(form("this is not the path of a setting".into(), &whole.part(0, split)));
    };
    depth::check(source)?;
    let value = parse::parse_value(source, split + 1).unwrap_or_else(|| plain_text(source, split + 1));
    Ok((path, value))
}

fn form(title: String, span: &Span) -> Diagnostic {
    Diagnostic::error(title).at(span).accepted("a path and a value, such as `stages.fetch.processes=4`")
}

/// Reads `a.b.c` by the rules of TOML, quoted keys included: as the keys of a value that doesn't matter.
fn path(text: &str, source: &Arc<Source>) -> Option<Path> {
    let copy = Arc::new(Source { name: String::new(), text: format!("{text}=0") });
    let mut report = Report::new();
    let mut table = parse::parse(&copy, &mut report).table;
    let mut path = Path::new();
    while let Some(entry) = table.entries.pop().filter(|_| report.is_empty()) {
        path.push((entry.key, Span::new(source, entry.key_span.range())));
        table = match entry.value.content {
            Content::Table(inner) => inner,
            _ => return Some(path),
        };
    }
    None
}

/// `--set stages.x.sleep=10s`: a shell has eaten the quotes, so what is not TOML is text.
fn plain_text(source: &Arc<Source>, start: usize) -> Node {
    let text = source.text[start..].to_owned();
    let span = Span::new(source, start..source.text.len());
    Node { span, content: Content::Text { text, from_variable: false } }
}

fn put(mut table: &mut Table, path: &[(String, Span)], value: Node) -> Result<(), Diagnostic> {
    let (last, above) = path.split_last().ok_or_else(|| form("an empty path".into(), &value.span))?;
    for (depth, (key, span)) in above.iter().enumerate() {
        if depth == 1 && above[0].0 == "stages" {
            stage_must_exist(table, key, span)?;
        }
        table = descend(table, key, span)?;
    }
    let (key, key_span) = last.clone();
    match table.get_mut(&key) {
        Some(entry) => (entry.key_span, entry.value) = (key_span, value),
        None => table.entries.push(Entry { key, key_span, value }),
    }
    Ok(())
}

/// A stage is more than one setting, so a new name here is a typo.
fn stage_must_exist(stages: &Table, name: &str, span: &Span) -> Result<(), Diagnostic> {
    if stages.get(name).is_some() {
        return Ok(());
    }
    let near = nearest(name, stages.entries.iter().map(|entry| entry.key.as_str()));
    Err(Diagnostic::error(format!("the file has no stage {}", quote(name)))
        .at(span)
        .did_you_mean(near.map(|near| format!("`{near}`"))))
}

fn descend<'t>(table: &'t mut Table, key: &str, span: &Span) -> Result<&'t mut Table, Diagnostic> {
    if table.get(key).is_none() {
        let value = Node { span: span.clone(), content: Content::Table(Table::default()) };
        table.entries.push(Entry { key: key.to_owned(), key_span: span.clone(), value });
    }
    match table.get_mut(key).map(|entry| &mut entry.value.content) {
        Some(Content::Table(inner)) => Ok(inner),
        _ => Err(Diagnostic::error(format!("{} holds no settings", quote(key))).at(span)),
    }
}
