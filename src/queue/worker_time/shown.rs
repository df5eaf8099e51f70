//! The same for whoever looks at a pipeline: in seconds.

use super::{ITEM_TIME_BOUNDS, ItemTimes, WorkTimes};
use crate::status::{Histogram, Times};

impl From<WorkTimes> for Times {
    fn from(times: WorkTimes) -> Times {
        Times {
            working: times.working.as_secs_f64(),
            starved: times.starved.as_secs_f64(),
            blocked: times.blocked.as_secs_f64(),
            paused: times.paused.as_secs_f64(),
            for_turn: times.for_turn.as_secs_f64(),
        }
    }
}

impl From<ItemTimes> for Histogram {
    fn from(times: ItemTimes) -> Histogram {
        Histogram {
            bounds: ITEM_TIME_BOUNDS.iter().map(|&nanos| nanos as f64 / 1e9).collect(),
            counts: times.counts.to_vec(),
            sum: times.sum.as_secs_f64(),
        }
    }
}
