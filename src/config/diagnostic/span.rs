//! A place in a text: a file, or the value of a `--set`.

use std::ops::Range;
use std::sync::Arc;

/// A text that settings come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As the user named it: a path, or `--set`.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Some bytes of a source. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Span {
    /// The bytes `range` of `source`; a span that reaches beyond it, or into a character, is cut back.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Span {
        let start = boundary(&source.text, range.start);
        let end = boundary(&source.text, range.end).max(start);
        Span { source: Arc::clone(source), range: start..end }
    }

    /// The same bytes, moved by `offset` and with another length: for a part of a value.
    pub fn part(&self, offset: usize, len: usize) -> Span {
        let start = self.range.start + offset;
        Span::new(&self.source, start..start + len)
    }

    /// The text that it points at.
    pub fn text(&self) -> &str {
        &self.source.text[self.range.clone()]
    }

    /// Where the text comes from.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The bytes in the source.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Line numbers from 0, first and last.
    pub fn lines(&self) -> (usize, usize) {
        let count = |text: &str| memchr::memchr_iter(b'\n', text.as_bytes()).count();
        let first = count(&self.source.text[..self.range.start]);
        (first, first + count(self.text()))
    }
}

/// The start of the character at a byte.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "x".into(), text: text.into() })
    }

    #[test]
    fn a_span_beyond_the_text_is_cut_back() {
        let span = Span::new(&source("äb"), 1..99);
        assert_eq!((span.range(), span.text()), (0..3, "äb"));
    }

    #[test]
    fn lines_are_counted_from_zero() {
        assert_eq!(Span::new(&source("a\nb\nc"), 2..5).lines(), (1, 2));
    }
}
