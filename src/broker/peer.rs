//! What answers at an address where the broker that it names does not: the scheme or the port is another's.

use super::{Access, BrokerKind, Fault};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

/// A connection that is good takes less; one to another server may wait for an answer that never comes.
const SUSPICIOUS: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What was heard at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Redis,
    Nats {
        has_tls: bool,
    },
    /// A Redis in its protected mode, which answers this machine nothing else.
    Guarded,
    /// A Redis with as many clients as it takes.
    Crowded,
    /// Only TLS is heard, and not what is behind it.
    Tls,
    Http,
}

/// Does the work. Where it can't reach the broker, or takes long for that, looks what answers there.
pub(super) async fn or_wrong_peer<T>(
    access: &Access,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut work = pin!(work);
    let Ok(done) = timeout(SUSPICIOUS, &mut work).await else {
        return tokio::select! {
            biased;
            done = &mut work => done,
            Some(wrong) = wrong_peer(access) => Err(wrong),
        };
    };
    match done {
        Err(Fault::Away(why)) if why.contains("UnknownIssuer") => {
            let scheme = if access.url.starts_with("nats:") {
                ", behind an address that begins with `tls://`"
            } else {
                ""
            };
            Err(Fault::Away(format!(
                "its certificate is signed by no authority that this machine knows: name the authority's file in `tls_ca`{scheme}"
            )))
        }
        Err(Fault::Away(why)) => Err(wrong_peer(access).await.unwrap_or(Fault::Away(why))),
        done => done,
    }
}

/// `None`: it is the broker, or nothing can be told.
async fn wrong_peer(access: &Access) -> Option<Fault> {
    let url = Url::parse(access.url.split(',').next()?.trim()).ok()?;
    let kind = BrokerKind::of_scheme(url.scheme())?;
    let port = url.port().unwrap_or(if kind == BrokerKind::Redis { 6379 } else { 4222 });
    // Of a v6 address without the brackets.
    let host = url.host_str()?.trim_matches(['[', ']']);
    let peer = listen(host, port).await?;
    let place = format!("{}:{port}", url.host_str()?);
    let words = words(url.scheme(), peer)?.replace("HERE", &place);
    Some(match peer {
        Peer::Crowded => Fault::Away(words),
        Peer::Guarded => Fault::Denied(words),
        _ => Fault::Fatal(words),
    })
}

/// What is wrong at the address, HERE, and what to write. `None`: nothing.
fn words(scheme: &str, peer: Peer) -> Option<&'static str> {
    Some(match (scheme, peer) {
        ("redis" | "rediss", Peer::Nats { has_tls: false }) => "HERE is a NATS server: write `nats://HERE`",
        ("redis" | "rediss", Peer::Nats { has_tls: true }) => {
            "HERE is a NATS server with TLS: write `tls://HERE`"
        }
        ("nats" | "tls", Peer::Redis | Peer::Guarded | Peer::Crowded) => {
            "HERE is a Redis server: write `redis://HERE`"
        }
        ("redis" | "rediss", Peer::Guarded) => {
            "HERE is in its protected mode, which takes clients of its own machine alone: give it a password (`requirepass`), or an ACL"
        }
        ("redis" | "rediss", Peer::Crowded) => "HERE has as many clients as it takes (`maxclients`)",
        ("redis", Peer::Tls) => "HERE speaks TLS: write `rediss://HERE`",
        ("rediss", Peer::Redis) => "HERE speaks no TLS: write `redis://HERE`, or the server's `tls-port`",
        ("tls", Peer::Nats { has_tls: false }) => {
            "HERE speaks no TLS: write `nats://HERE`, or give the server's file a `tls { }`"
        }
        ("nats" | "tls", Peer::Tls) => {
            "HERE speaks TLS from the first byte, as a Redis server does: write `rediss://HERE`, or take `handshake_first` out of \
             the NATS server's file"
        }
        (_, Peer::Http) => "HERE is a web server: write the broker's own port",
        _ => return None,
    })
}

async fn connect(host: &str, port: u16) -> Option<TcpStream> {
    timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await.ok()?.ok()
}

async fn listen(host: &str, port: u16) -> Option<Peer> {
    let mut plain = connect(host, port).await?;
    // A NATS server speaks first, and takes this too. None is waited for that says nothing by itself: a Redis that loads what it had
    // would be asked again seconds late.
    if plain.write_all(b"PING\r\n").await.is_ok()
        && let Some(peer) = heard(&answer(&mut plain).await)
    {
        return Some(peer);
    }
    let mut tls = connect(host, port).await?;
    tls.write_all(&hello(host)?).await.ok()?;
    heard(&answer(&mut tls).await)
}

async fn answer(from: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    let length = timeout(ANSWER_TIMEOUT, from.read(&mut bytes)).await;
    bytes.truncate(length.ok().and_then(Result::ok).unwrap_or(0));
    bytes
}

fn heard(bytes: &[u8]) -> Option<Peer> {
    match bytes {
        // A handshake, or an alert.
        [0x15 | 0x16, 3, ..] => Some(Peer::Tls),
        bytes if bytes.starts_with(b"-DENIED ") => Some(Peer::Guarded),
        bytes if bytes.starts_with(b"-ERR max number of clients") => Some(Peer::Crowded),
        [b'+' | b'-', ..] => Some(Peer::Redis),
        // Without a head where it takes our line for an old one's.
        bytes if bytes.starts_with(b"HTTP/") || bytes.starts_with(b"<") => Some(Peer::Http),
        bytes if bytes.starts_with(b"INFO {") => {
            let text = String::from_utf8_lossy(bytes);
            let has_tls = ["\"tls_required\":true", "\"tls_available\":true"];
            Some(Peer::Nats { has_tls: has_tls.iter().any(|it| text.contains(it)) })
        }
        _ => None,
    }
}

/// How a client of TLS begins.
fn hello(host: &str) -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_first_bytes() {
        for (bytes, peer) in [
            (&b"INFO {\"tls_required\":true}\r\n"[..], Some(Peer::Nats { has_tls: true })),
            (b"INFO {\"version\":\"2.9\"}\r\n", Some(Peer::Nats { has_tls: false })),
            (b"+PONG\r\n", Some(Peer::Redis)),
            (b"-NOAUTH Authentication required.\r\n", Some(Peer::Redis)),
            (b"-DENIED Redis is running in protected mode because", Some(Peer::Guarded)),
            (b"-ERR max number of clients reached\r\n", Some(Peer::Crowded)),
            (b"HTTP/1.1 400 Bad Request\r\n", Some(Peer::Http)),
            (&[0x16, 3, 3, 0], Some(Peer::Tls)),
            (b"SSH-2.0-OpenSSH", None),
            (b"", None),
        ] {
            assert_eq!(heard(bytes), peer, "{bytes:?}");
        }
        assert_eq!(&hello("127.0.0.1").unwrap()[..2], [0x16, 3]);
    }

    #[test]
    fn nothing_is_wrong_with_the_broker_that_was_meant() {
        for (scheme, peer) in [
            ("redis", Peer::Redis),
            ("rediss", Peer::Tls),
            ("nats", Peer::Nats { has_tls: false }),
            // The client goes over to TLS by itself.
            ("nats", Peer::Nats { has_tls: true }),
            ("tls", Peer::Nats { has_tls: true }),
        ] {
            assert_eq!(words(scheme, peer), None, "{scheme}");
        }
    }
}
