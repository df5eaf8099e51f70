//! The bounds of hidden queues.

use crate::model::{Limits, WhenFull};

/// A hidden queue for one token, of any size that a stage's state may have.
pub const TOKEN: Limits =
    Limits { capacity: 1, max_bytes: 1 << 32, max_item: 1 << 30, when_full: WhenFull::Block };

/// A hidden queue for outputs that wait for room: each item of it is all that came of an item, or of a batch.
pub const SPILL: Limits = Limits { capacity: 1 << 16, ..TOKEN };
