//! Names of hosts.

use serde_json::{Value, json};

use super::{Element, one_or_several, read_several, reject, wrong_kind};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;

/// Names without a scheme and a port, in lower case.
pub(crate) struct HostNames;

/// Of a name in the DNS.
const LONGEST_NAME: usize = 253;

impl Element for HostNames {
    type Output = Vec<String>;

    fn read(node: &Node, report: &mut Report) -> Option<Vec<String>> {
        read_several::<Self, _>(node, report, "a list of names", read_one)
    }

    fn accepted() -> String {
        r#"a list of host names without a scheme and a port, such as ["mprun.example.com"]"#.into()
    }

    fn schema() -> Value {
        let name =
            json!({ "type": "string", "pattern": r"^[A-Za-z0-9.-]+$|\$\{", "maxLength": LONGEST_NAME });
        one_or_several(&name)
    }

    fn written(names: &Vec<String>) -> Value {
        if names.is_empty() { Value::Null } else { names.iter().map(String::as_str).collect() }
    }
}

fn read_one(node: &Node, report: &mut Report) -> Option<String> {
    let is_name = |text: &str| {
        (1..=LONGEST_NAME).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
    };
    let fault = match node.text() {
        Some(text) if is_name(text) => return Some(text.to_ascii_lowercase()),
        Some(text) => reject::<HostNames>(node, format!("{} is no host name", quote(text))),
        None => wrong_kind::<HostNames>(node, "a name in quotes"),
    };
    report.push(fault);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn names_have_no_scheme_and_no_port() {
        accepts::<HostNames>(&["\"mprun.example.com\"", "[\"a\", \"b.example\"]"]);
        refuses::<HostNames>(&[
            ("3", "a list of names"),
            ("[3]", "a name in quotes"),
            ("\"https://a\"", "no host name"),
            ("[\"a:80\"]", "no host name"),
            ("[\"\"]", "no host name"),
            ("[\"*\"]", "no host name"),
        ]);
    }
}
