//! Where a service is looked at from outside, and what it is to say: `ready` and `health`.

use hyper::Uri;
use regex::bytes::Regex;
use serde_json::{Value, json};

use super::{Element, or_variable, read_text, reject, wrong_kind};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;
use crate::secret;

/// `tcp`: a host and a port, or a port of this machine.
pub(crate) struct TcpAddress;

/// `http`: an address without encryption.
pub(crate) struct HttpUrl;

/// `line`: a regular expression.
pub(crate) struct LinePattern;

impl Element for TcpAddress {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        if let Some(number) = node.integer() {
            let port = u16::try_from(number).ok().filter(|port| *port > 0);
            if port.is_none() {
                report.push(reject::<Self>(node, format!("there is no port {number}")));
            }
            return port.map(|port| format!("localhost:{port}"));
        }
        let Some(text) = node.text() else {
            report.push(wrong_kind::<Self>(node, "an address"));
            return None;
        };
        if let Some(rest) = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme)) {
            let fault = reject::<Self>(node, "an address for `tcp` has no scheme");
            let host = rest.split('/').next().unwrap_or_default();
            report.push(fault.did_you_mean(parse_address(host).ok().map(|_| format!("\"{host}\""))));
            return None;
        }
        parse_address(text).map_err(|title| report.push(reject::<Self>(node, title))).ok()
    }

    fn accepted() -> String {
        r#"a host and a port, such as "127.0.0.1:5432", "[::1]:80" or "db:5432", or a port of this machine, such as 5432"#
            .into()
    }

    fn schema() -> Value {
        let address =
            json!({ "type": "string", "pattern": r"^.+:.+$|^[0-9]+$|\$\{", "examples": ["127.0.0.1:5432"] });
        json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, address] })
    }

    fn written(address: &String) -> Value {
        address.as_str().into()
    }
}

/// `{worker}` may stand for a part of either.
fn parse_address(text: &str) -> Result<String, String> {
    let first = text.replace("{worker}", "0");
    if !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_address(&format!("localhost:{text}")); // a port of this machine, as from a variable
    }
    let (host, port) = first.rsplit_once(':').ok_or_else(|| format!("{} has no port", quote(text)))?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if inner.unwrap_or(host).is_empty() || host.contains(char::is_whitespace) {
        return Err(format!("{} has no host", quote(text)));
    }
    if inner.is_none() && host.contains(':') {
        return Err(format!("{}: an IPv6 address stands in brackets", quote(text)));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(text.to_owned()),
        Ok(0) | Err(_) => Err(format!("{}: there is no port {}", quote(text), quote(port))),
    }
}

impl Element for HttpUrl {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        let text = node.text().unwrap_or_default();
        if text.starts_with("https://") {
            let fault = reject::<Self>(node, "`http` speaks no TLS");
            let help = format!("a program that does can look: command = [\"curl\", \"-fsS\", \"{text}\"]");
            report.push(fault.help(help));
            return None;
        }
        read_text::<Self>(node, report, "an address in quotes", parse_url)
    }

    fn accepted() -> String {
        r#"an address, such as "http://127.0.0.1:8080/health""#.into()
    }

    fn schema() -> Value {
        let examples = ["http://127.0.0.1:8080/health"];
        json!({ "type": "string", "pattern": r"^http://|\$\{", "examples": examples })
    }

    fn written(url: &String) -> Value {
        url.as_str().into()
    }
}

fn parse_url(text: &str) -> Result<String, String> {
    let shown = || quote(&secret::hidden_in_address(text));
    let first = text.replace("{worker}", "0");
    let Some(rest) = first.strip_prefix("http://") else {
        return Err(format!("{} does not begin with `http://`", shown()));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(format!("{}: a user name has no place here", shown()));
    }
    if authority.contains(':') && !authority.ends_with(']') {
        parse_address(&secret::hidden_in_address(authority))?;
    }
    match first.parse::<Uri>() {
        Ok(url) if url.host().is_some_and(|host| !host.is_empty()) => Ok(text.to_owned()),
        Ok(_) => Err(format!("{} has no host", shown())),
        Err(error) => Err(format!("{} is no address: {error}", shown())),
    }
}

impl Element for LinePattern {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        read_text::<Self>(node, report, "a regular expression in quotes", |text| match Regex::new(text) {
            _ if text.is_empty() => Err("an empty string".into()),
            Ok(_) => Ok(text.to_owned()),
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Err(format!("{} is no regular expression: {why}", quote(text)))
            }
        })
    }

    fn accepted() -> String {
        r#"a regular expression, which finds a part of a line, such as "listening on port \d+""#.into()
    }

    fn schema() -> Value {
        or_variable(json!({ "type": "string", "minLength": 1 }))
    }

    fn written(pattern: &String) -> Value {
        pattern.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn an_address_has_a_host_and_a_port() {
        accepts::<TcpAddress>(&[
            "\"127.0.0.1:5432\"",
            "\"[::1]:80\"",
            "\"db:80{worker}\"",
            "5432",
            "\"5432\"",
            "\"543{worker}\"",
        ]);
        refuses::<TcpAddress>(&[
            ("\"localhost\"", "has no port"),
            ("\":80\"", "has no host"),
            ("\"::1:80\"", "in brackets"),
            ("\"db:65536\"", "there is no port"),
            ("0", "there is no port 0"),
            ("65536", "there is no port 65536"),
            ("\"65536\"", "there is no port"),
            ("\"http://db:80/x\"", "has no scheme"),
            ("true", "expected an address"),
        ]);
    }

    #[test]
    fn an_address_of_the_web_is_without_encryption() {
        accepts::<HttpUrl>(&["\"http://localhost\"", "\"http://[::1]:80{worker}/health?x=1\""]);
        refuses::<HttpUrl>(&[
            ("\"https://localhost\"", "speaks no TLS"),
            ("\"localhost:80\"", "does not begin"),
            ("\"http://localhost:0/\"", "there is no port"),
            ("\"http:///x\"", "no"),
            ("\"http://a:b@c/\"", "a user name"),
            ("80", "in quotes"),
        ]);
    }

    #[test]
    fn a_pattern_is_a_regular_expression() {
        accepts::<LinePattern>(&["\"ready\"", "'port \\d+'"]);
        refuses::<LinePattern>(&[
            ("\"(\"", "is no regular expression"),
            ("\"\"", "empty"),
            ("1", "in quotes"),
        ]);
    }
}
