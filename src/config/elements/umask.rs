//! `umask`: permission bits, in octal as everywhere.

use serde_json::{Value, json};

use super::{Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node};

/// Permissions that new files don't get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umask(pub u32);

impl Element for Umask {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Some(text) = node.text() else {
            // 27 would be 0o33: whoever writes it means the octal digits.
            let guess = match node.content {
                Content::Integer(number) => Some(format!("\"{number:03}\", in quotes")),
                _ => None,
            };
            report.push(wrong_kind::<Self>(node, "a string").did_you_mean(guess));
            return None;
        };
        let is_octal =
            (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        match u32::from_str_radix(text, 8) {
            Ok(mask) if is_octal && mask <= 0o777 => Some(Umask(mask)),
            _ => {
                report.push(reject::<Self>(node, "not a set of permissions"));
                None
            }
        }
    }

    fn accepted() -> String {
        r#"octal digits in quotes, such as "027""#.into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "string", "pattern": "^0?[0-7]{1,3}$" }))
    }

    fn written(&self) -> Value {
        format!("{:03o}", self.0).into()
    }
}
