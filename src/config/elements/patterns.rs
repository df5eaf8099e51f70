//! `include`: patterns of files.

use std::path::Path;

use serde_json::{Value, json};

use super::{Element, one_or_several, read_several, reject, wrong_kind};
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::document::{Node, home_folder_fault};
use crate::file_watch::FilePattern;

/// Paths whose last names may be patterns, in the order of the file.
pub(crate) struct Patterns;

/// One of them, as the file has it.
#[derive(Clone, Debug)]
pub(crate) struct PatternText {
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Element for Patterns {
    type Output = Vec<PatternText>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<PatternText>> {
        read_several::<Self, _>(node, report, "a list of patterns", read_one)
    }

    fn accepted() -> String {
        r#"a list of files or patterns, such as ["conf.d/*.toml"]; wildcards stand in the last name only"#
            .into()
    }

    fn schema() -> Value {
        let pattern = json!({ "type": "string", "minLength": 1 });
        one_or_several(&pattern)
    }

    fn written(patterns: &Vec<PatternText>) -> Value {
        match patterns.as_slice() {
            [] => Value::Null,
            patterns => patterns.iter().map(|pattern| pattern.text.as_str()).collect(),
        }
    }
}

fn read_one(node: &Node, report: &mut Report) -> Option<PatternText> {
    if let Some(fault) = home_folder_fault(node) {
        report.push(fault);
        return None;
    }
    let fault = match node.text() {
        Some(text) if FilePattern::new(Path::new(text)).is_some() => {
            return Some(PatternText { text: text.to_owned(), span: node.span.clone() });
        }
        Some(_) => fault(node),
        None => wrong_kind::<Patterns>(node, "a pattern in quotes"),
    };
    report.push(fault);
    None
}

fn fault(node: &Node) -> Diagnostic {
    reject::<Patterns>(node, "this is no pattern for files of one folder")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn one_pattern_or_several_each_for_one_folder() {
        accepts::<Patterns>(&["\"a.toml\"", "[\"conf.d/*.toml\", \"/etc/x/b.toml\"]"]);
        refuses::<Patterns>(&[
            ("3", "expected a list of patterns"),
            ("[3]", "expected a pattern in quotes"),
            ("[\"\"]", "no pattern for files"),
            ("[\"**/*.toml\"]", "wildcards stand in the last name"),
            ("[\"[.toml\"]", "no pattern for files"),
        ]);
    }
}
