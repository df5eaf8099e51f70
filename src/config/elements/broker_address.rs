//! The address of a broker.

use serde_json::{Value, json};

use super::{Element, read_text};
use crate::config::diagnostic::Report;
use crate::config::document::Node;
use crate::config::pipeline::BrokerUrl;

/// `redis://HOST:PORT`, and more.
pub(crate) struct BrokerAddress;

impl Element for BrokerAddress {
    type Output = BrokerUrl;

    fn read(node: &Node, report: &mut Report) -> Option<BrokerUrl> {
        read_text::<Self>(node, report, "an address in quotes", BrokerUrl::parse)
    }

    fn accepted() -> String {
        r#"an address such as "redis://10.0.0.5:6379" or "rediss://USER:PASSWORD@HOST""#.into()
    }

    fn schema() -> Value {
        let pattern = format!("^({})://.|\\$\\{{", BrokerUrl::SCHEMES.join("|"));
        json!({ "type": "string", "pattern": pattern, "examples": ["redis://10.0.0.5:6379"] })
    }

    fn written(url: &BrokerUrl) -> Value {
        url.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn a_broker_has_an_address() {
        accepts::<BrokerAddress>(&["\"redis://db\"", "\"rediss://ann:x@[::1]:6380/3\""]);
        refuses::<BrokerAddress>(&[
            ("6379", "in quotes"),
            ("\"nats://db\"", "no broker `nats`"),
            ("\"db\"", "address"),
        ]);
    }
}
