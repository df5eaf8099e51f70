//! Where the parts of a condition stand in its text.

use super::functions::MATCHES;
use cel::IdedExpr;
use cel::common::ast::{Expr, SourceInfo};
use std::ops::Range;

/// What is wrong with a condition, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConditionFault {
    /// Bytes of the text; empty at its end.
    pub place: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

pub(super) fn fault(place: Range<usize>, message: impl Into<String>, help: Option<&str>) -> ConditionFault {
    ConditionFault { place, message: message.into(), help: help.map(str::to_owned) }
}

/// A text, and where the parser found what in it.
#[derive(Debug)]
pub(super) struct Places {
    pub text: String,
    pub found: SourceInfo,
}

impl Places {
    pub(super) fn of(&self, expression: &IdedExpr) -> Range<usize> {
        match &expression.expr {
            Expr::Call(call) if call.func_name.starts_with(|c: char| c.is_alphabetic()) => {
                self.of_call(expression.id, &call.func_name)
            }
            Expr::Call(call) if call.func_name == MATCHES => self.of_call(expression.id, "matches"),
            Expr::Comprehension(_) => self.before(self.of_id(expression.id)),
            Expr::Select(_) => {
                let dot = self.of_id(expression.id).start;
                let field = self.text.get(dot + 1..).unwrap_or_default();
                word_at(&self.text, self.text.len() - field.trim_start().len())
            }
            _ => self.of_id(expression.id),
        }
    }

    pub(super) fn of_id(&self, id: u64) -> Range<usize> {
        let whole = 0..self.text.len();
        let Some((start, last)) = self.found.offset_for(id) else { return whole };
        let (start, end) = (start as usize, last as usize + 1);
        if end <= self.text.len() && start < end { start..end } else { whole }
    }

    /// The name of a call, whose place is that of its bracket.
    pub(super) fn of_call(&self, id: u64, name: &str) -> Range<usize> {
        let bracket = self.of_id(id);
        let before = self.text.get(..bracket.start).unwrap_or_default().trim_end();
        match before.strip_suffix(name) {
            Some(start) => start.len()..before.len(),
            None => bracket,
        }
    }

    /// The word in front of a bracket.
    fn before(&self, bracket: Range<usize>) -> Range<usize> {
        let before = self.text.get(..bracket.start).unwrap_or_default().trim_end();
        let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        if start < before.len() { start..before.len() } else { bracket }
    }
}

/// The word, or the character, that begins somewhere.
pub(super) fn word_at(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let len = if word == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { word };
    start..start + len
}
