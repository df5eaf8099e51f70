//! `--set stages.x.processes=4`: one value of the file, replaced from the command line.

use std::sync::Arc;

use super::{Content, Entry, Node, Table, depth, parse};
use crate::config::diagnostic::{Diagnostic, Place, Report, Source, nearest, quote};

/// Puts every `--set` into the tree, in their order. Faults point at its text.
pub fn apply(table: &mut Table, sets: &[String], report: &mut Report) {
    for set in sets {
        let source = Arc::new(Source { name: "--set".into(), text: set.clone() });
        if let Err(fault) = read(&source).and_then(|(path, value)| put(table, &path, value)) {
            report.push(fault);
        }
    }
}

/// The keys of a path, each with its place.
type Path = Vec<(String, Place)>;

fn read(source: &Arc<Source>) -> Result<(Path, Node), Diagnostic> {
    let whole = Place::new(source, 0..source.text.len());
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

fn form(title: String, place: &Place) -> Diagnostic {
    Diagnostic::error(title).at(place).accepted("a path and a value, such as `stages.fetch.processes=4`")
}

/// Reads `a.b.c` by the rules of TOML, quoted keys included: as the keys of a value that doesn't matter.
fn path(text: &str, source: &Arc<Source>) -> Option<Path> {
    let copy = Arc::new(Source { name: String::new(), text: format!("{text}=0") });
    let mut report = Report::new();
    let mut table = parse::parse(&copy, &mut report).table;
    let mut path = Path::new();
    while let Some(entry) = table.entries.pop().filter(|_| report.is_empty()) {
        path.push((entry.key, Place::new(source, entry.key_place.span())));
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
    let place = Place::new(source, start..source.text.len());
    Node { place, content: Content::Text { text, from_variable: false } }
}

fn put(mut table: &mut Table, path: &[(String, Place)], value: Node) -> Result<(), Diagnostic> {
    let (last, above) = path.split_last().ok_or_else(|| form("an empty path".into(), &value.place))?;
    for (depth, (key, place)) in above.iter().enumerate() {
        if depth == 1 && above[0].0 == "stages" {
            stage_must_exist(table, key, place)?;
        }
        table = descend(table, key, place)?;
    }
    let (key, key_place) = last.clone();
    match table.get_mut(&key) {
        Some(entry) => (entry.key_place, entry.value) = (key_place, value),
        None => table.entries.push(Entry { key, key_place, value }),
    }
    Ok(())
}

/// A stage is more than one setting, so a new name here is a typo.
fn stage_must_exist(stages: &Table, name: &str, place: &Place) -> Result<(), Diagnostic> {
    if stages.get(name).is_some() {
        return Ok(());
    }
    let near = nearest(name, stages.entries.iter().map(|entry| entry.key.as_str()));
    Err(Diagnostic::error(format!("the file has no stage {}", quote(name)))
        .at(place)
        .did_you_mean(near.map(|near| format!("`{near}`"))))
}

fn descend<'t>(table: &'t mut Table, key: &str, place: &Place) -> Result<&'t mut Table, Diagnostic> {
    if table.get(key).is_none() {
        let value = Node { place: place.clone(), content: Content::Table(Table::default()) };
        table.entries.push(Entry { key: key.to_owned(), key_place: place.clone(), value });
    }
    match table.get_mut(key).map(|entry| &mut entry.value.content) {
        Some(Content::Table(inner)) => Ok(inner),
        _ => Err(Diagnostic::error(format!("{} holds no settings", quote(key))).at(place)),
    }
}
