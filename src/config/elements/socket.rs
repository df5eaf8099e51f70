//! The path of a Unix socket.

use serde_json::{Value, json};

use super::{Element, reject, wrong_kind};
use crate::config::diagnostic::Report;
use crate::config::document::Node;

/// A path that fits into a socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath(pub String);

/// `sun_path` on Linux, without its closing zero.
const MOST: usize = 107;

impl Element for SocketPath {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match node.text() {
            None => report.push(wrong_kind::<Self>(node, "a path in quotes")),
            Some("") => report.push(reject::<Self>(node, "an empty path")),
            Some(path) if path.contains('\0') => {
                report.push(reject::<Self>(node, "a path can't hold a zero byte"))
            }
            Some(path) if path.len() > MOST => report.push(reject::<Self>(node, "this path is too long")),
            Some(path) => return Some(SocketPath(path.to_owned())),
        }
        None
    }

    fn accepted() -> String {
        format!("the path of a Unix socket, up to {MOST} bytes")
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": MOST })
    }

    fn written(&self) -> Value {
        self.0.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn a_socket_path_has_its_bounds() {
        accepts::<SocketPath>(&["\"run/x.sock\""]);
        let long = format!("\"{}\"", "x".repeat(108));
        refuses::<SocketPath>(&[
            ("\"\"", "empty"),
            (&long, "too long"),
            ("3", "in quotes"),
            (r#""a\u0000b""#, "zero byte"),
        ]);
    }
}
