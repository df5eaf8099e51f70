//! What a file needs of the machine.

use crate::config::diagnostic::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the stages need, and where the file says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct MachineNeeds {
    /// By stage and key.
    spans: BTreeMap<(String, &'static str), Span>,
    /// By stage: the files that a built-in reads, as a path or a pattern.
    input_files: BTreeMap<String, PathBuf>,
    /// By stage: the file that a built-in writes.
    written_files: BTreeMap<String, PathBuf>,
    /// Stages that ask the certificate authorities whom to trust.
    authorities: BTreeSet<String>,
    /// The files of `[broker]` and `[control]`, by key.
    files: BTreeMap<&'static str, Span>,
}

impl MachineNeeds {
    /// Notes where a key's value stands.
    pub(crate) fn note(&mut self, stage: &str, key: &'static str, span: &Span) {
        self.spans.insert((stage.to_owned(), key), span.clone());
    }

    /// Notes the files that a stage reads.
    pub(crate) fn note_files(&mut self, stage: &str, pattern: PathBuf) {
        self.input_files.insert(stage.to_owned(), pattern);
    }

    /// Notes the file that a stage writes.
    pub(crate) fn note_written_file(&mut self, stage: &str, file: PathBuf) {
        self.written_files.insert(stage.to_owned(), file);
    }

    /// Notes a stage that asks the certificate authorities whom to trust.
    pub(crate) fn note_authorities(&mut self, stage: &str) {
        self.authorities.insert(stage.to_owned());
    }

    /// Notes where a key of `[broker]` or `[control]` names a file.
    pub(crate) fn note_file(&mut self, key: &'static str, span: &Span) {
        self.files.insert(key, span.clone());
    }

    /// Where it stands.
    pub(crate) fn span_of_file(&self, key: &str) -> Option<&Span> {
        self.files.get(key)
    }

    /// Where a key's value stands, if the file sets it.
    pub(crate) fn span(&self, stage: &str, key: &'static str) -> Option<&Span> {
        self.spans.get(&(stage.to_owned(), key))
    }

    /// The files that a stage reads.
    pub(crate) fn files(&self, stage: &str) -> Option<&Path> {
        self.input_files.get(stage).map(PathBuf::as_path)
    }

    /// The file that a stage writes.
    pub(crate) fn written_file(&self, stage: &str) -> Option<&Path> {
        self.written_files.get(stage).map(PathBuf::as_path)
    }

    /// Whether a stage asks the certificate authorities whom to trust.
    pub(crate) fn asks_authorities(&self, stage: &str) -> bool {
        self.authorities.contains(stage)
    }
}
