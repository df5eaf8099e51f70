//! What more than one module names: the settings of queues and workers, and the counters of items. Each once, for all.
#![forbid(unsafe_code)]

mod limits;
mod totals;
mod tuning;

pub use limits::{Limits, WhenFull};
pub(crate) use totals::Totals;
pub use tuning::Tuning;
