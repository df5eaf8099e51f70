//! A program without a worker, as the log names it: what it says is said by the supervisor, under its name.

use super::file::LogFile;
use super::record;
use log::kv::Key;
use log::{Level, Record};

/// The keys of a record that a program has said.
const SPEAKER: &str = "speaker";
const LOG_FILE: &str = "log_file";
const RECENT: &str = "recent";

/// Whose lines they are, and which files get them beside standard error.
#[derive(Debug)]
pub(crate) struct Voice {
    /// `stage[index]`.
    speaker: String,
    log_file: Option<String>,
    recent: Option<String>,
}

impl Voice {
    /// `speaker`: `stage[index]`; `log_file`: with a path that is absolute.
    pub(crate) fn new(speaker: String, log_file: Option<&LogFile>, recent: Option<&LogFile>) -> Voice {
        let named = |file: Option<&LogFile>| file.map(record::file_name);
        Voice { speaker, log_file: named(log_file), recent: named(recent) }
    }

    /// Says a line.
    pub(crate) fn say(&self, level: Level, text: &str) {
        let (speaker, none) = (self.speaker.as_str(), "");
        let log_file = self.log_file.as_deref().unwrap_or(none);
        let recent = self.recent.as_deref().unwrap_or(none);
        log::log!(target: "mprun", level, speaker, log_file, recent; "{text}");
    }
}

/// What a record names of it.
pub(super) struct Spoken {
    pub speaker: String,
    pub log_file: Option<String>,
    pub recent: Option<String>,
}

/// `None`: this process itself speaks.
pub(super) fn of(record: &Record<'_>) -> Option<Spoken> {
    let value = |name: &str| {
        let value = record.key_values().get(Key::from(name))?.to_string();
        Some(value).filter(|value| !value.is_empty())
    };
    Some(Spoken { speaker: value(SPEAKER)?, log_file: value(LOG_FILE), recent: value(RECENT) })
}
