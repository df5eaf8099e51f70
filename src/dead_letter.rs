//! Dead letters: items that were tried `attempts` times and never went through, one JSON line each in a file of the
//! state folder. Workers write them, and a helper process on behalf of a killed worker.
//!
//! | part | what it knows |
//! |---|---|
//! | [`location`] | which file holds the letters of which pipeline file |
//! | [`store`] | how one more letter gets into it, and what happens when it is full |
//! | [`letters`] | how they are read, one at a time, beside others who write |
//! | [`count`] | how many there are, without reading all of them each time |
//! | [`finder`] | how one is found again, marked and crossed out |
//! | [`change`] | how many are dropped, and what is gone is taken away |
//! | [`rewrite`] | how the file is written anew, without what is gone |
//!
//! # The file
//!
//! A line of JSON is a letter. Its first byte is its state: `{` it waits, `~` its item is being put back, `#` it is gone. `#N D` stands for N lines that are gone, of which D were dropped to make room. So a letter keeps its number until
//! none is left.
//!
//! A process that appends, changes a byte in place, or rewrites the file holds its lock (`flock`). Every wait for the lock
//! has a limit: its holder may be stopped. The new holder checks that the path still leads to that file; if not, the file
//! was rewritten meanwhile, and the new one is opened. Readers take no lock.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | while appending | all of the line, or a torn one | the lease has not ended, so the item comes again; the next writer ends the torn line, and readers say that there is one |
//! | between the line and the end of the lease | the letter, and the item | the item is tried once more, or becomes a second letter: never less |
//! | while rewriting, before the rename | `dead.jsonl.new`, half of it | nothing reads it; the next rewriting begins it anew |
//! | after the rename | the new file | a process that waits for the old one's lock sees that the path leads elsewhere |
//! | while crossing out | a letter whose first byte is gone | that byte is what counts |
//! | between mark, put and crossing out | a marked letter | its queue remembers whether it was put: see `control/server/retry.rs` |
#![forbid(unsafe_code)]

mod change;
mod count;
mod finder;
mod letters;
pub(crate) mod location;
mod rewrite;
mod store;

use crate::numbers::counted;
use data_encoding::BASE64;
use letters::Text;
use serde::Serialize;
use std::io;
use std::time::SystemTime;

pub(crate) use change::{drop_some, tidy};
pub(crate) use count::{Amount, LetterCounter, amount};
pub(crate) use finder::Finder;
pub(crate) use letters::{Entry, Letter, Letters};
pub(crate) use store::{Appended, Store, WhenFull, append_line, probe};

/// What is said of letters that were dropped to make room.
pub(crate) fn dropped_text(dropped: u64, max_size: u64) -> String {
    let letters = counted(dropped, "dead letter");
    format!("{letters} dropped, the oldest first: [dead_letters] max_size is {max_size}")
}

/// One item that never went through, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter<'a> {
    /// The item itself.
    pub item: &'a [u8],
    /// The stage that it killed, or that failed on it.
    pub stage: &'a str,
    /// The worker that had it last.
    pub worker: u32,
    /// The queue it was taken from.
    pub queue: &'a str,
    /// Its number in that queue.
    pub id: u64,
    /// What names it for other programs.
    pub origin: Option<String>,
    /// How many times it was tried.
    pub attempts: u32,
    /// What happened the last time.
    pub cause: Cause,
    /// The last lines that its program wrote to standard error.
    pub stderr: &'a [String],
    /// When it was given up.
    pub time: SystemTime,
    /// The run of the pipeline it happened in.
    pub run: &'a str,
}

/// Why the last try of an item failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// The worker was killed by this signal while it had the item.
    Signal(String),
    /// The worker ended with this code while it had the item.
    ExitCode(i32),
    /// The stage failed on it and said why.
    Error(String),
    /// It took longer than `item_timeout`.
    TimedOut,
    /// It was too long to become an item: the letter holds its beginning, and no queue has seen it.
    TooLong {
        /// Where it was read.
        file: String,
        /// Bytes before it.
        offset: u64,
        /// Its bytes.
        length: u64,
        /// The most that it could have had.
        max_item: u64,
    },
}

impl DeadLetter<'_> {
    /// Text as it is, anything else as base64: `encoding` says which.
    /// `pipeline`: the file that it belongs to.
    pub(crate) fn line(&self, pipeline: &str) -> io::Result<Vec<u8>> {
        let (encoding, item) = match std::str::from_utf8(self.item) {
            Ok(text) => ("utf-8", text.to_owned()),
            Err(_) => ("base64", BASE64.encode(self.item)),
        };
        let mut line = serde_json::to_vec(&Text {
            time: humantime::format_rfc3339_millis(self.time).to_string(),
            pipeline: Some(pipeline.to_owned()),
            run: self.run.to_owned(),
            stage: self.stage.to_owned(),
            worker: self.worker,
            queue: self.queue.to_owned(),
            id: self.id,
            origin: self.origin.clone(),
            attempts: self.attempts,
            cause: serde_json::to_value(&self.cause)?,
            stderr: self.stderr.to_vec(),
            encoding: encoding.to_owned(),
            item: Some(item),
        })?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
