//! Text: any, or with a form of its own.

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Element, read_text};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;

/// A string that is not empty, as a string or as a path.
pub(crate) struct Word<T = String>(PhantomData<T>);

/// A path that fits into a socket address.
pub(crate) struct SocketPath;

/// An IP address and a port to listen on.
pub(crate) struct Address;

/// `sun_path` on Linux, without its closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

impl<T: Clone + From<String> + AsRef<OsStr>> Element for Word<T> {
    type Output = T;

    fn read(node: &Node, report: &mut Report) -> Option<T> {
        read_text::<Self>(node, report, "a string", |text| match text {
            "" => Err("an empty string".into()),
            text => Ok(text.to_owned().into()),
        })
    }

    fn accepted() -> String {
        "a string, not empty".into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn written(text: &T) -> Value {
        text.as_ref().to_string_lossy().into()
    }
}

impl Element for SocketPath {
    type Output = String;

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        read_text::<Self>(node, report, "a path in quotes", |path| match path {
            "" => Err("an empty path".into()),
            path if path.contains('\0') => Err("a path can't hold a zero byte".into()),
            path if path.len() > LONGEST_SOCKET_PATH => Err("this path is too long".into()),
            path => Ok(path.to_owned()),
        })
    }

    fn accepted() -> String {
        format!("the path of a Unix socket, up to {LONGEST_SOCKET_PATH} bytes")
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_SOCKET_PATH })
    }

    fn written(path: &String) -> Value {
        path.as_str().into()
    }
}

impl Element for Address {
    type Output = SocketAddr;

    fn read(node: &Node, report: &mut Report) -> Option<SocketAddr> {
        read_text::<Self>(node, report, "an address in quotes", |text| {
            text.parse().map_err(|_| format!("{} is no address to listen on", quote(text)))
        })
    }

    fn accepted() -> String {
        r#"an IP address and a port, such as "127.0.0.1:9464" or "[::1]:9464""#.into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^.+:[0-9]+$|\$\{", "examples": ["127.0.0.1:9464"] })
    }

    fn written(address: &SocketAddr) -> Value {
        address.to_string().into()
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

    #[test]
    fn any_text_but_none() {
        accepts::<Word>(&["\"a b\"", "'x'"]);
        refuses::<Word>(&[("\"\"", "an empty string"), ("3", "expected a string")]);
    }
}
