//! The broker that holds the queues of several machines.

use crate::broker::{Access, BrokerKind, Layout, QueueSettings};
use crate::secret::is_bare_ipv6;
use crate::text::not_in_address;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use url::{ParseError, Url};

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
    /// A file with the password, or `USER:PASSWORD`, in its first line; for NATS also a user's credentials.
    pub credentials_file: Option<PathBuf>,
    /// A file with the certificate authority, as PEM; `None`: those of the machine.
    pub tls_ca: Option<PathBuf>,
    /// What its keys in the broker begin with.
    pub prefix: String,
    /// How long a lease lasts without a word from its machine.
    pub ack_wait: Duration,
    /// Run on settings of the broker under which it may lose items.
    pub allow_loss: bool,
    /// Servers of a cluster that each keep what is in the queues.
    pub stream_replicas: u8,
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
            replicas: self.access.stream_replicas,
        }
    }

    /// Whether this machine is let in by the same secrets: a file may name others while the pipeline runs.
    pub(crate) fn has_same_way(&self, other: &Broker) -> bool {
        let way = |broker: &Broker| (broker.access.credentials_file.clone(), broker.access.tls_ca.clone());
        self.url == other.url && way(self) == way(other)
    }

    /// The way to it, with what the credentials file says now, and the certificate authority.
    pub fn read_files(&self) -> Result<Access, UnusableFile> {
        let unusable =
            |key, path: &PathBuf, why: &dyn fmt::Display| (key, format!("{}: {why}", path.display()));
        let mut access = Access::at(self.url.with_secrets()).with_leases_of(self.access.ack_wait);
        if let Some(path) = &self.access.credentials_file {
            let text =
                fs::read_to_string(path).map_err(|error| unusable("credentials_file", path, &error))?;
            let line = text.lines().next().filter(|line| !line.is_empty());
            let line = line.ok_or_else(|| unusable("credentials_file", path, &"its first line is empty"))?;
            match line.split_once(':') {
                _ if self.url.kind() == BrokerKind::Nats && line.starts_with(CREDENTIALS) => {
                    access.credentials = Some(text);
                }
                Some((user, password)) => {
                    access.url = self.url.with_user(user).with_password(password).with_secrets();
                }
                None => access.url = self.url.with_password(line).with_secrets(),
            }
        }
        let read = |path| fs::read(path).map_err(|error| unusable("tls_ca", path, &error));
        access.tls_ca = self.access.tls_ca.as_ref().map(read).transpose()?;
        Ok(access)
    }
}

/// The addresses of a broker: those of a cluster have several. They show themselves without what is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// User and password stand here alone.
    first: Url,
    others: Vec<Url>,
}

impl BrokerUrl {
    /// Reads an address, or several with commas between; the error names no part that may be secret.
    pub fn parse(text: &str) -> Result<BrokerUrl, String> {
        let has_scheme = |part: &str| part.contains("://");
        if has_scheme(text)
            && let Some(part) = text.split(',').find(|part| !has_scheme(part))
        {
            let each = "each of several addresses begins with the broker, such as `nats://`";
            return Err(if part.contains('@') { ESCAPED } else { each }.into());
        }
        let mut urls = text.split(',').map(|text| parse_one(text.trim()));
        let first = urls.next().transpose()?.ok_or_else(|| "no address of a broker".to_owned())?;
        let others = urls.collect::<Result<Vec<Url>, String>>()?;
        if others.iter().any(|url| url.scheme() != first.scheme()) {
            return Err("all addresses of a broker begin with the same word".into());
        }
        let has_user = |url: &Url| !url.username().is_empty() || url.password().is_some();
        if others.iter().any(has_user) {
            return Err("user and password stand in the first address alone".into());
        }
        let url = BrokerUrl { first, others };
        if url.kind() == BrokerKind::Redis && !url.others.is_empty() {
            return Err("Redis has one address here: write that of the server, or one that a failover hands on to the next".into());
        }
        Ok(url)
    }

    /// Which broker it is.
    pub fn kind(&self) -> BrokerKind {
        BrokerKind::of_scheme(self.first.scheme()).unwrap_or(BrokerKind::Redis) // `parse` has let in no other
    }

    fn joined(&self, first: &Url) -> String {
        let others = self.others.iter().map(Url::as_str);
        [first.as_str()].into_iter().chain(others).collect::<Vec<_>>().join(",")
    }

    /// Whole, with the password: only for the broker itself.
    pub fn with_secrets(&self) -> String {
        self.joined(&self.first)
    }

    /// A user without a password is a token of NATS.
    fn has_token(&self) -> bool {
        let has_password = self.first.password().is_some_and(|password| !password.is_empty());
        self.kind() == BrokerKind::Nats && !has_password && !self.first.username().is_empty()
    }

    /// Whether a text holds an address with its password.
    pub fn is_password_in(&self, text: &str) -> bool {
        let is_token_in = self.has_token() && text.contains(&format!("//{}@", self.first.username()));
        is_token_in || self.first.password().is_some_and(|password| text.contains(&format!(":{password}@")))
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        self.has_token() || self.first.password().is_some()
    }

