//! `rate`: the bucket that the workers of a stage share, as one word of the stage's place.
//!
//! It is the generic cell rate algorithm (ITU-T I.371): the word is the *theoretical arrival time*, the moment at which the
//! bucket is full again, on the system's monotonic clock. An item moves it on by the time between two items; it may be
//! ahead of the clock by what the bucket holds, one second's worth. So the level needs no refill, and a worker takes from
//! it by a single compare-and-swap, without the lock. A word of 0 is an unused bucket: it begins empty, so that restarts
//! add nothing to the rate.
//!
//! # Crash table
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | before the swap | the word as it was | – |
//! | after it, before the items begin, or before what is left over goes back | items that were admitted and never began | the stage begins that many items less, a second's worth at most |

use super::attach::Arena;
use super::layout::{StageAt, stage};
use super::worker_time;
use crate::model::Rate;
use crate::queue::StageId;
use std::time::{Duration, Instant};

/// What a bucket holds.
const BURST: Duration = Duration::from_secs(1);

/// What a look at the bucket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// So many items may begin; the word is this then.
    Now { items: u64, arrival: u64 },
    /// None may before this moment.
    At(u64),
}

/// The rate in nanoseconds: the time between two items, and what the bucket holds.
fn spans(rate: Rate) -> (u64, u64) {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1);
    let interval = nanos(rate.interval());
    (interval, nanos(BURST).max(interval))
}

/// Whether items may begin at `now`: up to `want` of them.
fn admit(arrival: u64, now: u64, rate: Rate, want: u64) -> Admission {
    let (interval, burst) = spans(rate);
    let arrival = match arrival {
        0 => now + burst - interval,
        // The word of a slower rate, which was another a moment ago: the bucket of this one is unused.
        known if known > now + burst => now + burst - interval,
        known => known.max(now),
    };
    let items = ((now + burst - arrival) / interval).min(want);
    match items {
        0 => Admission::At(arrival + interval - burst),
        _ => Admission::Now { items, arrival: arrival + items * interval },
    }
}

/// The word after `items` that were admitted have not begun.
fn give_back(arrival: u64, rate: Rate, items: u64) -> u64 {
    let (interval, _) = spans(rate);
    arrival.saturating_sub(items.saturating_mul(interval)).max(1)
}

impl Arena {
    /// How many of `want` items of the stage may begin now; or when to ask again. One that may counts as begun.
    pub fn admit(&self, id: StageId, rate: Rate, want: usize) -> Result<usize, Instant> {
        let Ok(stage) = StageAt::of(id) else { return Ok(want) };
        loop {
            let (before, now) = (self.0.load(stage + stage::RATE), worker_time::now());
            match admit(before, now, rate, want as u64) {
                Admission::Now { items, arrival } => {
                    if self.0.replace(stage + stage::RATE, before, arrival) {
                        return Ok(items as usize);
                    }
                }
                Admission::At(at) => return Err(Instant::now() + Duration::from_nanos(at - now)),
            }
        }
    }

    /// So many admitted items have not begun after all.
    pub fn give_admitted_back(&self, id: StageId, rate: Rate, items: usize) {
        let (Ok(stage), 1..) = (StageAt::of(id), items) else { return };
        loop {
            let before = self.0.load(stage + stage::RATE);
            if self.0.replace(stage + stage::RATE, before, give_back(before, rate, items as u64)) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
