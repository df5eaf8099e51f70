//! Dead letters, read one at a time, beside a running pipeline that appends more: in as much memory as the longest takes.

use crate::hash::fnv1a;
use data_encoding::BASE64;
use memchr::memmem;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Take};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// First bytes of lines.
pub(super) const WAITS: u8 = b'{';
pub(super) const MARKED: u8 = b'~';
pub(super) const GONE: u8 = b'#';

/// A line without its end may be one that is being written: it is looked at again, this many times.
const END_TRIES: u32 = 10;
const END_INTERVAL: Duration = Duration::from_millis(20);

/// Letters that this process has crossed out, and files that it has emptied: what was counted before counts no more.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Only a regular file holds letters.
pub(super) fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file: move it away")),
    }
}

/// Opens the file to read it: a named pipe in its place is not waited for.
pub(super) fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => regular(file?).map(Some),
    }
}

/// One dead letter, as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    /// Its line, 1 for the first.
    pub line: u64,
    /// What the line says.
    pub text: Text,
    /// Tells it from any other.
    pub number: u64,
    /// Its item is being put back, or that was begun and not ended.
    pub marked: bool,
    /// Where it stood when it was read.
    pub offset: u64,
    /// Its bytes, without the end of the line.
    pub length: usize,
    raw: Vec<u8>,
}

/// What a line of the file says, in this order. A line that was too long to be an item has no queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Text {
    /// When it was given up.
    pub time: String,
    /// The pipeline file; none: written by mprun 0.1.0.
    pub pipeline: Option<String>,
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
    /// What names it, where other programs know it by that: it keeps that when it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// How many times it was tried.
    pub attempts: u32,
    /// What happened the last time.
    pub cause: Value,
    /// The last lines of its program on standard error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
    /// How `item` is written: `utf-8` or `base64`.
    pub encoding: String,
    /// The item.
    pub item: Option<String>,
}

impl Letter {
    /// From a line without its end; `None`: it is none.
    fn parse(raw: Vec<u8>, line: u64, offset: u64) -> Option<Letter> {
        let (raw, marked) = unmarked(raw)?;
        let text: Text = serde_json::from_slice(&raw).ok()?;
        // A line of some other JSON is no letter.
        if text.time.is_empty() || text.stage.is_empty() {
            return None;
        }
        Some(Letter { line, text, number: number(&raw), marked, offset, length: raw.len(), raw })
    }

    /// A name for it that no other letter has, with where it was last seen.
    pub(crate) fn key(&self) -> String {
        format!("{:016x}@{:x}.{}", self.number, self.offset, self.line)
    }

    /// Itself, but for its item.
    #[must_use]
    pub(crate) fn without_item(mut self) -> Letter {
        self.text.item = None;
        self.raw = Vec::new();
        self
    }

    /// The item itself; `None`: there is none, it can't be tried again.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        self.beginning().filter(|_| !self.text.queue.is_empty())
    }

    /// The item, or the beginning of what was too long to be one.
    pub(crate) fn beginning(&self) -> Option<Vec<u8>> {
        let item = self.text.item.as_ref()?;
        Some(match self.text.encoding.as_str() {
            "base64" => BASE64.decode(item.as_bytes()).unwrap_or_default(),
            _ => item.clone().into_bytes(),
        })
    }

    /// All that the line says, with its number.
    pub(crate) fn value(&self) -> Value {
        let mut all = serde_json::Map::new();
        all.insert("line".to_owned(), self.line.into());
        if self.marked {
            all.insert("retrying".to_owned(), true.into());
        }
        if let Ok(Value::Object(said)) = serde_json::from_slice(&self.raw) {
            all.extend(said);
        }
        Value::Object(all)
    }

    /// The cause of its death in words.
    pub(crate) fn cause(&self) -> String {
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

    /// The same in one line: of a traceback, what happened.
    pub(crate) fn headline(&self) -> String {
        let cause = self.cause();
        let mut lines = cause.lines().map(str::trim).filter(|line| !line.is_empty());
        let (Some(first), Some(last)) = (lines.next(), lines.next_back()) else {
            return cause.trim().to_owned();
        };
        match first.contains("Traceback") {
            true => format!("error: {last}"),
            false => first.to_owned(),
        }
    }
}

/// Whether a line is of a letter of this run. Its item, which may be long, stands behind the run and is not read; a quote in what
/// stands before it is written with a backslash.
pub(super) fn is_of_run(raw: &[u8], run: &str) -> bool {
    const KEY: &[u8] = b",\"run\":\"";
    let value = memmem::find(raw, KEY).map(|at| &raw[at + KEY.len()..]);
    value.and_then(|value| value.strip_prefix(run.as_bytes())).is_some_and(|rest| rest.first() == Some(&b'"'))
}

fn unmarked(mut raw: Vec<u8>) -> Option<(Vec<u8>, bool)> {
    let marked = match *raw.first()? {
        WAITS => false,
        MARKED => true,
        _ => return None,
    };
    raw[0] = WAITS;
    Some((raw, marked))
}

/// One line of the file.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry<T> {
    /// A letter.
    Letter(T),
    /// What is left of one whose writer was killed in the middle: which line, and how many bytes.
    Torn {
        /// Which line.
        line: u64,
        /// Its bytes.
        bytes: usize,
    },
}

/// The letters that were there when it was opened.
#[derive(Default)]
pub(crate) struct Letters {
    reader: Option<Take<BufReader<File>>>,
    /// Lines read until now, those that are gone included.
    pub(super) line: u64,
    /// Where the line begins that was read last.
    pub(super) begin: u64,
    /// Where the next line begins.
    pub(super) offset: u64,
    /// Letters that were dropped to make room: of what was read until now.
    pub dropped: u64,
}

