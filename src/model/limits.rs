//! The bounds of a queue.

use serde::{Deserialize, Serialize};

/// The bounds of a queue: all of them can change while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items waiting, exactly; 1 ..= 16,777,216.
    pub capacity: u64,
    /// Bytes of the blocks that items lie in, rounded up to powers of two: staged, waiting and leased. An item of up to 8 bytes
    /// that was put alone needs none; items that were put together share one, until the last of them has ended.
    pub max_bytes: u64,
    /// Bytes of one item.
    pub max_item: u64,
    /// What a put on a full queue does.
    pub when_full: WhenFull,
}

/// `when_full`: what a put on a full queue does. Its number is stored in the queue's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u64)]
pub enum WhenFull {
    /// Waits for room.
    Block = 0,
    /// Drops the item that is being put.
    DropNew = 1,
    /// Drops the item that waits longest.
    DropOld = 2,
}

impl WhenFull {
    /// As a pipeline file has it.
    pub(crate) fn quoted(self) -> &'static str {
        match self {
            WhenFull::Block => "\"block\"",
            WhenFull::DropNew => "\"drop-new\"",
            WhenFull::DropOld => "\"drop-old\"",
        }
    }

    #[inline]
    pub(crate) fn from_word(word: u64) -> WhenFull {
        match word {
            1 => WhenFull::DropNew,
            2 => WhenFull::DropOld,
            _ => WhenFull::Block,
        }
    }
}
