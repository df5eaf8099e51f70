//! Where a broker is, and what it lets in.

use super::fault::answer_timeout;
use std::fmt;
use std::time::Duration;

/// Shown without what is secret.
#[derive(Clone)]
pub struct Access {
    /// The address, with user and password if it needs them; several with commas between.
    pub url: String,
    /// The certificate authority, as PEM; `None`: those of this machine.
    pub tls_ca: Option<Vec<u8>>,
    /// A user's credentials as `nsc` writes them: a signed name and its key. For NATS.
    pub credentials: Option<String>,
    /// How long an answer is waited for.
    pub answer_timeout: Duration,
}

impl Access {
    /// With nothing but an address.
    pub fn at(url: impl Into<String>) -> Access {
        let answer_timeout = answer_timeout(Duration::ZERO);
        Access { url: url.into(), tls_ca: None, credentials: None, answer_timeout }
    }

    /// Where leases last that long. A cable on which a request takes long needs long leases, too.
    pub fn with_leases_of(self, ack_wait: Duration) -> Access {
        Access { answer_timeout: answer_timeout(ack_wait), ..self }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}
