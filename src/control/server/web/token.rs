//! Tokens: what a client over TCP shows with each request. Made once in the state folder, or kept in files of the user's.
//!
//! Only digests stay in memory, and they are compared in constant time. No token is ever logged.
//!
//! # Crash table
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | while a new token is written | a file with the process's number in its name | nothing reads it; the next start makes a token |
//! | between the link and the removal of that file | the token, and the same under the other name | for its owner alone, as the token itself |

use crate::config::token_file::TokenFile;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use subtle::ConstantTimeEq;

/// Of a token that is made here.
const RANDOM_BYTES: usize = 32;

/// A token that is known by its digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token([u8; 32]);

/// What a browser shows in place of a token: a cookie, which it keeps from scripts but sends to every port of the host, and
/// a key, which it keeps for this port but not from scripts. Neither is good without the other. Both come from the token, so
/// that they outlive the process, and end with it.
#[derive(Debug)]
pub(super) struct Session {
    /// Its name tells pipelines of one host apart.
    pub name: String,
    pub cookie: String,
    pub key: String,
}

impl Token {
    fn of(text: &str) -> Token {
        Token(Sha256::digest(text).into())
    }

    /// Whether this is it.
    pub(super) fn is(&self, text: &str) -> bool {
        Token::of(text).0.ct_eq(&self.0).into()
    }

    pub(super) fn session(&self) -> Session {
        let part = |what: &str| BASE64URL_NOPAD.encode(&Sha256::digest([what.as_bytes(), &self.0].concat()));
        let name = format!("mprun-{}", &part("mprun name\n")[..8]);
        Session { name, cookie: part("mprun cookie\n"), key: part("mprun key\n") }
    }

    /// The token in a file of the user's, and what its permissions give away.
    ///
    /// # Errors
    /// When it can't be read, or holds no token.
    pub(super) fn read(path: &Path) -> io::Result<(Token, Option<String>)> {
        let file = TokenFile::read(path)?;
        Ok((Token::of(&file.token), file.caution))
    }

    /// The token in the state folder, which is made if it is not there.
    ///
    /// # Errors
    /// When it can't be read or made.
    pub(super) fn keep(folder: &Path, name: &str) -> io::Result<Token> {
        let path = folder.join(name);
        match Token::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found.map(|(token, _)| token),
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let new = folder.join(format!("{name}.{}", std::process::id()));
        let made = write(&new).and_then(|()| match fs::hard_link(&new, &path) {
            // Another pipeline of this name was faster: its token is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
        let _ = fs::remove_file(&new);
        made?;
        Token::read(&path).map(|(token, _)| token)
    }
}

fn write(path: &Path) -> io::Result<()> {
    let _ = fs::remove_file(path); // of a process before this one that had its number
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", random()?)?;
    file.sync_all()
}

/// A text that can't be guessed.
pub(super) fn random() -> io::Result<String> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random)?;
    Ok(BASE64URL_NOPAD.encode(&random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("mprun-token-{name}-{:x}", fastrand::u64(..)));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_token_is_made_once_for_its_owner_alone() {
        let folder = folder("made");
        let state = folder.join("state/p");
        assert!(Token::keep(&state, "token").is_ok());
        let text = fs::read_to_string(state.join("token")).unwrap();
        assert_eq!(fs::metadata(state.join("token")).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Token::keep(&state, "token").unwrap();
        assert!(again.is(text.trim()) && !again.is(""), "the next start has the same");
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "nothing else is left behind");
        assert!(!Token::keep(&state, "read-token").unwrap().is(text.trim()));
        nix::unistd::mkfifo(&state.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Token::keep(&state, "pipe").is_err(), "it does not wait for a writer");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_parts_of_a_session_differ_and_do_not_show_the_token() {
        let [one, other] = ["0123456789abcdef", "0123456789abcdeg"].map(|text| Token::of(text).session());
        let all = [&one.cookie, &one.key, &other.cookie, &other.key];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(all.iter().all(|text| text.len() == 43 && !text.contains("0123456789")));
        assert_ne!(one.name, other.name);
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let folder = folder("refused");
        let path = folder.join("token");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            Token::read(&path).map(|(token, _)| token).map_err(|error| error.to_string())
        };
        assert!(read("0123456789abcdef\n").unwrap().is("0123456789abcdef"));
        assert!(read("short").err().unwrap().contains("at least 16"));
        assert!(read("0123456789abcdef two words").err().unwrap().contains("one word"));
        nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Token::read(&folder.join("pipe")).is_err(), "it does not wait for a writer");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "0123456789abcdef").unwrap();
        assert!(Token::read(&path).unwrap().1.unwrap().contains("mode 0644"));
        fs::remove_dir_all(folder).unwrap();
    }
}
