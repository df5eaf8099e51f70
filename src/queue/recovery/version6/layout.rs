//! Where version 6 had what, as offsets in the file. Nothing here ever changes.

pub(in crate::queue::recovery) const VERSION: u64 = 6;

const MAGIC: u64 = u64::from_le_bytes(*b"mprun\0qa");
pub(super) const MAX_QUEUES: u64 = 256;
pub(super) const MAX_SLOTS: u64 = 4096;
pub(super) const HOLDINGS: u64 = 1024;
pub(super) const JOURNAL_MAX: u64 = 320;

pub(super) const DECIDED: u64 = 128;
pub(super) const OPENED: u64 = 216;

pub(super) mod identity {
    /// The boot in which it was used last (two words), whether it was closed, and its user (three words).
    pub(in super::super) const BOOT: u64 = 256;
    pub(in super::super) const CHECK: u64 = 320;
    pub(in super::super) const CHECKED: u64 = 328;
    pub(in super::super) const CHECKED_WORDS: usize = (2656 - 328) / 8;
    pub(in super::super) const PIPELINE_LEN: u64 = 336;
    pub(in super::super) const PIPELINE: u64 = 344;
    pub(in super::super) const PIPELINE_MAX: u64 = 256;
    pub(in super::super) const FILE_LEN: u64 = 600;
    pub(in super::super) const FILE: u64 = 608;
    pub(in super::super) const FILE_MAX: u64 = 2048;
}

pub(super) const JOURNAL: u64 = 4096;
const JOURNAL_SIZE: u64 = 8192;

pub(super) const QUEUES: u64 = 16384;
const QUEUE_SIZE: u64 = 512;

/// Words of a queue.
pub(super) mod queue {
    pub(in super::super) const TAIL: u64 = 0;
    pub(in super::super) const HEAD: u64 = 8;
    pub(in super::super) const RETURNED: u64 = 16;
    pub(in super::super) const DONE: u64 = 24;
    pub(in super::super) const BYTES: u64 = 32;
    pub(in super::super) const RING: u64 = 40;
    pub(in super::super) const DEAD: u64 = 48;
    pub(in super::super) const DROPPED_OLD: u64 = 56;
    pub(in super::super) const FLAGS: u64 = 288;
    pub(in super::super) const USED: u64 = 1;
    /// What a saved copy of format 1 has of a queue: flags, the four bounds, done, dead, dropped old and new, put back.
    pub(in super::super) const COPIED: [u64; 10] =
        [FLAGS, 256, 264, 272, 280, DONE, DEAD, DROPPED_OLD, 296, 312];
}

/// The words of queue `q`.
pub(super) fn queue(q: u64) -> u64 {
    QUEUES + q * QUEUE_SIZE
}

const CLASS_TABLE: u64 = QUEUES + MAX_QUEUES * QUEUE_SIZE;
const LABELS: u64 = CLASS_TABLE + 4096;
const LABEL_SIZE: u64 = 512;
pub(super) const LABEL_MAX: u64 = LABEL_SIZE - 8;

/// The label of queue `q`: its length, then its text.
pub(super) fn label(q: u64) -> u64 {
    LABELS + q * LABEL_SIZE
}

/// Words of a worker's slot.
pub(super) mod slot {
    use super::{ENTRY, HOLDINGS};

    pub(in super::super) const BITMAP: u64 = 128;
    pub(in super::super) const BEGUN: u64 = 256;
    pub(in super::super) const ENTRIES: u64 = 4096;
    pub(in super::super) const JOURNAL: u64 = ENTRIES + HOLDINGS * ENTRY;
}
/// Data, meta, number in the queue, mark.
pub(super) const ENTRY: u64 = 32;
pub(super) const SLOTS: u64 = LABELS + MAX_QUEUES * LABEL_SIZE;
pub(super) const SLOT_SIZE: u64 = slot::JOURNAL + JOURNAL_SIZE;

pub(super) const RING_MAX: u64 = 25;
const RING_SLOT: u64 = 16;
const RINGS: u64 = SLOTS + MAX_SLOTS * SLOT_SIZE;
const RING_SPAN: u64 = RING_SLOT << (RING_MAX + 1);

/// The slot of item number `position` in the ring of 2^k slots of queue `q`.
pub(super) fn ring_slot(q: u64, k: u64, position: u64) -> u64 {
    RINGS + q * RING_SPAN + (RING_SLOT << k) + (position & ((1 << k) - 1)) * RING_SLOT
}

const RETURNED: u64 = RINGS + MAX_QUEUES * RING_SPAN;
pub(super) const RETURNED_MAX: u64 = MAX_SLOTS * HOLDINGS;
const RETURNED_SPAN: u64 = RETURNED_MAX * ENTRY;

/// The stack of returned items of queue `q`.
pub(super) fn returned(q: u64) -> u64 {
    RETURNED + q * RETURNED_SPAN
}

const CLASSES: u64 = 25;
const SMALLEST_SHIFT: u64 = 6;
const REGION_SHIFT: u64 = 34;
const STACKS: u64 = RETURNED + MAX_QUEUES * RETURNED_SPAN;
const STACK_SPAN: u64 = 8 << (REGION_SHIFT - SMALLEST_SHIFT);
pub(super) const HEAP: u64 = (STACKS + 2 * CLASSES * STACK_SPAN).next_multiple_of(1 << 30);
/// Bytes of the file.
const SIZE: u64 = HEAP + (CLASSES << REGION_SHIFT);

/// The bytes of a block that lies there, if one can.
pub(super) fn class_of(block: u64) -> Option<u64> {
    let class = block.checked_sub(HEAP)? >> REGION_SHIFT;
    let size = 1 << (SMALLEST_SHIFT + class.min(CLASSES));
    (class < CLASSES && block.is_multiple_of(size)).then_some(size)
}

/// The words at the head of the file by which an arena is known.
pub(super) const fn header() -> [u64; 8] {
    [MAGIC, VERSION, SIZE, MAX_QUEUES, MAX_SLOTS, HOLDINGS, HEAP, JOURNAL_MAX << 32 | REGION_SHIFT]
}
