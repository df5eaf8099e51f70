//! The tables of a pipeline file: every key with its type, its default and its meaning, stated once.

mod extras;
mod file;
mod policies;
mod program;
mod queue;
mod stage;

pub use extras::{ControlKeys, MetricsKeys};
pub use file::FileKeys;
pub use policies::{BackoffKeys, GiveUpKeys, RecycleKeys};
pub use program::LimitKeys;
pub use queue::{MOST_BYTES, QueueKeys};
pub use stage::{Defaults, StageKeys};

use std::time::Duration;

use super::elements::{Pause, Period};

const fn pause(seconds: u64) -> Pause {
    Pause(Duration::from_secs(seconds))
}

const fn period(millis: u64) -> Period {
    Period(Duration::from_millis(millis))
}
