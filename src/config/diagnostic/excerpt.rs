//! The lines that a diagnostic shows: from the first to the last place that it names, long ones shortened.

use std::ops::Range;

use super::Span;
use crate::secret;
use std::borrow::Cow;

/// Some lines, and the marks in them.
pub(super) struct Excerpt {
    /// The source's name.
    pub name: String,
    /// Where the culprit stands, both from 1.
    pub line: usize,
    pub column: usize,
    /// The column in the line as it is shown.
    pub shown_column: usize,
    /// The number of the first line that is shown.
    pub first_line: usize,
    pub text: String,
    /// The culprit, in `text`.
    pub primary: Range<usize>,
    /// Other places and their labels, in `text`.
    pub others: Vec<(Range<usize>, String)>,
}

/// Columns of a line that are shown, and how many of them may stand before the culprit.
const WIDTH: usize = 110;
const BEFORE: usize = 50;

impl Excerpt {
    /// What to show of a place, and of others if they are in the same source.
    pub(super) fn of(span: &Span, also: &[(Span, String)]) -> Excerpt {
        let also: Vec<_> = also.iter().filter(|(also, _)| also.source() == span.source()).collect();
        let line = span.lines().0;
        let marked: Vec<usize> = also.iter().map(|(also, _)| also.lines().0).collect();
        let first = marked.iter().copied().fold(line, usize::min);
        let last = marked.iter().copied().fold(line, usize::max);

        let source = &span.source().text;
        let mut excerpt = Excerpt {
            name: span.source().name.clone(),
            line: line + 1,
            column: column(source, span.range().start),
            shown_column: 0,
            first_line: first + 1,
            text: String::new(),
            primary: 0..0,
            others: Vec::new(),
        };
        let mut start = line_start(source, first);
        for number in first..=last {
            let whole = source[start..].split('\n').next().unwrap_or("");
            let text = &without_secrets(source, start, whole);
            let on_line =
                also.iter().zip(&marked).filter(|(_, line)| **line == number).map(|(also, _)| *also);
            excerpt.add(Line { text, start, is_primary: number == line }, span, on_line);
            start = (start + text.len() + 1).min(source.len());
        }
        excerpt.shown_column = column(&excerpt.text, excerpt.primary.start);
        excerpt
    }

    /// Adds a line, and the marks on it.
    fn add<'a>(&mut self, line: Line<'_>, span: &Span, also: impl Iterator<Item = &'a (Span, String)>) {
        let also: Vec<_> = also.collect();
        let anchor = if line.is_primary { Some(span) } else { also.first().map(|(also, _)| also) };
        let window = line.window(anchor.map_or(line.start, |anchor| anchor.range().start));
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let offset = self.text.len();
        let shown = |span: &Span| {
            let range = line.clip(span, &window)?;
            Some(offset + window.shift(range.start)..offset + window.shift(range.end))
        };
        if line.is_primary {
            // The window is laid around it, so it is never outside.
            self.primary = shown(span).unwrap_or(offset..offset);
        }
        self.others.extend(also.iter().filter_map(|(also, label)| Some((shown(also)?, label.clone()))));
        self.text += &window.text;
    }
}

/// A line of a source, which may end up in a log.
fn without_secrets<'a>(source: &str, start: usize, line: &'a str) -> Cow<'a, str> {
    let mut before = source[..start].lines().rev();
    let table = before.find(|line| line.trim_start().starts_with('['));
    match table {
        Some(table) if table.contains("header") => secret::hidden_with_values(line),
        _ => secret::hidden(line),
    }
}

/// A whole line of the source.
struct Line<'a> {
    text: &'a str,
    /// Where it starts in the source.
    start: usize,
    is_primary: bool,
}

/// The part of a line that is shown.
struct Window {
    text: String,
    /// Bytes of the line.
    range: Range<usize>,
    /// Bytes that stand before them for what is left out.
    mark: usize,
}

