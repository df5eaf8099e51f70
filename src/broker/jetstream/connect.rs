//! The connection to a server. It breaks once: the link makes the next one, by its own back-off.

use crate::broker::{Access, Fault};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use url::Url;

/// A server that accepts a connection and then says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So often it is asked whether it is there, in the time that an answer may take. The third question without an answer ends it.
const PINGS: u32 = 2;

/// A connection, and what it hears of its end.
pub(super) struct Connection {
    pub client: Client,
    pub ends: UnboundedReceiver<Fault>,
}

impl Connection {
    /// What comes first: the work's end, or the connection's.
    pub(super) async fn or_end<T>(
        &mut self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        tokio::select! {
            biased;
            Some(fault) = self.ends.recv() => Err(fault),
            done = work => done,
        }
    }
}

pub(super) async fn connect(access: &Access) -> Result<Connection, Fault> {
    // Not the error's own words: they may hold the address, with its password.
    let unreadable = || Fault::Fatal("the address of the broker can't be read".into());
    let urls = access.url.split(',').map(|url| Url::parse(url.trim()));
    let urls = urls.collect::<Result<Vec<Url>, _>>().map_err(|_| unreadable())?;
    let first = urls.first().ok_or_else(unreadable)?;
    let (sender, ends) = unbounded_channel();
    let options = ConnectOptions::new()
        .name("mprun")
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(access.answer_timeout))
        .ping_interval(access.answer_timeout / PINGS)
        .max_reconnects(urls.len())
        .event_callback(move |event| {
            // Nobody may listen any more.
            let _ = ending(event).map(|fault| sender.send(fault));
            std::future::ready(())
        });
    let options = with_credentials(options, access, first)?;
    let options = with_tls(options, access, first)?;
    let addresses = urls.iter().map(|url| ServerAddr::from_url(bare(url)));
    let addresses = addresses.collect::<Result<Vec<ServerAddr>, _>>().map_err(|_| unreadable())?;
    let client =
        options.connect(addresses).await.map_err(|error| refused(error.kind(), &error.to_string()))?;
    Ok(Connection { client, ends })
}

/// The address without who asks: that is said once, for all servers.
fn bare(url: &Url) -> Url {
    let mut bare = url.clone();
    // Both fail for addresses without a host only.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare
}

fn with_credentials(options: ConnectOptions, access: &Access, url: &Url) -> Result<ConnectOptions, Fault> {
    if let Some(credentials) = &access.credentials {
        let unreadable = |_| Fault::Denied("`credentials_file` holds no credentials of a NATS user".into());
        return options.credentials(credentials).map_err(unreadable);
    }
    let (user, password) = (decoded(url.username()), url.password().map(decoded));
    Ok(match (user.is_empty(), password) {
        (true, None) => options,
        (false, Some(password)) => options.user_and_password(user, password),
        (false, None) => options.token(user),
        (true, Some(password)) => options.token(password),
    })
}

/// What stands in an address as `%40`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &behind[2..]).1,
            None => (bytes.push(*first), rest = behind).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn with_tls(options: ConnectOptions, access: &Access, url: &Url) -> Result<ConnectOptions, Fault> {
    let options = options.require_tls(url.scheme() == "tls");
    let Some(pem) = &access.tls_ca else { return Ok(options) };
    let unreadable = || Fault::Denied("`tls_ca` holds no certificate".into());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
    }
    if roots.is_empty() {
        return Err(unreadable());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Fault::Fatal(error.to_string()))?;
    Ok(options.tls_client_config(config.with_root_certificates(roots).with_no_client_auth()))
}

fn refused(kind: ConnectErrorKind, why: &str) -> Fault {
    match kind {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            Fault::wrong_password()
        }
        ConnectErrorKind::ServerParse => Fault::Fatal("the address of the broker can't be read".into()),
        _ => Fault::Away(why.to_owned()),
    }
}

/// What ends a connection.
fn ending(event: Event) -> Option<Fault> {
    match event {
        Event::Disconnected | Event::Closed => Some(Fault::Away("the connection broke".into())),
        Event::SlowConsumer(_) => Some(Fault::Away("this machine is too slow for what comes".into())),
        Event::ServerError(ServerError::AuthorizationViolation) => Some(Fault::wrong_password()),
        Event::ServerError(ServerError::Other(why))
            if why.to_lowercase().contains("permissions violation") =>
        {
            Some(Fault::Denied(format!("the broker refuses: {why}")))
        }
        Event::Connected
        | Event::LameDuckMode
        | Event::Draining
        | Event::ServerError(_)
        | Event::ClientError(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_in_an_address_is_read() {
        assert_eq!(decoded("w%40rd%25"), "w@rd%");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%C3%A4"), "%zzä");
    }

    #[test]
    fn an_address_tells_nobody_who_asks() {
        assert_eq!(bare(&Url::parse("nats://ann:x@db:4222").unwrap()).as_str(), "nats://db:4222");
    }
}
