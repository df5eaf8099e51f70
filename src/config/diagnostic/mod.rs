//! What is wrong, where, and what to write instead: values first, text only when shown.

mod excerpt;
mod render;
mod report;
mod span;
mod unknown_key;
mod words;

use crate::secret;
pub use report::Report;
pub(crate) use span::{Source, Span};
use std::borrow::Cow;
pub(crate) use unknown_key::{Beside, UnknownKey};
pub(crate) use words::{is_same_word, list, nearest, nearly, no_such_stage, quote, reason};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but something in it has no effect.
    Warning,
}

/// One thing to say about a file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    severity: Severity,
    title: Box<str>,
    span: Option<Span>,
    label: Box<str>,
    also: Vec<(Span, String)>,
    notes: Vec<Note>,
    unknown_key: Option<Box<UnknownKey>>,
}

/// What stands below the lines of the file.
#[derive(Clone, Debug)]
enum Note {
    /// What to do about it.
    Help(String),
    /// What may stand there.
    Accepted(String),
}

/// A text that may quote the file, which may end up in a log.
fn without_secrets(text: String) -> String {
    match secret::hidden(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(hidden) => hidden,
    }
}

impl Diagnostic {
    /// A fault: the file can't be used. The title is a lower-case fragment.
    pub fn error(title: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, title.into())
    }

    /// Something without effect.
    pub fn warning(title: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, title.into())
    }

    fn new(severity: Severity, title: String) -> Diagnostic {
        let title = without_secrets(title).into_boxed_str();
        let (span, label, also, notes, unknown_key) = Default::default();
        Diagnostic { severity, title, span, label, also, notes, unknown_key }
    }

    /// Whether it is about the same thing at the same place.
    fn says_the_same(&self, other: &Diagnostic) -> bool {
        self.span.is_some() && self.span == other.span && self.title == other.title
    }

    /// Points at the culprit.
    #[must_use]
    pub fn at(mut self, span: &Span) -> Diagnostic {
        self.span = Some(span.clone());
        self
    }

    /// Where it is, if it does not say so itself.
    #[must_use]
    pub fn or_at(self, span: &Span) -> Diagnostic {
        if self.span.is_some() { self } else { self.at(span) }
    }

    /// A few words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = without_secrets(label.into()).into();
        self
    }

    /// A second place that matters.
    #[must_use]
    pub fn also(mut self, span: &Span, label: impl Into<String>) -> Diagnostic {
        self.also.push((span.clone(), without_secrets(label.into())));
        self
    }

    /// What may stand there.
    #[must_use]
    pub fn accepted(mut self, accepted: impl Into<String>) -> Diagnostic {
        self.notes.push(Note::Accepted(accepted.into()));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.notes.push(Note::Help(without_secrets(help.into())));
        self
    }

    /// What the user probably meant, if there is a guess.
    #[must_use]
    pub fn did_you_mean(self, guess: Option<impl std::fmt::Display>) -> Diagnostic {
        match guess {
            Some(guess) => self.help(format!("did you mean {guess}?")),
            None => self,
        }
    }

    /// It is about this key: who knows all tables may have better help ([`Report::explain_keys`]).
    #[must_use]
    pub(in crate::config) fn about(mut self, key: UnknownKey) -> Diagnostic {
        self.unknown_key = Some(Box::new(key));
        self
    }

    /// Whether the file can't be used for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
