//! A diagnostic as text, with the line and a caret.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use super::excerpt::Excerpt;
use super::{Diagnostic, Note, Severity, Span};

pub(super) fn diagnostic(diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let excerpt = diagnostic.span.as_ref().map(|span| Excerpt::of(span, &diagnostic.also));
    let group = Group::with_title(level.primary_title(&*diagnostic.title));
    let elsewhere = elsewhere(diagnostic);
    let group = match &excerpt {
        Some(excerpt) => lines(group, excerpt, diagnostic),
        None => group,
    };
    let group = elsewhere.iter().fold(group, |group, (excerpt, label)| {
        let annotation = AnnotationKind::Context.span(excerpt.primary.clone()).label(*label);
        group.element(snippet(excerpt).annotation(annotation))
    });
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    // Lines are short enough already: the renderer's own way of it takes wide characters for narrow ones.
    let text = renderer.term_width(usize::from(u16::MAX)).render(&[notes(group, diagnostic)]);
    match &excerpt {
        Some(excerpt) => with_true_column(text, excerpt),
        None => text,
    }
}

/// The renderer counts columns in the line that it sees: of a shortened one, it can't know better.
fn with_true_column(text: String, excerpt: &Excerpt) -> String {
    let Excerpt { name, line, column, shown_column, .. } = excerpt;
    match column == shown_column {
        true => text,
        false => {
            text.replacen(&format!("{name}:{line}:{shown_column}"), &format!("{name}:{line}:{column}"), 1)
        }
    }
}

/// Adds the place and its lines.
fn lines<'a>(group: Group<'a>, excerpt: &'a Excerpt, diagnostic: &'a Diagnostic) -> Group<'a> {
    let primary = AnnotationKind::Primary.span(excerpt.primary.clone());
    let primary = match &*diagnostic.label {
        "" => primary,
        label => primary.label(label),
    };
    let others = excerpt.others.iter();
    let others = others.map(|(span, label)| AnnotationKind::Context.span(span.clone()).label(label.as_str()));
    group.element(snippet(excerpt).annotation(primary).annotations(others))
}

fn snippet<'a, T: Clone>(excerpt: &'a Excerpt) -> Snippet<'a, T> {
    Snippet::source(excerpt.text.as_str()).line_start(excerpt.first_line).path(excerpt.name.as_str())
}

/// Places that matter as well, in other files.
fn elsewhere(diagnostic: &Diagnostic) -> Vec<(Excerpt, &str)> {
    let is_elsewhere =
        |span: &Span| diagnostic.span.as_ref().is_some_and(|main| main.source() != span.source());
    let others = diagnostic.also.iter().filter(|(span, _)| is_elsewhere(span));
    others.map(|(span, label)| (Excerpt::of(span, &[]), label.as_str())).collect()
}

/// Adds what to do, then what is accepted.
fn notes<'a>(group: Group<'a>, diagnostic: &'a Diagnostic) -> Group<'a> {
    let message = |level: Level<'a>, text: &str| level.message(wrapped(&normalize_untrusted_str(text)));
    let helps = diagnostic.notes.iter().filter_map(|note| match note {
        Note::Help(help) => Some(message(Level::HELP, help)),
        Note::Accepted(_) => None,
    });
    let accepted = diagnostic.notes.iter().filter_map(|note| match note {
        Note::Accepted(accepted) => Some(message(Level::NOTE.with_name("accepted"), accepted)),
        Note::Help(_) => None,
    });
    group.elements(helps).elements(accepted)
}

/// Breaks a long text into lines between words.
fn wrapped(text: &str) -> String {
    const LINE_WIDTH: usize = 90;
    let mut wrapped = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 {
            let fits = column + word.chars().count() < LINE_WIDTH;
            wrapped.push(if fits { ' ' } else { '\n' });
            column = if fits { column + 1 } else { 0 };
        }
        wrapped += word;
        column += word.chars().count();
    }
    wrapped
}
