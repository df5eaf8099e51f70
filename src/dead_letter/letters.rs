//! The file of dead letters, read and worked on: beside a running pipeline that appends to it.
//!
//! A letter keeps its place until the file is empty: one that is gone is crossed out where it stands, by one byte,
//! then blanked. So numbers of lines stay what they are, and whoever appends meanwhile is in nobody's way.

use data_encoding::BASE64;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// One dead letter, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Letter {
    /// Its line, 1 for the first.
    pub line: u64,
    /// What the line says.
    #[serde(flatten)]
    pub text: Text,
    /// Tells it from any other.
    #[serde(skip)]
    pub number: u64,
    #[serde(skip)]
    offset: u64,
    #[serde(skip)]
    length: usize,
}

/// What a line of the file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// When it was given up.
    pub time: String,
    /// The run of the pipeline it happened in.
    pub run: String,
    /// The stage that it killed, or that failed on it.
    pub stage: String,
    /// The worker that had it last.
    pub worker: u32,
    /// The queue it was taken from.
    pub queue: String,
    /// Its number in that queue.
    pub id: u64,
    /// How many times it was tried.
    pub attempts: u32,
    /// What happened the last time.
    pub cause: Value,
    /// The last lines of its program on standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
    /// How `item` is written: `utf-8` or `base64`.
    pub encoding: String,
    /// The item.
    pub item: String,
}

impl Letter {
    /// A name for it that no other letter has.
    pub fn key(&self) -> String {
        format!("{:016x}", self.number)
    }

    /// The item itself.
    pub fn bytes(&self) -> Vec<u8> {
        match self.text.encoding.as_str() {
            "base64" => BASE64.decode(self.text.item.as_bytes()).unwrap_or_default(),
            _ => self.text.item.clone().into_bytes(),
        }
    }

    /// The cause of its death in words.
    pub fn cause(&self) -> String {
        match &self.text.cause {
            Value::Object(cause) => {
                let words = cause.iter().map(|(kind, value)| match value {
                    Value::String(text) => format!("{kind}: {text}"),
                    Value::Object(place) if kind == "too-long" => format!(
                        "{kind}: {} bytes at byte {} of {}",
                        place.get("length").unwrap_or(&Value::Null),
                        place.get("offset").unwrap_or(&Value::Null),
                        place.get("file").and_then(Value::as_str).unwrap_or_default()
                    ),
                    other => format!("{kind}: {other}"),
                });
                words.collect::<Vec<_>>().join(", ")
            }
            Value::String(word) => word.clone(),
            other => other.to_string(),
        }
    }
}

/// All letters of a file; none if there is no file.
///
/// # Errors
/// When it can't be read.
pub fn read(path: &Path) -> io::Result<Vec<Letter>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut bytes = Vec::new();
    lock(file, FlockArg::LockShared)?.read_to_end(&mut bytes)?;
    let mut letters = Vec::new();
    let mut offset = 0;
    for (line, text) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        // What is crossed out, blank or torn is no letter.
        if let Ok(parsed) = serde_json::from_slice(text) {
            letters.push(Letter { line, text: parsed, number: number(text), offset, length: text.len() });
        }
        offset += text.len() as u64 + 1;
    }
    Ok(letters)
}

/// Takes a letter out of the file; false if it isn't there any more. When none is left the file is emptied.
///
/// # Errors
/// When it can't be written.
pub fn cross_out(path: &Path, letter: &Letter) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let file = lock(file, FlockArg::LockExclusive)?;
    let mut found = vec![0; letter.length];
    let is_there = file.read_exact_at(&mut found, letter.offset).is_ok() && number(&found) == letter.number;
    if is_there {
        file.write_all_at(b"#", letter.offset)?; // from here on it is no letter
        file.write_all_at(&b" ".repeat(letter.length), letter.offset)?;
    }
    empty_if_blank(&file)?;
    Ok(is_there)
}

fn empty_if_blank(file: &File) -> io::Result<()> {
    let (mut offset, mut piece) = (0, vec![0; 64 * 1024]);
    loop {
        match file.read_at(&mut piece, offset)? {
            0 => return file.set_len(0),
            n if piece[..n].iter().all(u8::is_ascii_whitespace) => offset += n as u64,
            _ => return Ok(()),
        }
    }
}

fn lock(file: File, how: FlockArg) -> io::Result<Flock<File>> {
    Flock::lock(file, how).map_err(|(_, errno)| errno.into())
}

/// FNV-1a, as its authors give it: the same in every process and version. Never 0.
fn number(line: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    line.iter().fold(0xcbf2_9ce4_8422_2325, mix).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::{Cause, DeadLetter, append};
    use std::time::SystemTime;

    fn letter(item: &[u8], id: u64) -> DeadLetter<'_> {
        DeadLetter {
            item,
            stage: "s",
            worker: 0,
            queue: "q",
            id,
            attempts: 3,
            cause: Cause::ExitCode(7),
            stderr: &[],
            time: SystemTime::UNIX_EPOCH,
            run: "r",
        }
    }

    #[test]
    fn a_letter_is_read_crossed_out_once_and_the_others_keep_their_lines() {
        let path = std::env::temp_dir().join(format!("mprun-letters-{}.jsonl", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(read(&path).unwrap().is_empty());
        for (id, item) in [b"one".as_slice(), b"\xff\0", b"three"].into_iter().enumerate() {
            append(&path, &letter(item, id as u64), false).unwrap();
        }
        let letters = read(&path).unwrap();
        assert_eq!(letters.iter().map(Letter::bytes).collect::<Vec<_>>(), [&b"one"[..], b"\xff\0", b"three"]);
        assert_eq!(letters[0].cause(), "exit-code: 7");
        assert!(cross_out(&path, &letters[1]).unwrap());
        assert!(!cross_out(&path, &letters[1]).unwrap(), "it is gone");
        append(&path, &letter(b"four", 4), false).unwrap();
        let lines: Vec<u64> = read(&path).unwrap().iter().map(|letter| letter.line).collect();
        assert_eq!(lines, [1, 3, 4]);
        for letter in read(&path).unwrap() {
            assert!(cross_out(&path, &letter).unwrap());
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_torn_line_is_no_letter() {
        let path = std::env::temp_dir().join(format!("mprun-torn-letters-{}.jsonl", std::process::id()));
        std::fs::write(&path, "{\"torn\":\n#  crossed out\n").unwrap();
        append(&path, &letter(b"x", 0), false).unwrap();
        assert_eq!(read(&path).unwrap()[0].line, 3);
        std::fs::remove_file(&path).unwrap();
    }
}
