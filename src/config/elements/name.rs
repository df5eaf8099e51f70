//! Names of pipelines, stages and queues: fit for log lines, paths, units and `--set` without any quoting.

use serde_json::{Value, json};

use super::{Element, read_text};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;

/// Characters of the longest name.
const MAX_LENGTH: usize = 64;

/// The name of a stage or a queue.
pub(crate) struct Name;

/// The name of a pipeline: may hold dots too, as file names do.
pub(crate) struct PipelineName;

impl Name {
    /// Schema of the keys of `[stages]` and `[queues]`.
    pub(crate) const PATTERN: &'static str = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$";

    /// What is wrong with a name, if anything.
    pub(crate) fn fault(text: &str) -> Option<String> {
        fault(text, "_-")
    }
}

impl PipelineName {
    /// The name of a pipeline whose file gives none: the file's stem, with `_` for what a name can't hold.
    pub(crate) fn of_file(path: &std::path::Path) -> String {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let stem = stem.trim_start_matches(['.', '-']);
        let fit = |letter: char| if is_fit(letter, "_-.") { letter } else { '_' };
        let name: String = stem.chars().map(fit).take(MAX_LENGTH).collect();
        if name.is_empty() { "pipeline".into() } else { name }
    }
}

impl Element for Name {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        read::<Self>(node, "_-", report)
    }

    fn accepted() -> String {
        format!("a name of letters, digits, `_` and `-`, not starting with `-`, up to {MAX_LENGTH} long")
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": format!("{}|\\$\\{{", Self::PATTERN) })
    }

    fn written(name: &String) -> Value {
        name.as_str().into()
    }
}

impl Element for PipelineName {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        read::<Self>(node, "_-.", report)
    }

    fn accepted() -> String {
        format!(
            "a name of letters, digits, `_`, `-` and `.`, starting with a letter, a digit or `_`, up to {MAX_LENGTH} long"
        )
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$|\$\{" })
    }

    fn written(name: &String) -> Value {
        name.as_str().into()
    }
}

fn read<T: Element<Output = String>>(node: &Node, marks: &str, report: &mut Report) -> Option<String> {
    read_text::<T>(node, report, "a name in quotes", |text| {
        fault(text, marks).map_or_else(|| Ok(text.to_owned()), Err)
    })
}

fn fault(text: &str, marks: &str) -> Option<String> {
    if text.is_empty() {
        return Some("a name can't be empty".into());
    }
    if text.len() > MAX_LENGTH && text.chars().count() > MAX_LENGTH {
        return Some(format!("{} is too long for a name", quote(text)));
    }
    if let Some(bad) = text.chars().find(|letter| !is_fit(*letter, marks)) {
        return Some(format!("a name can't hold {bad:?}"));
    }
    text.starts_with(['-', '.']).then(|| format!("a name can't start with `{}`", &text[..1]))
}

fn is_fit(letter: char, marks: &str) -> bool {
    letter.is_ascii_alphanumeric() || marks.contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_need_no_quoting_anywhere() {
        for good in ["a", "read-2", "_x", "0"] {
            assert_eq!(Name::fault(good), None);
        }
        for bad in ["", "-a", "a b", "a.b", "ä", "a/b", "a\u{1b}[2J", &"x".repeat(65)] {
            assert!(Name::fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn any_file_name_makes_a_pipeline_name() {
        for (path, name) in [
            ("a/even.toml", "even"),
            ("b c.v2.toml", "b_c.v2"),
            (".toml", "toml"),
            ("/", "pipeline"),
            ("-é.x", "_"),
        ] {
            assert_eq!(PipelineName::of_file(Path::new(path)), name);
            assert_eq!(fault(name, "_-."), None);
        }
    }
}
