//! How many letters a file holds. One that has only grown is counted on from where the last count ended.
//!
//! | the file since then | what is read |
//! |---|---|
//! | has not changed | nothing |
//! | has more lines at its end, or a mark | those lines |
//! | has a letter that this process has crossed out | all of it |
//! | is another one, was emptied, or ends its counted lines with other bytes | all of it |
//! | has a letter that another process has crossed out and had no room to rewrite the file | all of it, [`WHOLE_INTERVAL`] after the last time |
//!
//! A last line without its end is part of the answer, and is read anew by the next count.

use super::letters::{self, Entry, Letters, is_of_run, open_if_there, settled_length};
use crate::hash::fnv1a;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A count that was continued for so long is begun anew.
const WHOLE_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes before the end of the counted lines that tell whether these are still the ones.
const TAIL_BYTES: u64 = 4096;
const CHUNK_BYTES: u64 = 64 * 1024;

/// How many letters there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Letters.
    pub letters: u64,
    /// Those of them that the run has left about which was asked.
    pub of_run: u64,
    /// Bytes of their file.
    pub bytes: u64,
    /// Letters that were dropped to make room.
    pub dropped: u64,
}

impl Amount {
    fn add(&mut self, more: Amount) {
        self.letters += more.letters;
        self.of_run += more.of_run;
        self.bytes += more.bytes;
        self.dropped += more.dropped;
    }
}

/// Counts them, and those of a run by itself.
///
/// # Errors
/// When they can't be read.
pub(crate) fn amount(path: &Path, run: &str) -> io::Result<Amount> {
    LetterCounter::default().count(path, run)
}

/// Counts the same file again and again.
#[derive(Debug, Default)]
pub(crate) struct LetterCounter {
    last: Option<LastCount>,
}

#[derive(Debug)]
struct LastCount {
    run: String,
    stamp: SeenFile,
    changes: u64,
    amount: Amount,
    lines: WholeLines,
}

/// The lines that have an end.
#[derive(Debug)]
struct WholeLines {
    /// When all of them were read.
    since: Instant,
    /// What they hold; its bytes are where they end.
    amount: Amount,
    /// The hash of the bytes before that.
    tail: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenFile {
    file: (u64, u64),
    bytes: u64,
    time: SystemTime,
}

impl LetterCounter {
    /// As [`amount`].
    pub(crate) fn count(&mut self, path: &Path, run: &str) -> io::Result<Amount> {
        // Before the file is read: a change that comes meanwhile counts as one after it.
        self.count_at(path, run, Instant::now(), letters::changes())
    }

    /// `changes`: as many as this process has made in front of the end.
    fn count_at(&mut self, path: &Path, run: &str, now: Instant, changes: u64) -> io::Result<Amount> {
        let last = self.last.take().filter(|last| last.run == run && last.changes == changes);
        let Some(file) = open_if_there(path)? else { return Ok(Amount::default()) };
        let stamp = SeenFile::of(&file.metadata()?);
        let count = match last {
            Some(last) if last.stamp == stamp => last,
            last => {
                let bytes = settled_length(&file)?;
                let known = last.filter(|last| last.stamp.file == stamp.file).map(|last| last.lines);
                let known = known.filter(|lines| lines.are_in(&file, bytes, now));
                let lines = known.unwrap_or_else(|| WholeLines::none(now)).with_more(&file, bytes, run)?;
                let mut amount = lines.amount;
                amount.add(within(&file, lines.amount.bytes..bytes, run)?);
                LastCount { run: run.to_owned(), stamp, changes, amount, lines }
            }
        };
        let amount = count.amount;
        self.last = Some(count);
        Ok(amount)
    }
}

impl SeenFile {
    fn of(about: &Metadata) -> SeenFile {
        let time = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        SeenFile { file: (about.dev(), about.ino()), bytes: about.len(), time }
    }
}

impl WholeLines {
    fn none(now: Instant) -> WholeLines {
        WholeLines { since: now, amount: Amount::default(), tail: None }
    }

    /// Whether a file with this length may still begin with these lines.
    fn are_in(&self, file: &File, bytes: u64, now: Instant) -> bool {
        let is_recent = now.saturating_duration_since(self.since) < WHOLE_INTERVAL;
        let end = self.amount.bytes;
        is_recent && end <= bytes && self.tail.is_some() && self.tail == tail(file, end)
    }

    /// With those that came after them.
    fn with_more(mut self, file: &File, bytes: u64, run: &str) -> io::Result<WholeLines> {
        let begin = self.amount.bytes;
        let end = end_of_lines(file, begin..bytes)?;
        self.amount.add(within(file, begin..end, run)?);
        self.tail = tail(file, end);
        Ok(self)
    }
}

/// What a part of the file holds.
fn within(file: &File, part: Range<u64>, run: &str) -> io::Result<Amount> {
    let mut amount = Amount { bytes: part.end - part.start, ..Amount::default() };
    let mut letters = Letters::within(file.try_clone()?, part)?;
    while let Some(entry) = letters.next_with(|raw| is_of_run(raw, run)) {
        if let Entry::Letter(is_of_run) = entry? {
            amount.letters += 1;
            amount.of_run += u64::from(is_of_run);
        }
    }
    amount.dropped = letters.dropped;
    Ok(amount)
}

/// Where the last line of a part ends that has an end; the beginning of the part where none has.
fn end_of_lines(file: &File, part: Range<u64>) -> io::Result<u64> {
    let mut to = part.end;
    while to > part.start {
        let from = part.start.max(to.saturating_sub(CHUNK_BYTES));
        let mut chunk = vec![0; usize::try_from(to - from).unwrap_or(0)];
        file.read_exact_at(&mut chunk, from)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(part.start)
}

/// None: they can't be read, as the file is shorter by now.
fn tail(file: &File, end: u64) -> Option<u64> {
    let bytes = end.min(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(bytes).ok()?];
    file.read_exact_at(&mut tail, end - bytes).ok()?;
    Some(fnv1a(&tail))
}

#[cfg(test)]
mod tests;
