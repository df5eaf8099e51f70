//! Settings of the file, as the queue takes them.

use crate::config;
use crate::queue::{Limits, SlotTuning, WhenFull};

/// A queue's bounds.
pub fn limits(spec: &config::Queue) -> Limits {
    let config::Queue { name: _, capacity, max_bytes, max_item, when_full, durable: _, sync: _ } = spec;
    let when_full = match when_full {
        config::WhenFull::Block => WhenFull::Block,
        config::WhenFull::DropNew => WhenFull::DropNew,
        config::WhenFull::DropOld => WhenFull::DropOld,
    };
    Limits { capacity: *capacity, max_bytes: *max_bytes, max_item: *max_item, when_full }
}

/// A hidden queue for one token, of any size that a stage's state may have.
pub const TOKEN: Limits =
    Limits { capacity: 1, max_bytes: 1 << 32, max_item: 1 << 30, when_full: WhenFull::Block };

/// A hidden queue for outputs that wait for room: each item of it is all that came of an item, or of a batch.
pub const SPILL: Limits = Limits { capacity: 1 << 16, ..TOKEN };

/// What a worker takes over live.
pub fn tuning(tuning: &config::Tuning) -> SlotTuning {
    let config::Tuning { sleep, sleep_when_full, sleep_when_empty, log_items, attempts, item_timeout } =
        *tuning;
    SlotTuning { sleep, sleep_when_full, sleep_when_empty, log_items, attempts, item_timeout }
}
