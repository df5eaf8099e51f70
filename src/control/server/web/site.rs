//! What is served over TCP at one address: its tokens, and its names.

use super::access::{Client, Right};
use super::links::{Links, VALID};
use super::origin;
use super::token::{Session, Token};
use crate::config::Control;
use crate::control::protocol::{Opened, Reason, Refused};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE};
use log::{Level, log};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use subtle::ConstantTimeEq;

/// In the state folder.
const TOKEN: &str = "token";
const READ_TOKEN: &str = "read-token";
/// The header with the key of a session.
const KEY: &str = "x-mprun-key";

/// See [`self`].
pub(in crate::control::server) struct Site {
    pub(super) address: SocketAddr,
    hosts: Vec<String>,
    /// What is known by its token. A token that could not be read is not there, so no client has it.
    known: Vec<(Right, Token, Session)>,
    links: Mutex<Links>,
}

impl Site {
    /// Reads the tokens, or makes them. Without one no client has its right, and that is logged.
    pub(super) fn open_at(address: SocketAddr, control: &Control, folder: &Path) -> Site {
        let load = |named: &Option<PathBuf>, name: &str| {
            let token = match named {
                Some(path) => read(path),
                None => Token::keep(folder, name),
            };
            let path = named.clone().unwrap_or_else(|| folder.join(name));
            let fault = |error| {
                log!(target: "mprun", Level::Error, "control over TCP: no token in {}: {error}", path.display());
            };
            token.map_err(fault).ok()
        };
        let (mut all, look) = (load(&control.token_file, TOKEN), load(&control.read_token_file, READ_TOKEN));
        if all.as_ref().zip(look.as_ref()).is_some_and(|(all, look)| all == look) {
            log!(target: "mprun", Level::Error, "control over TCP: the token for everything is the one for looking, too: it is good for looking only");
            all = None;
        }
        let tokens = [(Right::All, all), (Right::Look, look)];
        let with_session = |(right, token): (Right, Option<Token>)| {
            let token = token?;
            let session = token.session();
            Some((right, token, session))
        };
        let known = tokens.into_iter().filter_map(with_session).collect();
        Site { address, hosts: control.hosts.clone(), known, links: Mutex::default() }
    }

    /// What the client may do.
    ///
    /// # Errors
    /// When the request does not come from where it says.
    pub(in crate::control::server) fn client(&self, headers: &HeaderMap) -> Result<Client, Refused> {
        origin::check(headers, &self.hosts)?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // Another scheme is for a proxy that asks for a password of its own.
        let shown = text(AUTHORIZATION.as_str()).and_then(|shown| shown.split_once(' '));
        if let Some((_, token)) = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
            let right = self.right_of(token.trim());
            return Ok(Client { right, session: right });
        }
        let mut client = Client { right: Right::Nothing, session: Right::Nothing };
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        for pair in cookies.flat_map(|cookies| cookies.split(';')) {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            let Some((right, _, session)) = self.known.iter().find(|(_, _, session)| session.name == name)
            else {
                continue;
            };
            if is(&session.cookie, value) {
                let key = text(KEY).unwrap_or_default();
                client.session = *right;
                client.right = if is(&session.key, key) { *right } else { client.right };
            }
            // With two sessions the key decides.
            if client.right != Right::Nothing {
                break;
            }
        }
        Ok(client)
    }

    fn right_of(&self, token: &str) -> Right {
        // Each is compared, so that the time tells nothing. The first has the larger right.
        self.known.iter().fold(Right::Nothing, |found, (right, own, _)| match own.is(token) {
            true if found == Right::Nothing => *right,
            _ => found,
        })
    }

    /// Those that wait there are good here from now on.
    pub(super) fn take_links(&self, other: &Site) {
        *self.lock() = std::mem::take(&mut *other.lock());
    }

    pub(super) fn has_tokens_of(&self, other: &Site) -> bool {
        let tokens = |site: &'_ Site| -> Vec<(Right, Token)> {
            site.known.iter().map(|(right, token, _)| (*right, *token)).collect()
        };
        tokens(self) == tokens(other)
    }

    /// The address of the page.
    pub(in crate::control::server) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address for a browser of this machine: one for all addresses of the machine can't be opened.
    fn base_of_links(&self) -> String {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("http://{address}")
    }

    /// A link that opens the page once.
    ///
    /// # Errors
    /// When there is no token for that right.
    pub(in crate::control::server) fn open(&self, read_only: bool) -> Result<Opened, Refused> {
        let right = if read_only { Right::Look } else { Right::All };
        if !self.known.iter().any(|(known, _, _)| *known == right) {
            return Err(Refused::new(Reason::Failed, "there is no token: see the log"));
        }
        let code = self.lock().add(right, Instant::now());
        let code = code.map_err(|error| Refused::new(Reason::Failed, error.to_string()))?;
        let base = self.base_of_links();
        // Behind a `#`: it is not sent with the request for the page, and so is in no proxy's log.
        Ok(Opened { base, path: format!("/open#{code}"), seconds: VALID.as_secs() })
    }

    /// The session that a code is exchanged for.
    pub(super) fn redeem(&self, code: &str) -> Option<(Right, &Session)> {
        let right = self.lock().take(code, Instant::now());
        self.known.iter().find(|(known, _, _)| *known == right).map(|(right, _, session)| (*right, session))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is(own: &str, shown: &str) -> bool {
    own.as_bytes().ct_eq(shown.as_bytes()).into()
}

fn read(path: &Path) -> io::Result<Token> {
    let (token, caution) = Token::read(path)?;
    if let Some(caution) = caution {
        log!(target: "mprun", Level::Warn, "control over TCP: {caution}");
    }
    Ok(token)
}
