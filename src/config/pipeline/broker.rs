//! The broker that holds the queues of several machines.

use crate::broker::{Layout, QueueSettings};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// After so many machines that died with an item it becomes a dead letter.
const MAX_DELIVERIES: u32 = 20;

/// `broker` or `[broker]`, and what lies there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    /// Where it is. Serialized with the password.
    #[serde(with = "whole")]
    pub url: BrokerUrl,
    /// How this machine is let in and what it asks of the broker.
    pub access: BrokerAccess,
    /// The shared queues of the whole file by name, also those of stages that run on other machines only.
    pub queues: Vec<QueueSettings>,
    /// For each of these, by their places in the list: the queues whose items become items of it.
    pub before: Vec<Vec<u16>>,
}

/// The keys of `[broker]` beside `url`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerAccess {
    /// A file with the password, or `USER:PASSWORD`, in its first line.
    pub credentials_file: Option<PathBuf>,
    /// A file with the certificate authority, as PEM; `None`: those of the machine.
    pub tls_ca: Option<PathBuf>,
    /// What its keys in the broker begin with.
    pub prefix: String,
    /// How long a lease lasts without a word from its machine.
    pub ack_wait: Duration,
    /// Run on settings of the broker under which it may lose items.
    pub allow_loss: bool,
}

/// A file that the way to the broker needs, and why it is of no use: the key, and the reason.
pub(crate) type UnusableFile = (&'static str, String);

impl Broker {
    /// What the machines ask the broker for, of a pipeline of this name.
    pub fn layout(&self, pipeline: &str) -> Layout {
        Layout {
            prefix: self.access.prefix.clone(),
            pipeline: pipeline.to_owned(),
            queues: self.queues.clone(),
            ack_wait: self.access.ack_wait,
            max_deliveries: MAX_DELIVERIES,
        }
    }

    /// The address with what the credentials file says now, and the certificate authority.
    pub fn read_files(&self) -> Result<(BrokerUrl, Option<Vec<u8>>), UnusableFile> {
        let unusable =
            |key, path: &PathBuf, why: &dyn fmt::Display| (key, format!("{}: {why}", path.display()));
        let url = match &self.access.credentials_file {
            None => self.url.clone(),
            Some(path) => {
                let text =
                    fs::read_to_string(path).map_err(|error| unusable("credentials_file", path, &error))?;
                let line = text.lines().next().filter(|line| !line.is_empty());
                let line =
                    line.ok_or_else(|| unusable("credentials_file", path, &"its first line is empty"))?;
                match line.split_once(':') {
                    Some((user, password)) => self.url.with_user(user).with_password(password),
                    None => self.url.with_password(line),
                }
            }
        };
        let read = |path| fs::read(path).map_err(|error| unusable("tls_ca", path, &error));
        Ok((url, self.access.tls_ca.as_ref().map(read).transpose()?))
    }
}

/// The address of a broker. It shows itself without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(Url);

impl BrokerUrl {
    /// The ways to a broker, each as an address begins.
    pub const SCHEMES: [&'static str; 2] = ["redis", "rediss"];

    /// Reads an address; the error names no part that may be secret.
    pub fn parse(text: &str) -> Result<BrokerUrl, String> {
        let url = Url::parse(text).map_err(|error| format!("no address of a broker: {error}"))?;
        if !Self::SCHEMES.contains(&url.scheme()) {
            return Err(format!("there is no broker `{}`", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the address has no host".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the address has more than a host, a port and a database".into());
        }
        let database = url.path().trim_matches('/');
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return Err("the database behind the address is no number".into());
        }
        Ok(BrokerUrl(url))
    }

    /// Whole, with the password: only for the broker itself.
    pub fn with_secrets(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a text holds an address with its password.
    pub fn is_password_in(&self, text: &str) -> bool {
        self.0.password().is_some_and(|password| text.contains(&format!(":{password}@")))
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    fn with_user(&self, user: &str) -> BrokerUrl {
        let mut url = self.0.clone();
        // It is refused only where an address has no host, and this one has a host.
        let _ = url.set_username(&escaped(user));
        BrokerUrl(url)
    }

    fn with_password(&self, password: &str) -> BrokerUrl {
        let mut url = self.0.clone();
        let _ = url.set_password(Some(&escaped(password)));
        BrokerUrl(url)
    }

    /// Whether the way to it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "rediss"
    }
}

/// An address as it is handed to another process of ours.
mod whole {
    use super::BrokerUrl;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(url: &BrokerUrl, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(url.with_secrets())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BrokerUrl, D::Error> {
        BrokerUrl::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// `Url` takes a percent sign for the beginning of an escape, and escapes the rest itself.
fn escaped(text: &str) -> String {
    text.replace('%', "%25")
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        let _ = shown.set_password(None);
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_password() {
        let url = BrokerUrl::parse("redis://ann:s3cret@db:6379/2").unwrap();
        for shown in [format!("{url}"), format!("{url:?}")] {
            assert!(shown.contains("ann@db:6379/2") && !shown.contains("s3cret"), "{shown}");
        }
        assert_eq!(url.with_secrets(), "redis://ann:s3cret@db:6379/2");
        let other = BrokerUrl::parse("redis://db").unwrap().with_user("b%b").with_password("p:@/%");
        assert_eq!(other.with_secrets(), "redis://b%25b:p%3A%40%2F%25@db");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_it() {
        for (text, wrong) in [
            ("db:6379", "no broker `db`"),
            ("10.0.0.5", "relative URL"),
            ("redis:///0", "no host"),
            ("http://:s3cret@db", "no broker `http`"),
            ("redis://:s3cret@db:66000", "invalid port"),
            ("redis://:s3cret@db/jobs", "no number"),
            ("redis://:s3cret@db?timeout=1", "more than a host"),
        ] {
            let error = BrokerUrl::parse(text).unwrap_err();
            assert!(error.contains(wrong) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
