//! What happened to a worker, and why.

use crate::text;
use serde::{Deserialize, Serialize};

/// One thing that happened to one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transition {
    /// When.
    pub time: String,
    /// How many seconds ago.
    pub ago: f64,
    /// What.
    pub change: WorkerChange,
    /// Why, or how it ended, in words.
    pub reason: String,
    /// What it ended with, if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What killed it: `SIGSEGV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// How long it had lived, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lived: Option<f64>,
    /// The item that it had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Glimpse>,
    /// The last lines that it or its program wrote to standard error, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
}

/// What can happen to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WorkerChange {
    /// It was started.
    Started,
    /// It was told to end after its item.
    Asked,
    /// It was sent SIGTERM.
    Terminated,
    /// It was sent SIGKILL.
    Killed,
    /// It ended, and nothing was wrong.
    Ended,
    /// It failed.
    Failed,
}

/// The beginning of an item, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Glimpse {
    /// The queue it came from.
    pub queue: String,
    /// Its number there: 0 for the first item ever put.
    pub id: u64,
    /// Which try it was, 1 for the first.
    pub attempt: u32,
    /// All its bytes.
    pub bytes: u64,
    /// The first of them; what is no text is shown as U+FFFD, control characters escaped.
    pub text: String,
}

impl Glimpse {
    /// Of an item that is shown.
    pub(crate) const MAX_BYTES: usize = 160;

    /// Bytes as people can read them on one line.
    pub(crate) fn text_of(bytes: &[u8]) -> String {
        let escape = |letter: char| match text::is_risky(letter) {
            true => letter.escape_default().to_string(),
            false => letter.to_string(),
        };
        let text = String::from_utf8_lossy(bytes);
        text::words(&text).as_deref().unwrap_or(&text).chars().map(escape).collect()
    }
}
