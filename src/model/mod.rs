//! What more than one module names: the settings of queues and workers, and the counters of items. Each once, for all.
#![forbid(unsafe_code)]

mod failing;
mod halt;
mod limits;
mod machines;
mod outage;
pub(crate) mod path_bytes;
mod rate;
mod retry;
mod route;
mod schedule;
mod totals;
mod tuning;

pub use failing::{ItemFailure, Retry, WhenFailing};
pub(crate) use halt::Tried;
pub use halt::{Halt, HaltAt, HaltOf, HaltWhen};
pub use limits::{Limits, WhenFull};
pub use machines::Machines;
pub use outage::Outage;
pub use rate::{Rate, RateUnit};
pub(crate) use route::Route;
pub use schedule::Schedule;
pub(crate) use totals::{DeadLetterCounts, Totals};
pub use tuning::Tuning;
