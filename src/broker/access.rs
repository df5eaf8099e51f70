//! Where a broker is, and what it lets in.

use std::fmt;

/// Shown without what is secret.
#[derive(Clone)]
pub struct Access {
    /// The address, with user and password if it needs them; several with commas between.
    pub url: String,
    /// The certificate authority, as PEM; `None`: those of this machine.
    pub tls_ca: Option<Vec<u8>>,
    /// A user's credentials as `nsc` writes them: a signed name and its key. For NATS.
    pub credentials: Option<String>,
}

impl Access {
    /// With nothing but an address.
    pub fn at(url: impl Into<String>) -> Access {
        Access { url: url.into(), tls_ca: None, credentials: None }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}
