//! Which files a pipeline file includes, and what they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Included;
use crate::config::diagnostic::{Diagnostic, Report, Source};
use crate::config::document::{Content, Node, Table};
use crate::config::elements::{Element, PatternText, Patterns};
use crate::config::source;
use crate::file_watch::{FilePattern, has_wildcard};

/// Files that one pipeline may include, and bytes of all of them: together they go through the supervisor's hands.
const MAX_FILES: usize = 1000;
const MAX_BYTES: usize = 4 << 20;

/// The patterns of a pipeline file, with the folder at which they start. Bad ones are left out: they are reported where
/// the file's keys are read.
pub(in crate::config) fn patterns(main: &Table, known_as: &Path) -> Vec<(PatternText, FilePattern)> {
    let mut unheard = Report::new();
    let list = |node: &Node| match &node.content {
        Content::List(nodes) => nodes.clone(),
        _ => vec![node.clone()],
    };
    let nodes = main.get("include").map(|entry| list(&entry.value)).unwrap_or_default();
    let texts = nodes.iter().filter_map(|node| Patterns::read(node, &mut unheard)).flatten();
    let folder = folder_of(known_as);
    texts
        .filter_map(|text| Some((text.clone(), FilePattern::new(Path::new(&text.text))?.under(folder))))
        .collect()
}

/// Where the patterns of a pipeline file start.
fn folder_of(known_as: &Path) -> &Path {
    known_as.parent().unwrap_or(Path::new(""))
}

/// Reads all files that match, each once. Files that can't be read are faults of the pattern.
pub(in crate::config) fn read(
    patterns: &[(PatternText, FilePattern)],
    known_as: &Path,
    report: &mut Report,
) -> Vec<Included> {
    let mut seen = vec![real(known_as)];
    let (mut files, mut bytes) = (Vec::new(), 0);
    for (text, pattern) in patterns {
        let found = matching(text, pattern).unwrap_or_else(|fault| {
            report.push(fault.at(&text.span));
            Vec::new()
        });
        for path in found {
            // A file that its own pattern matches does not include itself.
            let real = real(&path);
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            match read_one(&path, folder_of(known_as)) {
                Ok(source) => {
                    bytes += source.text.len();
                    files.push(Included { path, source });
                }
                Err(fault) => report.push(fault.or_at(&text.span)),
            }
            if files.len() > MAX_FILES || bytes > MAX_BYTES || report.is_full() {
                report.push(too_much().at(&text.span));
                return files;
            }
        }
    }
    files
}

fn too_much() -> Diagnostic {
    Diagnostic::error("it includes too much")
        .accepted(format!("up to {MAX_FILES} files with {} MiB together", MAX_BYTES >> 20))
}

/// A name without wildcards is a file that must be there.
fn matching(text: &PatternText, pattern: &FilePattern) -> Result<Vec<PathBuf>, Diagnostic> {
    let files = pattern.files().map_err(|error| {
        let why = crate::config::diagnostic::reason(&error);
        Diagnostic::error(format!("failed to read the folder {}: {why}", pattern.folder.display()))
    })?;
    let name = Path::new(&text.text).file_name().unwrap_or_default();
    match files.is_empty() && !has_wildcard(&name.to_string_lossy()) {
        true => Ok(vec![pattern.folder.join(name)]), // reading it says what is wrong
        false => Ok(files),
    }
}

fn read_one(path: &Path, from: &Path) -> Result<Arc<Source>, Diagnostic> {
    match path.to_str() {
        Some(_) => source::read_included(path, from),
        None => Err(Diagnostic::error(format!("the name {path:?} is no UTF-8: rename the file"))),
    }
}

/// The same file under another name is the same file.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