impl Line<'_> {
    /// The part around the byte `anchor` of the source.
    fn window(&self, anchor: usize) -> Window {
        let anchor = anchor.saturating_sub(self.start).min(self.text.len());
        let whole = 0..self.text.len();
        if width(self.text) <= WIDTH {
            return Window { text: self.text.to_owned(), range: whole, mark: 0 };
        }
        let before: usize = fitting(self.text[..anchor].chars().rev(), BEFORE);
        let start = anchor - before;
        let end = start + fitting(self.text[start..].chars(), WIDTH);
        let head = if start > 0 { "… " } else { "" };
        let tail = if end < self.text.len() { " …" } else { "" };
        Window {
            text: format!("{head}{}{tail}", &self.text[start..end]),
            range: start..end,
            mark: head.len(),
        }
    }

    /// The bytes of a place that are on the line and in the window.
    fn clip(&self, span: &Span, window: &Window) -> Option<Range<usize>> {
        let first_line = span.text().split('\n').next().unwrap_or("");
        let start = span.range().start.checked_sub(self.start)?;
        let end = start + first_line.len();
        let is_inside = window.range.start <= start && start <= window.range.end;
        is_inside.then(|| start..end.min(window.range.end))
    }
}

impl Window {
    /// A byte of the line as a byte of the window's text.
    fn shift(&self, at: usize) -> usize {
        at - self.range.start + self.mark
    }
}

/// Bytes of the first characters that fit into some columns.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut used = 0;
    let fit = chars.take_while(|letter| {
        used += columns_of(*letter);
        used <= columns
    });
    fit.map(char::len_utf8).sum()
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Columns on a terminal, at most: tabs are shown as four, and what is wide is beyond ASCII.
fn columns_of(letter: char) -> usize {
    match letter {
        '\t' => 4,
        letter if letter.is_ascii() => 1,
        _ => 2,
    }
}

/// The column of a byte, in characters from 1.
fn column(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..at].chars().count() + 1
}

/// Where a line (from 0) starts.
fn line_start(text: &str, line: usize) -> usize {
    let mut ends = memchr::memchr_iter(b'\n', text.as_bytes());
    line.checked_sub(1).and_then(|before| ends.nth(before)).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::diagnostic::Source;

    fn span(text: &str, wanted: &str) -> Span {
        let source = Arc::new(Source { name: "x".into(), text: text.into() });
        let start = text.find(wanted).unwrap();
        Span::new(&source, start..start + wanted.len())
    }

    #[test]
    fn a_mark_is_where_it_was() {
        let excerpt = Excerpt::of(&span("one\ntwo three\nfour", "three"), &[]);
        assert_eq!((excerpt.line, excerpt.column, excerpt.first_line), (2, 5, 2));
        assert_eq!(&excerpt.text[excerpt.primary.clone()], "three");
    }

    #[test]
    fn a_long_line_is_shortened_around_its_mark() {
        for filler in ["x", "漢", "\t"] {
            let long = filler.repeat(5_000);
            let excerpt = Excerpt::of(&span(&format!("{long}HERE{long}"), "HERE"), &[]);
            assert_eq!((&excerpt.text[excerpt.primary.clone()], excerpt.column), ("HERE", 5_001));
            assert!(width(&excerpt.text) < WIDTH + 10);
        }
    }

    #[test]
    fn a_long_mark_is_shortened_too() {
        let long = "漢".repeat(5_000);
        let excerpt = Excerpt::of(&span(&long, &long), &[]);
        assert!(excerpt.primary.end <= excerpt.text.len() && width(&excerpt.text) < WIDTH + 10);
    }

    #[test]
    fn lines_in_between_keep_their_number() {
        let first = span("a\nb\nc\nd", "a");
        let second = Span::new(first.source(), 6..7);
        let excerpt = Excerpt::of(&second, &[(first, "first".into())]);
        assert_eq!((excerpt.first_line, excerpt.line, excerpt.text.as_str()), (1, 4, "a\nb\nc\nd"));
        assert_eq!((excerpt.primary, excerpt.others), (6..7, vec![(0..1, "first".into())]));
    }
}
