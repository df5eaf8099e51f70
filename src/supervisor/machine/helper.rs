//! A helper process of the supervisor that is replaced when it ends, but not in a circle.

use super::reason::spoken;
use std::time::{Duration, Instant};

/// A helper that ends this soon is not started again before this time is over,
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// and before twice as long each time, up to this. As long there is no guardian: a kill of the supervisor would leave what
/// services have started.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// When it is started again. `delay`: from its last start to the next one, if it does not live.
#[derive(Debug, Default)]
pub(super) enum Helper {
    /// This program has not started it.
    #[default]
    NotStarted,
    Started {
        at: Instant,
        delay: Duration,
    },
    Due {
        at: Instant,
        delay: Duration,
    },
}

impl Helper {
    pub(super) fn start(&mut self, now: Instant) {
        let delay = match *self {
            Helper::NotStarted => Duration::ZERO,
            Helper::Started { delay, .. } | Helper::Due { delay, .. } => delay,
        };
        *self = Helper::Started { at: now, delay };
    }

    pub(super) fn ended(&mut self, now: Instant) {
        *self = match *self {
            Helper::Due { .. } => return,
            Helper::NotStarted => Helper::Due { at: now, delay: FIRST_DELAY * 2 },
            Helper::Started { at, delay } => {
                let lived = now.saturating_duration_since(at) >= MAX_DELAY;
                let delay = if lived { FIRST_DELAY } else { delay.max(FIRST_DELAY) };
                Helper::Due { at: (at + delay).max(now), delay: (delay * 2).min(MAX_DELAY) }
            }
        };
    }

    /// When that is, after its end.
    pub(super) fn next_start(&self, now: Instant) -> String {
        match self.due().map(|at| at.saturating_duration_since(now)) {
            Some(left) if !left.is_zero() => format!("in {}", spoken(left)),
            Some(_) | None => "at once".to_owned(),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        if let Helper::Due { at, .. } = self { Some(*at) } else { None }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }
}
