//! A network address to listen on.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Element, reject, wrong_kind};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;

/// An IP address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Element for Address {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Some(text) = node.text() else {
            report.push(wrong_kind::<Self>(node, "an address in quotes"));
            return None;
        };
        let address = text.parse().ok();
        if address.is_none() {
            report.push(reject::<Self>(node, format!("{} is no address to listen on", quote(text))));
        }
        address.map(Address)
    }

    fn accepted() -> String {
        r#"an IP address and a port, such as "127.0.0.1:9464" or "[::1]:9464""#.into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^.+:[0-9]+$|\$\{", "examples": ["127.0.0.1:9464"] })
    }

    fn written(&self) -> Value {
        self.0.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn an_address_has_a_port() {
        accepts::<Address>(&["\"127.0.0.1:9464\"", "\"[::1]:1\""]);
        refuses::<Address>(&[
            ("\"127.0.0.1\"", "no address"),
            ("9464", "in quotes"),
            ("\"localhost:1\"", "no address"),
        ]);
    }
}
