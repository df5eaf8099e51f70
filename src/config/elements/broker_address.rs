//! The address of a broker.

use serde_json::{Value, json};

use super::{Element, read_text, reject};
use crate::broker::BrokerKind;
use crate::config::diagnostic::{Report, nearest, quote};
use crate::config::document::Node;
use crate::config::pipeline::BrokerUrl;

/// `redis://HOST:PORT`, `nats://HOST:PORT`, and more.
pub(crate) struct BrokerAddress;

impl Element for BrokerAddress {
    type Output = BrokerUrl;

    fn read(node: &Node, report: &mut Report) -> Option<BrokerUrl> {
        if let Some((title, meant)) = node.text().and_then(meant) {
            report.push(reject::<Self>(node, title).did_you_mean(Some(format!("`{meant}://`"))));
            return None;
        }
        read_text::<Self>(node, report, "an address in quotes", BrokerUrl::parse)
    }

    fn accepted() -> String {
        r#"an address such as "redis://10.0.0.5:6379", "rediss://USER:PASSWORD@HOST" or "nats://10.0.0.5:4222""#.into()
    }

    fn schema() -> Value {
        let schemes = BrokerKind::SCHEMES.map(|(scheme, _)| scheme).join("|");
        let examples = ["redis://10.0.0.5:6379", "nats://10.0.0.5:4222"];
        json!({ "type": "string", "pattern": format!("^({schemes})://.|\\$\\{{"), "examples": examples })
    }

    fn written(url: &BrokerUrl) -> Value {
        url.to_string().into()
    }
}

/// What is wrong, and the scheme that is probably meant: the nearest one, or that of the port. The address may hold a password.
fn meant(text: &str) -> Option<(String, &'static str)> {
    let schemes = BrokerKind::SCHEMES.map(|(scheme, _)| scheme);
    match text.split_once("://") {
        Some((scheme, _)) if schemes.contains(&scheme) => None,
        Some((scheme, _)) => {
            Some((format!("there is no broker {}", quote(scheme)), nearest(scheme, schemes)?))
        }
        None => {
            let ports = [(":4222", "nats"), (":6379", "redis")];
            let (_, scheme) = ports.into_iter().find(|(port, _)| text.ends_with(port))?;
            Some(("the address does not say which broker it is of".to_owned(), scheme))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn a_broker_has_an_address() {
        accepts::<BrokerAddress>(&[
            "\"redis://db\"",
            "\"rediss://ann:x@[::1]:6380/3\"",
            "\"nats://a:4222,nats://b:4222\"",
        ]);
        refuses::<BrokerAddress>(&[
            ("6379", "in quotes"),
            ("\"kafka://db\"", "no broker `kafka`"),
            ("\"nat://db\"", "did you mean `nats://`?"),
            ("\"db:6379\"", "did you mean `redis://`?"),
            ("\"db\"", "address"),
        ]);
    }
}
