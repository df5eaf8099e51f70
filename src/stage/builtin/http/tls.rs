//! TLS to a server that the certificate authorities of this machine vouch for.

use super::endpoint::Endpoint;
use crate::stage::Failure;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// # Errors
    /// When the machine has no certificate authority: then nothing can be trusted.
    pub(super) fn open(endpoint: &Endpoint) -> Result<Tls, Failure> {
        let (roots, errors) = authorities().map_err(Failure::fatal)?;
        for error in errors {
            log::warn!(
                "of the certificate authorities some can't be read: {error} (SSL_CERT_FILE, SSL_CERT_DIR)"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = match &endpoint.host {
            Host::Domain(name) => ServerName::try_from(name.clone())?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        };
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// Those of this machine, and why others can't be read.
///
/// # Errors
/// When there is none: then nothing can be trusted.
pub(super) fn authorities() -> Result<(RootCertStore, Vec<rustls_native_certs::Error>), String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    if let (0, _) = roots.add_parsable_certificates(found.certs) {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!(
            "no certificate authority was found on this machine{why} (Debian: the package ca-certificates, or SSL_CERT_FILE)"
        ));
    }
    Ok((roots, found.errors))
}