impl Letters {
    /// None, if there is no file.
    ///
    /// # Errors
    /// When it can't be read, or is no regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Letters> {
        let Some(file) = open_if_there(path)? else { return Ok(Letters::default()) };
        let bytes = settled_length(&file)?;
        Letters::of(file, bytes)
    }

    /// Those in the first `bytes` of a file.
    pub(crate) fn of(file: File, bytes: u64) -> io::Result<Letters> {
        Letters::within(file, 0..bytes)
    }

    /// Those in a part of a file that begins with a line, whose number is then that in the part.
    pub(super) fn within(mut file: File, part: Range<u64>) -> io::Result<Letters> {
        file.seek(SeekFrom::Start(part.start))?;
        let bytes = part.end.saturating_sub(part.start);
        let reader = BufReader::with_capacity(64 * 1024, file).take(bytes);
        Ok(Letters { reader: Some(reader), begin: part.start, offset: part.start, ..Letters::default() })
    }

    /// The next line, of which no more is read than `look` does.
    pub(super) fn next_with<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Option<io::Result<Entry<T>>> {
        let next = self.next_line()?;
        Some(next.map(|(line, _, raw)| match raw.first() {
            Some(&(WAITS | MARKED)) if raw.last() == Some(&b'}') => Entry::Letter(look(&raw)),
            _ => Entry::Torn { line, bytes: raw.len() },
        }))
    }

    /// The number of the next line, without a look at what it says; none: it is no letter.
    pub(super) fn next_number(&mut self) -> Option<io::Result<Option<u64>>> {
        let next = self.next_line()?;
        Some(next.map(|(_, _, raw)| unmarked(raw).map(|(raw, _)| number(&raw))))
    }

    /// The next line that is not gone: its number, where it begins, what it says.
    fn next_line(&mut self) -> Option<io::Result<(u64, u64, Vec<u8>)>> {
        let reader = self.reader.as_mut()?;
        loop {
            let mut raw = Vec::new();
            match reader.read_until(b'\n', &mut raw) {
                Err(error) => return Some(Err(error)),
                Ok(0) => return None,
                Ok(read) => {
                    let offset = self.offset;
                    self.offset += read as u64;
                    if raw.last() == Some(&b'\n') {
                        raw.pop();
                    }
                    match raw.first() {
                        Some(&GONE) => {
                            let (lines, dropped) = gone(&raw);
                            self.line += lines;
                            self.dropped += dropped;
                        }
                        _ if raw.iter().all(u8::is_ascii_whitespace) => self.line += 1,
                        _ => {
                            self.line += 1;
                            self.begin = offset;
                            return Some(Ok((self.line, offset, raw)));
                        }
                    }
                }
            }
        }
    }
}

impl Iterator for Letters {
    type Item = io::Result<Entry<Letter>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_line()?;
        Some(next.map(|(line, offset, raw)| {
            let bytes = raw.len();
            match Letter::parse(raw, line, offset) {
                Some(letter) => Entry::Letter(letter),
                None => Entry::Torn { line, bytes },
            }
        }))
    }
}

/// Lines that a `#` stands for, and those of them that were dropped to make room.
fn gone(raw: &[u8]) -> (u64, u64) {
    let words = String::from_utf8_lossy(&raw[1..raw.len().min(64)]).into_owned();
    let mut numbers = words.split_ascii_whitespace().map_while(|word| word.parse().ok());
    (numbers.next().unwrap_or(1), numbers.next().unwrap_or(0))
}

/// The line for that.
pub(super) fn gone_line(lines: u64, dropped: u64) -> String {
    format!("#{lines} {dropped}\n")
}

/// Without a lock a line may be seen while it is written: that is no torn one.
pub(super) fn settled_length(file: &File) -> io::Result<u64> {
    let mut length = file.metadata()?.len();
    for _ in 0..END_TRIES {
        let mut last = [b'\n'];
        if length > 0 {
            file.read_at(&mut last, length - 1)?;
        }
        if last == *b"\n" {
            break;
        }
        thread::sleep(END_INTERVAL);
        length = file.metadata()?.len();
    }
    Ok(length)
}

/// Takes the letter that begins at a place out of the file: one byte decides, and a rewriting takes the rest away.
pub(super) fn cross_out(file: &File, offset: u64) -> io::Result<()> {
    file.write_all_at(&[GONE, b' '], offset)?;
    note_change();
    Ok(())
}

/// Notes that something has changed in front of the end of a file, after that was written.
pub(super) fn note_change() {
    CHANGES.fetch_add(1, Ordering::Release); // pairs with the Acquire in `changes`
}

/// As many of them as this process has made.
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire) // pairs with the Release in `note_change`: what was written before it is read after this
}

/// The letter at a place, if it stands there.
pub(super) fn at(file: &File, number: u64, offset: u64) -> io::Result<Option<Letter>> {
    let letter = Letter::parse(line_at(file, offset)?, 0, offset);
    Ok(letter.filter(|letter| letter.number == number))
}

/// Whether the letter stands at a place.
pub(super) fn is_at(file: &File, number: u64, offset: u64) -> io::Result<bool> {
    // That of a key that nothing made here.
    if i64::try_from(offset).is_err() {
        return Ok(false);
    }
    let found = unmarked(line_at(file, offset)?);
    Ok(found.is_some_and(|(raw, _)| self::number(&raw) == number))
}

fn line_at(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(offset))?;
    let mut raw = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut raw)?;
    if raw.last() == Some(&b'\n') {
        raw.pop();
    }
    Ok(raw)
}

/// Never 0.
pub(super) fn number(line: &[u8]) -> u64 {
    fnv1a(line).max(1)
}
