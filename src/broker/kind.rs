//! Which broker an address names, by how it begins.

use super::{Access, Fault};

/// The brokers that mprun knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    Redis,
    Nats,
}

impl BrokerKind {
    /// The ways to a broker, each as an address begins.
    pub const SCHEMES: [(&'static str, BrokerKind); 4] = [
        ("redis", BrokerKind::Redis),
        ("rediss", BrokerKind::Redis),
        ("nats", BrokerKind::Nats),
        ("tls", BrokerKind::Nats),
    ];

    /// Of an address that begins so.
    pub fn of_scheme(scheme: &str) -> Option<BrokerKind> {
        Self::SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, kind)| *kind)
    }

    /// Whether this build knows it.
    pub fn is_built(self) -> bool {
        match self {
            BrokerKind::Redis => cfg!(feature = "redis"),
            BrokerKind::Nats => cfg!(feature = "nats"),
        }
    }

    /// The setting of the server that says how much it holds.
    pub fn limit(self) -> &'static str {
        match self {
            BrokerKind::Redis => "maxmemory",
            BrokerKind::Nats => "max_file_store",
        }
    }

    /// Bytes of the longest item that a server takes by its own settings: of Redis `proto-max-bulk-len`, 512 MiB with what is beside
    /// the item. `None`: longer ones go in parts.
    pub fn most_item(self) -> Option<u64> {
        match self {
            BrokerKind::Redis => Some(511 << 20),
            BrokerKind::Nats => None,
        }
    }

    /// The feature of the build.
    pub fn feature(self) -> &'static str {
        match self {
            BrokerKind::Redis => "redis",
            BrokerKind::Nats => "nats",
        }
    }

    pub(super) fn of(access: &Access) -> Result<BrokerKind, Fault> {
        let scheme = access.url.split("://").next().unwrap_or_default();
        let kind = Self::of_scheme(scheme).filter(|kind| kind.is_built());
        kind.ok_or_else(|| Fault::Fatal("this mprun was built without this broker".into()))
    }
}
