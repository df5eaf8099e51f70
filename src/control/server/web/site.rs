//! What is served over TCP at one address: its tokens, and its names.

use super::access::Right;
use super::origin;
use super::token::Token;
use crate::config::Control;
use crate::control::protocol::Refused;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use log::{Level, log};
use std::io;
use std::path::{Path, PathBuf};

/// In the state folder.
const TOKEN: &str = "token";
const READ_TOKEN: &str = "read-token";

/// See [`self`].
pub(in crate::control::server) struct Site {
    hosts: Vec<String>,
    /// None: it could not be read, so no client has it.
    full: Option<Token>,
    read: Option<Token>,
}

impl Site {
    /// Reads the tokens, or makes them. Without one no client has its right, and that is logged.
    pub(super) fn open(control: &Control, folder: &Path) -> Site {
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
        Site {
            hosts: control.hosts.clone(),
            full: load(&control.token_file, TOKEN),
            read: load(&control.read_token_file, READ_TOKEN),
        }
    }

    /// What the client may do.
    ///
    /// # Errors
    /// When the request does not come from where it says.
    pub(in crate::control::server) fn right(&self, headers: &HeaderMap) -> Result<Right, Refused> {
        origin::check(headers, &self.hosts)?;
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(token.map_or(Right::Nothing, |(_, token)| self.right_of(token.trim())))
    }

    fn right_of(&self, token: &str) -> Right {
        let is = |own: &Option<Token>| own.as_ref().is_some_and(|own| own.is(token));
        match (is(&self.full), is(&self.read)) {
            (true, _) => Right::All,
            (false, true) => Right::Look,
            (false, false) => Right::Nothing,
        }
    }
}

fn read(path: &Path) -> io::Result<Token> {
    let (token, caution) = Token::read(path)?;
    if let Some(caution) = caution {
        log!(target: "mprun", Level::Warn, "control over TCP: {caution}");
    }
    Ok(token)
}
