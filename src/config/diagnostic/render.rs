//! A diagnostic as text, with the line and a caret.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use super::{Diagnostic, Place, Severity};

/// Longer lines are shortened around the caret, so that messages look alike on every terminal.
const WIDTH: usize = 120;

pub(super) fn diagnostic(diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.title.as_str());
    let group = match &diagnostic.place {
        Some(place) => title.element(snippet(place, diagnostic)),
        None => Group::with_title(title),
    };
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(WIDTH).render(&[notes(group, diagnostic)])
}

fn notes<'a>(mut group: Group<'a>, diagnostic: &'a Diagnostic) -> Group<'a> {
    let message = |text: &str| wrapped(&normalize_untrusted_str(text));
    for help in &diagnostic.helps {
        group = group.element(Level::HELP.message(message(help)));
    }
    if let Some(accepted) = &diagnostic.accepted {
        group = group.element(Level::NOTE.with_name("accepted").message(message(accepted)));
    }
    group
}

/// Breaks a long text into lines between words.
fn wrapped(text: &str) -> String {
    const MOST: usize = 90;
    let mut wrapped = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 {
            let fits = column + word.chars().count() < MOST;
            wrapped.push(if fits { ' ' } else { '\n' });
            column = if fits { column + 1 } else { 0 };
        }
        wrapped += word;
        column += word.chars().count();
    }
    wrapped
}

/// The lines from the first to the last place, those in between folded away.
fn snippet<'a>(
    place: &'a Place,
    diagnostic: &'a Diagnostic,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let near: Vec<_> = diagnostic.also.iter().filter(|(also, _)| also.source() == place.source()).collect();
    let lines = near.iter().map(|(also, _)| also.lines().0).chain([place.lines().0]);
    let (first, last) = lines.fold((usize::MAX, 0), |(first, last), line| (first.min(line), last.max(line)));
    let (start, shown) = cut(&place.source().text, first, last);

    let primary = AnnotationKind::Primary.span(within(place, start, shown));
    let primary = match diagnostic.label.as_str() {
        "" => primary,
        label => primary.label(label),
    };
    let others = near.into_iter().map(move |(also, label)| {
        AnnotationKind::Context.span(within(also, start, shown)).label(label.as_str())
    });
    Snippet::source(shown)
        .line_start(first + 1)
        .path(place.source().name.as_str())
        .annotation(primary)
        .annotations(others)
}

/// The lines `first..=last` of a text and where they start.
fn cut(text: &str, first: usize, last: usize) -> (usize, &str) {
    let mut ends = memchr::memchr_iter(b'\n', text.as_bytes());
    let start = first.checked_sub(1).and_then(|before| ends.nth(before)).map_or(0, |end| end + 1);
    let end = ends.nth(last - first).unwrap_or(text.len());
    (start, &text[start..end.max(start)])
}

/// The place's first line, as a span of what is shown: a table of many lines would drown the message.
fn within(place: &Place, start: usize, shown: &str) -> std::ops::Range<usize> {
    let from = place.span().start - start;
    let line = place.text().lines().next().unwrap_or("");
    from..(from + line.len()).min(shown.len())
}
