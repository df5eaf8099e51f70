//! The parser's errors in words that help: what people usually meant when they wrote such a line.

use std::sync::Arc;

use crate::config::diagnostic::{Diagnostic, Source, Span, quote};

/// One syntax error and its place.
pub(super) struct SyntaxError {
    pub span: Span,
    message: String,
}

impl SyntaxError {
    pub(super) fn new(source: &Arc<Source>, error: &toml::de::Error) -> SyntaxError {
        let end = source.text.trim_end().len();
        let range = error.span().unwrap_or(end..end);
        // At the end of the file there is nothing to point at: the last character will do.
        let range = if range.start >= source.text.len() { end..end } else { range };
        SyntaxError { span: Span::new(source, range), message: error.message().to_owned() }
    }

    /// Something is there twice: the syntax is right, only the second one is lost.
    pub(super) fn is_duplicate(&self) -> bool {
        self.message.starts_with("duplicate key")
    }

    /// It is about the header of a table.
    pub(super) fn is_at_header(&self) -> bool {
        self.line().trim_start().starts_with('[')
    }

    /// A bracket or a long string was opened and not closed, so that all that follows is read amiss.
    pub(super) fn swallows_the_rest(&self) -> bool {
        SyntaxError::is_unclosed(&self.message)
    }

    pub(super) fn is_unclosed(message: &str) -> bool {
        ["array", "inline table", "multi-line", "key-value pairs"].iter().any(|what| message.contains(what))
            && !message.contains("array table")
    }

    pub(super) fn diagnostic(&self) -> Diagnostic {
        if self.is_duplicate() {
            return duplicate_key(&self.span);
        }
        let (title, help) = self.hint();
        let fault = Diagnostic::error(title).at(&self.span);
        match help {
            Some(help) => fault.help(help),
            None => fault,
        }
    }

    /// What is wrong, and what to do about it.
    fn hint(&self) -> (String, Option<String>) {
        if let Some(control) = self.span.text().chars().next().filter(|letter| is_control(*letter)) {
            let code = u32::from(control);
            let help = format!("in \"text\" write \\u{code:04x}");
            return (format!("a control character (U+{code:04X})"), Some(help));
        }
        let line = without_comment(self.line());
        if line.contains(['“', '”', '„', '‘', '’']) {
            return ("typographic quotes".into(), Some("TOML takes the plain \" only".into()));
        }
        if self.message.starts_with("invalid basic string, expected `\"`")
            || self.message.ends_with("expected `'`")
        {
            return ("the closing quote is missing".into(), None);
        }
        if self.message.starts_with("unclosed table") || self.message.starts_with("unclosed array table") {
            return ("the closing bracket of the header is missing".into(), None);
        }
        if let Some((key, value)) = line.split_once(':').filter(|(key, _)| is_bare(key.trim())) {
            return (self.parser_message(), Some(instead_of_colon(key.trim(), value.trim())));
        }
        if self.swallows_the_rest() {
            return (
                self.parser_message(),
                Some("maybe a bracket or a long string above is not closed".into()),
            );
        }
        match line.split_once('=') {
            Some((key, value)) => self.hint_for_value(key.trim(), value.trim()),
            None => (self.parser_message(), None),
        }
    }

    /// The words for a line with a key and a value.
    fn hint_for_value(&self, key: &str, value: &str) -> (String, Option<String>) {
        let truth = match value.to_lowercase().as_str() {
            "true" | "yes" | "on" => Some("did you mean true?"),
            "false" | "no" | "off" => Some("did you mean false?"),
            _ => None,
        };
        if key.is_empty() {
            ("a key is missing before the `=`".into(), None)
        } else if value.is_empty() {
            (format!("{} has no value", quote(key)), None)
        } else if truth.is_some() {
            (self.parser_message(), truth.map(str::to_owned))
        } else if is_bare(key) && !value.contains(['"', '\'', '[', ']', '{', '}', '=']) {
            ("text without quotes".into(), Some(format!("did you mean {key} = {}?", quote(value))))
        } else {
            (self.parser_message(), None)
        }
    }

    /// The parser's own words.
    fn parser_message(&self) -> String {
        format!("not valid TOML: {}", self.message)
    }

    fn line(&self) -> &str {
        let text = &self.span.source().text;
        let at = self.span.range().start;
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        text[start..].lines().next().unwrap_or("")
    }
}

/// TOML takes none of them but the tab and the ends of lines.
fn is_control(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\t' | '\n' | '\r')
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or("").trim()
}

/// For those who write YAML.
fn instead_of_colon(key: &str, value: &str) -> String {
    let is_plain = value.starts_with(['"', '\'', '[', '{']) || value.parse::<f64>().is_ok();
    match value {
        "" => format!("a key and its value are joined by `=`, and a table begins with a line `[{key}]`"),
        "true" | "false" => format!("did you mean {key} = {value}?"),
        _ if is_plain => format!("did you mean {key} = {value}?"),
        _ => format!("did you mean {key} = {}?", quote(value)),
    }
}

/// The fault, with the first of the two where it can be found.
fn duplicate_key(second: &Span) -> Diagnostic {
    let name = second.text();
    let fault = Diagnostic::error(format!("`{name}` is there twice")).at(second).label("the second one");
    match first_key(second) {
        Some(first) => fault.also(&first, "the first one"),
        None => fault,
    }
    .help("keep one of them")
}

/// The parser tells only where the second one is. The first is the nearest line above that starts alike, in the
/// same table if it is a key. A label is all that hangs on it, so a miss in odd layouts does no harm.
fn first_key(second: &Span) -> Option<Span> {
    let source = second.source();
    let text = &source.text;
    let line_start = text[..second.range().start].rfind('\n').map_or(0, |end| end + 1);
    let head = &text[line_start..second.range().end];
    let is_header = head.trim_start().starts_with('[');
    let mut end = line_start;
    for line in text[..line_start].split_inclusive('\n').rev() {
        end -= line.len();
        if line.starts_with(head) && !continues(&line[head.len()..]) {
            let start = end + head.len() - second.text().len();
            return Some(Span::new(source, start..end + head.len()));
        }
        if !is_header && line.trim_start().starts_with('[') {
            return None;
        }
    }
    None
}

/// Whether what follows makes the key a longer one.
fn continues(rest: &str) -> bool {
    rest.starts_with(|next: char| next.is_alphanumeric() || "_-.\"'".contains(next))
}
