//! When a changed file is read, and what was said about it already.

use std::time::{Duration, Instant};

/// So long nothing may happen to the file before it is read: an editor writes in several steps.
const QUIET_TIME: Duration = Duration::from_millis(50);
/// But a file that is written all the time is read after so long.
const MAX_QUIET_WAIT: Duration = Duration::from_secs(1);

/// Waits until the file isn't written any more, and remembers what was said about it.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    touched: Option<(Instant, Instant)>,
    /// StopRequest for by SIGHUP: answered even if there is nothing new to say.
    pub(super) forced: bool,
    /// The last bad report or refused text; not said again for the same file.
    pub(super) said: Option<String>,
}

impl Debounce {
    pub(super) fn touched(&mut self, now: Instant) {
        let first = self.touched.map_or(now, |(first, _)| first);
        self.touched = Some((first, now));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.touched.map(|(first, last)| (last + QUIET_TIME).min(first + MAX_QUIET_WAIT))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|due| due <= now)
    }

    pub(super) fn done(&mut self) {
        self.touched = None;
    }

    /// Whether this is news.
    pub(super) fn says(&mut self, what: &str) -> bool {
        let news = self.forced || self.said.as_deref() != Some(what);
        self.said = Some(what.to_owned());
        self.forced = false;
        news
    }
}
