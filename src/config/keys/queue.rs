//! `[queues.NAME]`.

use crate::config::elements::{Count, Size, part, table};
use crate::config::pipeline::{Limits, Sync, WhenFull};

/// Bytes of the greatest item that any queue can hold.
const MAX_ITEM_BYTES: u64 = 1 << 30;
/// The most bytes that all queues together may hold.
const MAX_QUEUE_BYTES: u64 = 16 << 30;

table! {
    /// `[queues.NAME]`.
    QueueKeys = "a queue" {
        /// The largest number of items that may wait in it.
        capacity: Count<1, 16_777_216> = 1024, also "size" "max_items" "length" "limit" "maxsize" "max_size";
        /// The largest number of bytes of its items, waiting and leased.
        max_bytes: Size<MAX_QUEUE_BYTES> = 64 << 20, also "bytes" "memory";
        /// The longest item that it accepts. Lowered to `max_bytes` where only that one is given and smaller.
        max_item: Size<MAX_ITEM_BYTES> = 16 << 20, also "max_item_size" "item_size";
        /// What happens to a new item when the queue is full: its stage waits ("block"), the new item is dropped
        /// ("drop-new"), or the oldest waiting item is ("drop-old").
        when_full: WhenFull = WhenFull::Block, also "on_full" "overflow" "policy";
        /// Keeps all queues of the pipeline in a file in the state folder: after any kill the next start resumes
        /// from it.
        durable: bool = false, also "persistent" "persist";
        /// What a power cut may lose of durable queues: all items in them ("never"), the changes of the last second
        /// or two
        /// ("interval"), or nothing that was put ("always": each commit waits for the disk).
        sync: Sync = Sync::Never, also "fsync";
        /// Keeps the queue in the broker, where all machines with this file take from it and put into it. Its `capacity`
        /// counts the items of all machines; `max_bytes` bounds what this machine has taken.
        shared: bool = false, also "distributed" "remote" "global";
        /// Of a queue that is not shared, behind a stage that reads a shared one: its items may get lost, or come
        /// twice, when this machine dies.
        lossy: bool = false, also "allow_loss" "best_effort";
    }
}

part! { QueueKeys => Limits { capacity, max_bytes, max_item, when_full } }
