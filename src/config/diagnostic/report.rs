//! All there is to say about a file, in the order of its lines.

use std::fmt;
use std::sync::Arc;

use super::{Diagnostic, Note, Source, UnknownKey, render};

/// Some diagnostics; `Display` shows them without colour.
#[derive(Clone, Debug, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

/// Diagnostics that are shown.
const MAX_SHOWN: usize = 50;
/// Diagnostics at which the search for more ends: a megabyte of junk is not to take minutes.
const MAX_COLLECTED: usize = 200;

impl Report {
    /// Nothing to say.
    pub fn new() -> Report {
        Report::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether it holds more than anybody will read.
    pub fn is_full(&self) -> bool {
        self.diagnostics.len() >= MAX_COLLECTED
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many faults there are, warnings not counted.
    pub fn faults(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    /// As text for a person, each diagnostic followed by an empty line.
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for diagnostic in self.diagnostics.iter().take(MAX_SHOWN) {
            text += &render::diagnostic(diagnostic, color);
            text += "\n\n";
        }
        match self.diagnostics.len().saturating_sub(MAX_SHOWN) {
            0 => text,
            more => text + &format!("… and {more} more of the kind\n\n"),
        }
    }

    /// Puts them in the order in which a reader of the file meets them, each once: a fault of `[defaults]` is found
    /// anew in every stage.
    pub(in crate::config) fn sort<'a>(&mut self, files: impl Iterator<Item = &'a Arc<Source>> + Clone) {
        // Stable: what is in none of the files, or at one place, stays in the order in which it was found.
        self.diagnostics.sort_by_key(|diagnostic| {
            let span = diagnostic.span.as_ref();
            let file = span.and_then(|span| files.clone().position(|file| Arc::ptr_eq(file, span.source())));
            file.map(|file| (file, span.map_or(0, |span| span.range().start)))
        });
        self.diagnostics.dedup_by(|next, one| next.says_the_same(one));
    }
}

impl Report {
    /// Adds all of another one.
    pub(in crate::config) fn append(&mut self, other: Report) {
        self.diagnostics.extend(other.diagnostics);
    }

    /// Puts the help that all tables together give in the place of what one table alone could say.
    pub(in crate::config) fn explain_keys(&mut self, help: impl Fn(&UnknownKey) -> Option<String>) {
        for diagnostic in &mut self.diagnostics {
            let better = diagnostic.unknown_key.take().and_then(|key| help(&key));
            if let Some(better) = better {
                diagnostic.notes.retain(|note| matches!(note, Note::Accepted(_)));
                *diagnostic = diagnostic.clone().help(better);
            }
        }
    }

    /// The same order within each file.
    pub(in crate::config) fn sort_by_span(&mut self) {
        self.diagnostics.sort_by_cached_key(|diagnostic| {
            diagnostic.span.as_ref().map(|span| (span.source().name.clone(), span.range().start))
        });
        self.diagnostics.dedup_by(|next, one| next.says_the_same(one));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl From<Diagnostic> for Report {
    fn from(diagnostic: Diagnostic) -> Report {
        Report { diagnostics: vec![diagnostic] }
    }
}
