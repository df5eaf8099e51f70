//! A file that holds a token for control over TCP.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What may be tried by guessing must be longer than that.
const SHORTEST: usize = 16;
const LONGEST_FILE: u64 = 4096;

/// What a file of the user's holds.
#[derive(Debug)]
pub(crate) struct TokenFile {
    pub token: String,
    /// What its permissions give away, if anything.
    pub caution: Option<String>,
}

impl TokenFile {
    /// Reads it.
    ///
    /// # Errors
    /// When it can't be read, or holds no token.
    pub(crate) fn read(path: &Path) -> io::Result<TokenFile> {
        let file = open(path)?;
        let mode = file.metadata()?.mode() & 0o777;
        let caution = (mode & 0o007 != 0)
            .then(|| format!("every user of this machine can read {} (mode {mode:04o})", path.display()));
        Ok(TokenFile { token: token(&file)?, caution })
    }
}

/// A regular file: a named pipe in its place is not waited for.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(invalid("this is no file".to_owned())),
    }
}

fn token(file: &File) -> io::Result<String> {
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
