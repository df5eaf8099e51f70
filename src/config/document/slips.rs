//! The parser's errors in words that help: what people usually meant when they wrote such a line.

use std::sync::Arc;

use super::twins;
use crate::config::diagnostic::{Diagnostic, Place, Source, quote};

/// One syntax error and its place.
pub struct Fault {
    pub place: Place,
    message: String,
}

impl Fault {
    pub fn new(source: &Arc<Source>, error: &toml::de::Error) -> Fault {
        let end = source.text.trim_end().len();
        let span = error.span().unwrap_or(end..end);
        // At the end of the file there is nothing to point at: the last character will do.
        let span = if span.start >= source.text.len() { end..end } else { span };
        Fault { place: Place::new(source, span), message: error.message().to_owned() }
    }

    /// Something is there twice: the syntax is right, only the second one is lost.
    pub fn is_twin(&self) -> bool {
        self.message.starts_with("duplicate key")
    }

    /// A bracket or a long string was opened and not closed, so that all that follows is read amiss.
    pub fn swallows_the_rest(&self) -> bool {
        ["array", "inline table", "multi-line", "key-value pairs"]
            .iter()
            .any(|what| self.message.contains(what))
            && !self.message.contains("table array")
    }

    pub fn diagnostic(&self) -> Diagnostic {
        if self.is_twin() {
            return twins::diagnostic(&self.place);
        }
        let fault = Diagnostic::error(format!("not valid TOML: {}", self.message)).at(&self.place);
        match self.guess() {
            Some(help) => fault.help(help),
            None => fault,
        }
    }

    fn guess(&self) -> Option<String> {
        let line = self.line();
        if line.contains(['“', '”', '„', '‘', '’']) {
            return Some("these are typographic quotes: TOML takes the plain \" only".into());
        }
        if let Some((key, _)) = line.split_once(':').filter(|(key, _)| is_bare(key.trim())) {
            return Some(format!("a key and its value are joined by `=`: {} = …", key.trim()));
        }
        let (key, value) = line.split_once('=')?;
        let value = value.split('#').next().unwrap_or("").trim();
        match value {
            "" => Some(format!("`{}` has no value", key.trim())),
            "True" | "TRUE" | "yes" | "on" | "Yes" | "On" => Some("did you mean true?".into()),
            "False" | "FALSE" | "no" | "off" | "No" | "Off" => Some("did you mean false?".into()),
            _ if !value.contains(['"', '\'', '[', ']', '{', '}']) => {
                Some(format!("text stands in quotes: {} = {}", key.trim(), quote(value)))
            }
            _ => None,
        }
    }

    fn line(&self) -> &str {
        let text = &self.place.source().text;
        let at = self.place.span().start;
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        text[start..].lines().next().unwrap_or("")
    }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
}
