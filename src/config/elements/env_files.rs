//! `env_file`: files of variables.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Element, one_or_several, read_several, reject, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::Node;

/// A path, or several; of two files with the same variable the later one applies.
pub(crate) struct EnvFiles;

impl Element for EnvFiles {
    type Output = Vec<PathBuf>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<PathBuf>> {
        read_several::<Self, _>(node, report, "a path in quotes, or a list of them", read_one)
    }

    fn accepted() -> String {
        r#"a path, or a list of paths such as ["common.env", "web.env"]"#.into()
    }

    fn schema() -> Value {
        let path = json!({ "type": "string", "minLength": 1 });
        one_or_several(&path)
    }

    fn written(paths: &Vec<PathBuf>) -> Value {
        match paths.as_slice() {
            [] => Value::Null,
            [path] => path.to_string_lossy().into(),
            paths => paths.iter().map(|path| path.to_string_lossy()).collect(),
        }
    }
}

fn read_one(node: &Node, report: &mut Report) -> Option<PathBuf> {
    let fault = match node.text() {
        Some("") => reject::<EnvFiles>(node, "an empty string is no path"),
        Some(text) => return Some(text.into()),
        None => wrong_kind::<EnvFiles>(node, "a path in quotes"),
    };
    report.push(fault);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn one_path_or_several() {
        accepts::<EnvFiles>(&["\"a.env\"", "[\"a.env\", \"/etc/b.env\"]"]);
        refuses::<EnvFiles>(&[
            ("3", "expected a path in quotes"),
            ("[3]", "expected a path in quotes"),
            ("\"\"", "an empty string is no path"),
            ("[\"a\", \"\"]", "an empty string is no path"),
        ]);
    }
}
