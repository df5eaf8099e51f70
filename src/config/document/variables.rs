//! `${VAR}`, `${VAR:-default}` and `$$` in string values.

use std::env::VarError;

use super::{Content, Node, Table};
use crate::config::diagnostic::{Diagnostic, Report, Span, nearest};

/// Where variables come from.
pub(crate) trait Environment {
    /// The value of a variable.
    fn get(&self, name: &str) -> Result<String, VarError>;
    /// All names, for "did you mean".
    fn names(&self) -> Vec<String>;
}

/// Expands every string value of a table, in place. Keys are left alone.
pub(crate) fn expand(table: &mut Table, environment: &dyn Environment, report: &mut Report) {
    for entry in &mut table.entries {
        expand_node(&mut entry.value, environment, report);
    }
}

fn expand_node(node: &mut Node, environment: &dyn Environment, report: &mut Report) {
    match &mut node.content {
        _ if report.is_full() => {}
        Content::Text { text, from_variable } if text.contains('$') => {
            let before = report.faults();
            let mut expansion =
                Expansion { environment, report, span: &node.span, searched: 0, found: false };
            *text = expansion.run(text);
            *from_variable = expansion.found;
            if report.faults() > before {
                node.content = Content::Unknown;
            }
        }
        Content::List(nodes) => {
            nodes.iter_mut().for_each(|node| expand_node(node, environment, report));
        }
        Content::Table(table) => expand(table, environment, report),
        _ => {}
    }
}

/// The expansion of one string.
struct Expansion<'a> {
    environment: &'a dyn Environment,
    report: &'a mut Report,
    span: &'a Span,
    /// How far into the place's own text (which has escapes that the string has not) variables were looked for.
    searched: usize,
    found: bool,
}

impl Expansion<'_> {
    fn run(&mut self, mut text: &str) -> String {
        let mut expanded = String::new();
        while let Some(at) = text.find('$').filter(|_| !self.report.is_full()) {
            expanded += &text[..at];
            let rest = &text[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                text = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let (value, after) = self.variable(after);
                expanded += &value;
                text = after;
            } else {
                expanded.push('$');
                text = rest;
            }
        }
        expanded + text
    }

    /// The value of what follows `${`, and what comes after its `}`.
    fn variable<'t>(&mut self, text: &'t str) -> (String, &'t str) {
        self.found = true;
        let Some((inside, after)) = text.split_once('}') else {
            let fault = Diagnostic::error("`${` without its `}`").at(&self.span_of("${"));
            self.report.push(fault.help("write `$$` for a plain `$`"));
            return (String::new(), "");
        };
        let span = self.span_of(&format!("${{{inside}}}"));
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) || default.is_some_and(|default| default.contains("${")) {
            self.report.push(malformed(&span));
            return (String::new(), after);
        }
        let value = match (self.environment.get(name), default) {
            (Ok(value), Some(default)) if value.is_empty() => default.to_owned(),
            (Ok(value), _) => value,
            (Err(VarError::NotPresent), Some(default)) => default.to_owned(),
            (Err(error), _) => {
                self.report.push(self.unset(name, &error, &span));
                String::new()
            }
        };
        (value, after)
    }

    fn unset(&self, name: &str, error: &VarError, span: &Span) -> Diagnostic {
        if matches!(error, VarError::NotUnicode(_)) {
            return Diagnostic::error(format!("the variable `{name}` does not hold text in UTF-8")).at(span);
        }
        let names = self.environment.names();
        let near = nearest(name, names.iter().map(String::as_str));
        Diagnostic::error(format!("the variable `{name}` is not set"))
            .at(span)
            .did_you_mean(near.map(|near| format!("`${{{near}}}`")))
            .help(format!(
                "`${{{name}:-…}}` gives it a default; `$${{{name}}}` leaves it to a shell, as `${{{name}}}`"
            ))
    }

    /// Where `wanted` stands in the source; the whole string if escapes hide it.
    fn span_of(&mut self, wanted: &str) -> Span {
        match self.span.text()[self.searched..].find(wanted) {
            Some(at) => {
                let start = self.searched + at;
                self.searched = start + wanted.len();
                self.span.part(start, wanted.len())
            }
            None => self.span.clone(),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn malformed(span: &Span) -> Diagnostic {
    Diagnostic::error("not a variable")
        .at(span)
        .accepted("`${NAME}` or `${NAME:-default}`, where the default holds no variable")
        .help("write `$$` for a plain `$`: `$${…}` leaves it to a shell")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::diagnostic::Source;
    use crate::config::document::parse;

    struct Fixed;

    impl Environment for Fixed {
        fn get(&self, name: &str) -> Result<String, VarError> {
            match name {
                "HOST" => Ok("example".into()),
                "EMPTY" => Ok(String::new()),
                _ => Err(VarError::NotPresent),
            }
        }

        fn names(&self) -> Vec<String> {
            vec!["HOST".into(), "EMPTY".into()]
        }
    }

    fn expanded(value: &str) -> (Option<String>, Report) {
        let source = Arc::new(Source { name: "x".into(), text: format!("a = {value}") });
        let mut report = Report::new();
        let mut table = parse(&source, &mut report).table;
        expand(&mut table, &Fixed, &mut report);
        (table.get("a").unwrap().value.text().map(str::to_owned), report)
    }

    #[test]
    fn variables_defaults_and_dollars() {
        for (written, meant) in [
            (r#""${HOST}:1""#, "example:1"),
            (r#""${NONE:-x}${EMPTY:-y}${EMPTY}""#, "xy"),
            (r#""$$HOST $5 ^a$""#, "$HOST $5 ^a$"),
            (r#""$${HOST}""#, "${HOST}"),
            (r#""${HOST:-}""#, "example"),
        ] {
            let (text, report) = expanded(written);
            assert_eq!((text.as_deref(), report.is_empty()), (Some(meant), true), "{written}: {report}");
        }
    }

    #[test]
    fn a_fault_points_at_its_own_variable() {
        let (_, report) = expanded(r#""${HOST} ${HOTS} ${A:-${B}} ${1}""#);
        assert_eq!(report.faults(), 3);
        let text = report.to_string();
        assert!(text.contains("x:1:14") && text.contains("did you mean `${HOST}`?"), "{text}");
    }

    #[test]
    fn an_open_brace_is_a_fault() {
        assert_eq!(expanded(r#""a ${HOST""#).1.faults(), 1);
    }
}
