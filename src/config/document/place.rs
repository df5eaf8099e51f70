//! Where a part of a string's value stands in the file: as TOML writes it, with quotes and escapes.

use super::{Content, Node};
use crate::config::diagnostic::Span;
use std::ops::Range;

impl Node {
    /// Where these bytes of the text stand; all of the value where that can't be said (a variable is in it). An empty range
    /// is the character that stands there, or the quote at the end.
    pub(crate) fn place(&self, bytes: Range<usize>) -> Span {
        self.part(bytes).unwrap_or_else(|| self.span.clone())
    }

    fn part(&self, bytes: Range<usize>) -> Option<Span> {
        let Content::Text { text, from_variable: false } = &self.content else { return None };
        let places = places(self.span.text(), text)?;
        let (start, end) = (*places.get(bytes.start)?, *places.get(bytes.end)?);
        Some(self.span.part(start, (end - start).max(1)))
    }
}

/// For each byte of a value, and for its end, the byte of its written form at which it stands.
fn places(written: &str, value: &str) -> Option<Vec<usize>> {
    if written == value {
        return Some((0..=value.len()).collect()); // `--set` takes text without quotes
    }
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| written.starts_with(quote))?;
    let inner = written.strip_prefix(quote)?.strip_suffix(quote)?;
    let is_long = quote.len() == 3;
    // The line end behind the opening quotes is none of the value.
    let start = if is_long { inner.len() - skip_line_end(inner).len() } else { 0 };
    let mut reader =
        Reader { rest: &inner[start..], at: quote.len() + start, read: String::new(), places: Vec::new() };
    while !reader.rest.is_empty() {
        match reader.rest.strip_prefix('\\').filter(|_| quote.starts_with('"')) {
            Some(escape) => reader.escape(escape, is_long)?,
            None => reader.plain(),
        }
    }
    reader.places.push(reader.at);
    (reader.read == value).then_some(reader.places)
}

fn skip_line_end(text: &str) -> &str {
    text.strip_prefix("\r\n").or(text.strip_prefix('\n')).unwrap_or(text)
}

struct Reader<'t> {
    rest: &'t str,
    /// Where it stands in the written form.
    at: usize,
    read: String,
    places: Vec<usize>,
}

impl Reader<'_> {
    fn plain(&mut self) {
        if let Some(character) = self.rest.chars().next() {
            self.take(Some(character), character.len_utf8());
        }
    }

    /// `written` bytes that stand for a character, or for none.
    fn take(&mut self, character: Option<char>, written: usize) {
        if let Some(character) = character {
            // Bytes of a character that is written as it is stand one by one.
            let is_plain = self.rest.starts_with(character) && written == character.len_utf8();
            let place = |byte: usize| if is_plain { self.at + byte } else { self.at };
            self.places.extend((0..character.len_utf8()).map(place));
            self.read.push(character);
        }
        self.rest = &self.rest[written..];
        self.at += written;
    }

    /// What follows a backslash. `None`: it makes no sense.
    fn escape(&mut self, escape: &str, is_long: bool) -> Option<()> {
        let letter = escape.chars().next()?;
        let hex = |digits: usize| {
            let code = u32::from_str_radix(escape.get(1..=digits)?, 16).ok()?;
            Some((char::from_u32(code)?, digits + 2))
        };
        let (character, written) = match letter {
            'b' => ('\u{8}', 2),
            't' => ('\t', 2),
            'n' => ('\n', 2),
            'f' => ('\u{c}', 2),
            'r' => ('\r', 2),
            'e' => ('\u{1b}', 2),
            '"' | '\\' => (letter, 2),
            'x' => hex(2)?,
            'u' => hex(4)?,
            'U' => hex(8)?,
            _ if is_long => {
                // The end of a line, and the white space behind it.
                let after = escape.trim_start_matches([' ', '\t', '\r', '\n']);
                self.take(None, 1 + escape.len() - after.len());
                return (after.len() < escape.len()).then_some(());
            }
            _ => return None,
        };
        self.take(Some(character), written);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::diagnostic::{Report, Source};
    use crate::config::document;
    use std::sync::Arc;

    /// What stands in a file where a part of a value stands.
    fn found(written: &str, part: &str) -> String {
        let source = Arc::new(Source { name: "x".into(), text: format!("a = {written}\n") });
        let mut report = Report::new();
        let table = document::parse(&source, &mut report).table;
        let node = &table.get("a").unwrap_or_else(|| panic!("{written}: {report}")).value;
        let text = node.text().unwrap();
        let start = text.find(part).unwrap_or_else(|| panic!("{text:?}"));
        node.place(start..start + part.len()).text().to_owned()
    }

    #[test]
    fn a_part_of_a_value_is_found_in_what_is_written() {
        assert_eq!(found("'a == 1 and b'", "and"), "and");
        assert_eq!(found(r#""ä == \"x\" and b""#, "and"), "and");
        assert_eq!(found(r#""\u00e4\x41 == \\ and""#, "and"), "and");
        assert_eq!(found(r#""a == \"x\" b""#, "\"x\""), r#"\"x\""#);
        assert_eq!(found("\"\"\"\n  a &&\n  \"b\" and\"\"\"", "and"), "and");
        assert_eq!(found("'''\r\na\r\nand\r\n'''", "and"), "and");
        assert_eq!(found("\"\"\"a \\\n\n    && and\"\"\"", "and"), "and");
        assert_eq!(found("\"\"\"a \"\" b\"\"\"", "b"), "b");
    }

    #[test]
    fn nothing_is_the_character_after_it() {
        let source = Arc::new(Source { name: "x".into(), text: "a = 'b =='\n".into() });
        let table = document::parse(&source, &mut Report::new()).table;
        let node = &table.get("a").unwrap().value;
        assert_eq!([node.place(4..4).range(), node.place(9..9).range()], [9..10, 4..10]);
    }
}
