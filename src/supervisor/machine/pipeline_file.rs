//! What is known of the pipeline file beside what runs: when a changed one is read, and what was said about it already.

use std::time::{Duration, Instant};

/// So long nothing may happen to the file before it is read: an editor writes in several steps.
const QUIET_TIME: Duration = Duration::from_millis(50);
/// But a file that is written all the time is read after so long.
const MAX_QUIET_WAIT: Duration = Duration::from_secs(1);

/// The file on the disk.
#[derive(Debug, Default)]
pub(super) struct PipelineFile {
    changes: Changes,
    /// It is being read: what comes of it isn't known yet.
    pub loading: bool,
    /// A reload was requested: answered even if there is nothing new to say.
    pub forced: bool,
    /// The last bad report or refused text; not said again for the same file.
    pub said: Option<String>,
    /// Why the last changed file was not taken over, and when.
    pub refusal: Option<(Instant, String)>,
}

#[derive(Debug, Default)]
enum Changes {
    #[default]
    None,
    Recent {
        first: Instant,
        last: Instant,
    },
}

impl PipelineFile {
    pub(super) fn touched(&mut self, now: Instant) {
        let first = if let Changes::Recent { first, .. } = self.changes { first } else { now };
        self.changes = Changes::Recent { first, last: now };
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.changes {
            Changes::None => None,
            Changes::Recent { first, last } => Some((last + QUIET_TIME).min(first + MAX_QUIET_WAIT)),
        }
    }

    /// What has changed until now is read, or does not matter any more.
    pub(super) fn forget_changes(&mut self) {
        self.changes = Changes::None;
    }

    /// Whether this is news.
    pub(super) fn says(&mut self, what: &str) -> bool {
        let news = self.forced || self.said.as_deref() != Some(what);
        self.said = Some(what.to_owned());
        self.forced = false;
        news
    }
}
