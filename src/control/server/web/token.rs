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

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use subtle::ConstantTimeEq;

/// What may be tried by guessing must be longer than that.
const SHORTEST: usize = 16;
const LONGEST_FILE: u64 = 4096;
/// Of a token that is made here.
const RANDOM_BYTES: usize = 32;

/// A token that is known by its digest.
pub(super) struct Token([u8; 32]);

impl Token {
    fn of(text: &str) -> Token {
        Token(Sha256::digest(text).into())
    }

    /// Whether this is it.
    pub(super) fn is(&self, text: &str) -> bool {
        Token::of(text).0.ct_eq(&self.0).into()
    }

    /// The token in a file of the user's.
    ///
    /// # Errors
    /// When it can't be read, or holds no token.
    pub(super) fn read(path: &Path) -> io::Result<(Token, Option<String>)> {
        // A named pipe without a writer must not block.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(invalid("this is no file".to_owned()));
        }
        let mode = about.mode() & 0o777;
        let caution = (mode & 0o007 != 0)
            .then(|| format!("every user of this machine can read {} (mode {mode:04o})", path.display()));
        Ok((Token::of(&content(&file)?), caution))
    }

    /// The token in the state folder, which is made if it is not there.
    ///
    /// # Errors
    /// When it can't be read or made.
    pub(super) fn keep(folder: &Path, name: &str) -> io::Result<Token> {
        let path = folder.join(name);
        match File::open(&path) {
            Ok(file) => return content(&file).map(|text| Token::of(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
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
        content(&File::open(&path)?).map(|text| Token::of(&text))
    }
}

fn write(path: &Path) -> io::Result<()> {
    let _ = fs::remove_file(path); // of a process before this one that had its number
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    writeln!(file, "{}", BASE64URL_NOPAD.encode(&random))?;
    file.sync_all()
}

fn content(file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < SHORTEST {
        return Err(invalid(format!("a token has at least {SHORTEST} characters")));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("a token is one word of visible ASCII characters".to_owned()));
    }
    Ok(token.to_owned())
}

fn invalid(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
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
        fs::remove_dir_all(folder).unwrap();
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
