//! TLS to a server that the certificate authorities of this machine vouch for.

use super::endpoint::Endpoint;
use crate::stage::Failure;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};
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

/// Why a server is not trusted, and what to do, for what happens to a certificate; `None` for what is rarer.
pub(super) fn in_words(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(
            "the server speaks another protocol at this port: write its port of https, or `http://`"
                .to_owned(),
        ),
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> Option<String> {
    let clock = "or set the clock of this machine, if it is wrong";
    Some(match error {
        CertificateError::UnknownIssuer => {
            "the server's certificate is from no certificate authority that this machine trusts: add that authority, or name the file \
             with its certificate in SSL_CERT_FILE"
                .to_owned()
        }
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate was not signed by the certificate authority of that name which this machine trusts: add the one \
             that signed it, or name the file with its certificate in SSL_CERT_FILE"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate has expired: renew it, {clock}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the server's certificate is not valid yet: wait, {clock}")
        }
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            format!(
                "the server's certificate is for {}, not for the host in `url`: write a host that it is for",
                names.join(", ")
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate names no host: it needs the one in `url` as `subjectAltName`".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not one for servers: it needs `extendedKeyUsage = serverAuth`".to_owned()
        }
        // rustls hands this one on as it is.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server's certificate is that of a certificate authority, which is none for servers (`openssl req -x509` makes such): \
             make it anew with `-addext basicConstraints=critical,CA:FALSE`, or have one issued by the authority"
                .to_owned()
        }
        _ => return None,
    })
}

/// A name of a certificate as rustls shows it: `DnsName("db.local")`, `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::OtherError;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_plain_words() {
        let presented = vec!["DnsName(\"db.local\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()];
        let named = |presented| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a").unwrap(),
            presented,
        };
        let other =
            |text: &str| CertificateError::Other(OtherError(Arc::new(io::Error::other(text.to_owned()))));
        for (error, words) in [
            (CertificateError::UnknownIssuer, Some("SSL_CERT_FILE")),
            (CertificateError::BadSignature, Some("SSL_CERT_FILE")),
            (CertificateError::Expired, Some("has expired: renew it")),
            (CertificateError::NotValidYet, Some("not valid yet")),
            (named(presented), Some("is for db.local, 127.0.0.1, not for the host in `url`")),
            (named(Vec::new()), Some("`subjectAltName`")),
            (CertificateError::InvalidPurpose, Some("not one for servers")),
            (other("CaUsedAsEndEntity"), Some("CA:FALSE")),
            (CertificateError::Revoked, None),
            (other("x"), None),
        ] {
            let shown = in_words(&io::Error::other(Error::InvalidCertificate(error.clone())));
            assert_eq!(shown.is_some(), words.is_some(), "{error:?}");
            assert!(shown.unwrap_or_default().contains(words.unwrap_or_default()), "{error:?}");
        }
    }
}