    fn with_user(&self, user: &str) -> BrokerUrl {
        let mut url = self.clone();
        // It is refused only where an address has no host, and this one has a host.
        let _ = url.first.set_username(&escaped(user));
        url
    }

    fn with_password(&self, password: &str) -> BrokerUrl {
        let mut url = self.clone();
        let _ = url.first.set_password(Some(&escaped(password)));
        url
    }

    /// Whether the way to it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        ["rediss", "tls"].contains(&self.first.scheme())
    }
}

/// An address would be read as another one, or not at all.
const ESCAPED: &str = "a `/`, `?`, `#` or `,` of a user or a password is written `%2F`, `%3F`, `%23` or `%2C`; a `credentials_file` has \
                       them as they are";

const BRACKETS: &str = "an IPv6 address stands in brackets, such as `redis://[::1]:6379`";

/// What is wrong at the signs that divide an address, and what to write.
fn slip(text: &str) -> Option<&'static str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    if !authority.is_empty() && rest[authority.len()..].contains('@') {
        return Some(ESCAPED);
    }
    is_bare_ipv6(host).then_some(BRACKETS)
}

fn parse_one(text: &str) -> Result<Url, String> {
    if let Some(wrong) = not_in_address(text) {
        return Err(format!("the address {wrong}"));
    }
    if let Some(slip) = slip(text) {
        return Err(slip.into());
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::EmptyHost => "the address has no host".into(),
        ParseError::InvalidPort => "the port of the address is no number up to 65535".into(),
        ParseError::InvalidIpv6Address => BRACKETS.into(),
        ParseError::RelativeUrlWithoutBase => "the address does not say which broker it is of".into(),
        error => format!("no address of a broker: {error}"),
    })?;
    let kind = BrokerKind::of_scheme(url.scheme())
        .ok_or_else(|| format!("there is no broker `{}`", url.scheme()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the address has no host".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the address has more than a host, a port and a database".into());
    }
    let database = url.path().trim_matches('/');
    if kind == BrokerKind::Nats && !database.is_empty() {
        return Err("the address has more than a host and a port".into());
    }
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err("the database behind the address is no number".into());
    }
    Ok(url)
}

/// An address as it is handed to another process of ours.
mod whole {
    use super::BrokerUrl;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(url: &BrokerUrl, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&url.with_secrets())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BrokerUrl, D::Error> {
        BrokerUrl::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// How the file of a NATS user's credentials begins.
const CREDENTIALS: &str = "-----BEGIN";

/// `Url` takes a percent sign for the beginning of an escape, and escapes the rest itself.
fn escaped(text: &str) -> String {
    text.replace('%', "%25")
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.first.clone();
        if self.has_token() {
            let _ = shown.set_username("");
        }
        let _ = shown.set_password(None);
        f.write_str(&self.joined(&shown))
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
    fn a_cluster_has_several_addresses_and_a_token_is_a_secret() {
        let url = BrokerUrl::parse("nats://ann:s3cret@a:4222, nats://b:4222").unwrap();
        assert_eq!(
            (url.to_string(), url.kind()),
            ("nats://ann@a:4222,nats://b:4222".into(), BrokerKind::Nats)
        );
        assert_eq!(url.with_secrets(), "nats://ann:s3cret@a:4222,nats://b:4222");
        let token = BrokerUrl::parse("tls://t0ken@a").unwrap();
        assert!(token.has_password() && token.is_encrypted() && token.is_password_in("x tls://t0ken@a"));
        assert_eq!(token.to_string(), "tls://a");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_it() {
        for (text, wrong) in [
            ("db:6379", "no broker `db`"),
            ("10.0.0.5", "does not say which broker"),
            ("redis:///0", "no host"),
            ("redis://", "no host"),
            ("redis://::1:7601", "`redis://[::1]:6379`"),
            ("nats://:s3cret@fe80::1", "in brackets"),
            ("redis://[::1:7601", "in brackets"),
            ("redis://ann:s3/cret@db:6379", "`%2F`"),
            ("redis://ann:12/s3cret@db:6379", "`%2F`"),
            ("tls://s3cret#@db", "`%23`"),
            ("nats://ann:s3cret?@db/0", "`%3F`"),
            ("redis://ann:s3cret,x@db", "`%2C`"),
            ("nats://:s3cret@a:4222,b:4222", "each of several addresses"),
            ("http://:s3cret@db", "no broker `http`"),
            ("redis://:s3cret@db:66000", "no number up to 65535"),
            ("redis://:s3cret@db/jobs", "no number"),
            ("redis://:s3cret@db?timeout=1", "more than a host"),
            ("nats://:s3cret@db/jobs", "more than a host and a port"),
            ("nats://:s3cret@a,tls://b", "same word"),
            ("nats://a,nats://:s3cret@b", "first address alone"),
            ("redis://:s3cret@a,redis://b", "one address"),
            ("redis://:s3cret@a\n/1", "the address has U+000A as character 18"),
            ("redis://:s3cret@a\\1", "a backslash"),
            ("redis://:s3cret@a,redis://b", "one address here: write"),
        ] {
            let error = BrokerUrl::parse(text).unwrap_err();
            assert!(error.contains(wrong) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
