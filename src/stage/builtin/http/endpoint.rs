//! Where requests go.

use crate::stage::Setting;
use crate::text::not_in_address;
use data_encoding::BASE64;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use std::fmt;
use url::{Host, Url};

/// An address of http or https, taken apart. It shows itself as host and port only: its path may be a secret, too.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub host: Host<String>,
    pub port: u16,
    pub is_encrypted: bool,
    /// Path and query, as a request names them.
    pub target: String,
    /// What the user and the password in the address come to.
    pub authorization: Option<HeaderValue>,
    /// The password, and the same as it is sent.
    pub secrets: Vec<String>,
}

impl Endpoint {
    fn read(text: &str) -> Result<Endpoint, String> {
        if let Some(wrong) = not_in_address(text) {
            return Err(wrong);
        }
        // Not the text itself: it may hold a password.
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => {
                "needs \"http://\" or \"https://\" at its beginning".to_owned()
            }
            error => format!("is no address: {error}"),
        })?;
        let is_encrypted = match url.scheme() {
            "http" => false,
            "https" if cfg!(feature = "https") => true,
            "https" => return Err("asks for https, which this mprun was built without".to_owned()),
            other => {
                return Err(format!("needs \"http://\" or \"https://\" at its beginning, not \"{other}:\""));
            }
        };
        // `Url` takes any number of slashes for two.
        if !text[url.scheme().len()..].starts_with("://") {
            return Err(format!("needs \"{}://\" at its beginning", url.scheme()));
        }
        if text[url.scheme().len() + 3..].starts_with('/') {
            return Err("has no host".to_owned());
        }
        if url.fragment().is_some() {
            return Err("has a part behind `#`, which no server ever sees".to_owned());
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("has no host".to_owned());
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (authorization, secrets) = credentials(&url)?;
        Ok(Endpoint {
            host: host.to_owned(),
            port,
            is_encrypted,
            target: format!("{}{query}", url.path()),
            authorization,
            secrets,
        })
    }

    /// As the `Host` header has it: without the port that is meant anyway.
    pub(super) fn authority(&self) -> String {
        match (self.is_encrypted, self.port) {
            (false, 80) | (true, 443) => self.host.to_string(),
            _ => self.to_string(),
        }
    }
}

fn credentials(url: &Url) -> Result<(Option<HeaderValue>, Vec<String>), String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok((None, Vec::new()));
    }
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let sent = BASE64.encode(&[&user[..], b":", &password[..]].concat());
    let mut value = HeaderValue::from_str(&format!("Basic {sent}")).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    let mut secrets = vec![sent];
    secrets.extend(url.password().map(str::to_owned));
    secrets.push(String::from_utf8_lossy(&password).into_owned());
    Ok((Some(value), secrets))
}

/// `%40` is an at sign.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Setting for Endpoint {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://.|\\$\\{", "examples": ["https://example.com/events"] })
    }

    fn parse(written: &Value) -> Result<Endpoint, String> {
        match written {
            Value::String(text) => Endpoint::read(text),
            _ => Err("takes an address in quotes".to_owned()),
        }
    }

    fn show(&self) -> Value {
        json!(self.to_string())
    }

    fn placeholder() -> Endpoint {
        Endpoint {
            host: Host::Domain("localhost".to_owned()),
            port: 80,
            is_encrypted: false,
            target: "/".to_owned(),
            authorization: None,
            secrets: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let of = |text: &str| Endpoint::read(text).unwrap();
        let plain = of("http://db.local/a%20b?c=d");
        assert_eq!((plain.to_string(), plain.authority()), ("db.local:80".into(), "db.local".into()));
        assert_eq!((plain.target.as_str(), plain.is_encrypted), ("/a%20b?c=d", false));
        let odd = of("https://ann:s%40c@[::1]:8443");
        assert_eq!((odd.authority(), odd.target.as_str()), ("[::1]:8443".into(), "/"));
        assert_eq!(odd.authorization.unwrap(), format!("Basic {}", BASE64.encode(b"ann:s@c")));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_its_password() {
        for (text, wrong) in [
            ("db/x", "at its beginning"),
            ("ftp://ann:s3cret@db", "not \"ftp:\""),
            ("http://", "empty host"),
            ("http://ann:s3cret@db:99999", "invalid port"),
            ("http://:s3cret@db/#x", "behind `#`"),
            ("http://:s3cret@db/a\r\nb", "has U+000D as character 20, which no address has"),
            ("http://:s3cret@db/x\u{1}", "has U+0001 as character 20"),
            ("http://:s3cret@db/x\n", "leave it out, or write `%0A`"),
            (" http://:s3cret@db/x", "has a blank as character 1"),
            ("http://:s3cret@db/ä b", "write `%20`"),
            ("http://:s3cret@db/\u{a0}", "write `%C2%A0`"),
            ("http://:s3cret@db\\x", "has a backslash as character 18"),
            ("http:db", "needs \"http://\""),
            ("https:/db", "needs \"https://\""),
            ("http:///db", "has no host"),
        ] {
            let error = Endpoint::read(text).err().unwrap();
            assert!(error.contains(wrong) && !error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn percent_escapes_are_read_where_they_are_whole() {
        for (text, bytes) in [("a%40b", "a@b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%25", "%")] {
            assert_eq!(decoded(text), bytes.as_bytes());
        }
    }
}
