//! Names of pipelines, stages and queues: fit for log lines, paths, units and `--set` without any quoting.

use serde_json::{Value, json};

use super::{Element, reject, wrong_kind};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;

/// The longest name.
const MOST: usize = 64;

/// The name of a stage or a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

/// The name of a pipeline: may hold dots too, as file names do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineName(pub String);

impl Name {
    /// Schema of the keys of `[stages]` and `[queues]`.
    pub const PATTERN: &'static str = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$";

    /// What is wrong with a name, if anything.
    pub fn fault(text: &str) -> Option<String> {
        fault(text, "_-")
    }
}

impl PipelineName {
    /// The name of a pipeline whose file gives none: the file's stem, with `_` for what a name can't hold.
    pub fn of_file(path: &std::path::Path) -> String {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let stem = stem.trim_start_matches(['.', '-']);
        let fit = |letter: char| if is_fit(letter, "_-.") { letter } else { '_' };
        let name: String = stem.chars().map(fit).take(MOST).collect();
        if name.is_empty() { "pipeline".into() } else { name }
    }
}

impl Element for Name {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        read::<Self>(node, "_-", report).map(Name)
    }

    fn accepted() -> String {
        format!("a name of letters, digits, `_` and `-`, not starting with `-`, up to {MOST} long")
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": format!("{}|\\$\\{{", Self::PATTERN) })
    }

    fn written(&self) -> Value {
        self.0.as_str().into()
    }
}

impl Element for PipelineName {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        read::<Self>(node, "_-.", report).map(PipelineName)
    }

    fn accepted() -> String {
        format!(
            "a name of letters, digits, `_`, `-` and `.`, starting with a letter, a digit or `_`, up to {MOST} long"
        )
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$|\$\{" })
    }

    fn written(&self) -> Value {
        self.0.as_str().into()
    }
}

fn read<T: Element>(node: &Node, marks: &str, report: &mut Report) -> Option<String> {
    let Some(text) = node.text() else {
        report.push(wrong_kind::<T>(node, "a name in quotes"));
        return None;
    };
    match fault(text, marks) {
        None => Some(text.to_owned()),
        Some(title) => {
            report.push(reject::<T>(node, title));
            None
        }
    }
}

fn fault(text: &str, marks: &str) -> Option<String> {
    if text.is_empty() {
        return Some("a name can't be empty".into());
    }
    if text.len() > MOST && text.chars().count() > MOST {
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
