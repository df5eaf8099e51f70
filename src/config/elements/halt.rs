//! `halt`: when a run ends although there are items left.

use serde_json::{Value, json};

use super::{Element, read_text, reject};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;
use crate::config::pipeline::Halt;

/// `halt`: such as `"soon,fail=1"`.
pub(crate) struct HaltText;

impl Element for HaltText {
    type Output = Halt;

    fn read(node: &Node, report: &mut Report) -> Option<Halt> {
        if let Some(meant) = node.text().and_then(meant) {
            let text = quote(node.text().unwrap_or_default());
            let fault = reject::<Self>(node, format!("{text} does not say when to halt"));
            report.push(fault.did_you_mean(Some(meant)));
            return None;
        }
        read_text::<Self>(node, report, "a text in quotes", str::parse)
    }

    fn accepted() -> String {
        r#""soon" or "now", what is counted ("fail", "success", "done") and how many, such as "soon,fail=1" or "now,fail=30%""#
            .into()
    }

    fn schema() -> Value {
        let pattern = r"^(soon|now),(fail|success|done)=([1-9][0-9]{0,9}|[1-9][0-9]?%|100%)$|\$\{";
        json!({ "type": "string", "pattern": pattern, "examples": ["soon,fail=1", "now,fail=30%"] })
    }

    fn written(halt: &Halt) -> Value {
        halt.to_string().into()
    }
}

/// What is probably meant: the same with blanks or capitals, or a word alone.
fn meant(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let bare = match bare.to_ascii_lowercase().as_str() {
        "soon" | "soon,fail" => "soon,fail=1".to_owned(),
        "now" | "now,fail" => "now,fail=1".to_owned(),
        other => other.replace("failed=", "fail=").replace("failure=", "fail="),
    };
    (text.parse::<Halt>().is_err() && bare.parse::<Halt>().is_ok()).then(|| format!("\"{bare}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn halt_says_when_and_at_how_many_of_what() {
        accepts::<HaltText>(&["\"soon,fail=1\"", "\"now,success=100%\"", "\"soon,done=4294967295\""]);
        refuses::<HaltText>(&[
            ("\"soon\"", "did you mean \"soon,fail=1\"?"),
            ("\"Now, fail = 30%\"", "did you mean \"now,fail=30%\"?"),
            ("\"soon,failed=2\"", "did you mean \"soon,fail=2\"?"),
            ("\"later,fail=1\"", "does not say when to halt"),
            ("\"soon,fail=0\"", "does not say when to halt"),
            ("1", "expected a text in quotes"),
        ]);
    }
}
