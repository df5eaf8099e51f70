//! Where each part of the arena begins and how large it is; how many there can be of each kind.

use super::identity;
use super::{descriptor, entry};
use crate::queue::arena::place::Area;

/// Queues of an arena.
pub const MAX_QUEUES: usize = if cfg!(miri) { 8 } else { 4096 };
/// Workers that can be attached at once.
pub const MAX_SLOTS: usize = if cfg!(miri) { 8 } else { 4096 };
/// Leased items and reserved blocks that one worker may hold.
pub const HOLDINGS: usize = 1024;
/// Items taken, or published to one queue, in one transaction.
pub const MAX_BATCH: usize = 512;
/// Input or output queues of one worker: bounds the words of one transaction.
pub const MAX_FAN: usize = 16;
/// Items waiting in a queue, at most.
pub const MAX_CAPACITY: u64 = 1 << 24;
/// Bytes of one item, at most.
pub const MAX_ITEM: u64 = 1 << (SMALLEST_SHIFT as usize + CLASSES - 1);

/// An item of at most this many bytes travels in its descriptor and needs no block.
pub(crate) const INLINE: usize = 8;

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"mprun\0qa");
/// Counts changes of anything in this file, and of what the words mean: another version's arena is never guessed at.
pub(crate) const VERSION: u64 = 7;

pub(super) const JOURNAL_START: usize = 4096;
/// A worker's largest transaction ends 512 leases, each of them in an extent of its own.
pub(crate) const JOURNAL_MAX: usize = 1000;
pub(super) const JOURNAL_SIZE: usize = 16384;

pub(super) const CLASS_TABLE: usize = JOURNAL_START + JOURNAL_SIZE;
pub(super) const CLASS_SIZE: usize = 64;
pub(super) const QUEUES: usize = CLASS_TABLE + 4096;
pub(super) const QUEUE_SIZE: usize = 512;
/// Queues that get their pages together.
pub(crate) const QUEUES_OPENED_AT_ONCE: usize = if cfg!(miri) { 8 } else { 64 };

/// What each queue is called, for the next run: length, then text; and behind that two notes.
pub(super) const LABELS: usize = QUEUES + MAX_QUEUES * QUEUE_SIZE;
pub(super) const LABEL_SIZE: usize = 512;
pub(crate) const LABEL_MAX: usize = LABEL_SIZE - 8 - 2 * 8 * NOTE_WORDS;
/// Words of a note.
pub const NOTE_WORDS: usize = 16;

/// Stages that an arena has words for.
pub const MAX_STAGES: usize = if cfg!(miri) { 8 } else { 4096 };
pub(super) const STAGES: usize = LABELS + MAX_QUEUES * LABEL_SIZE;
pub(super) const STAGE_SIZE: usize = 256;

pub(super) const SLOTS: usize = (STAGES + MAX_STAGES * STAGE_SIZE).next_multiple_of(4096);
pub(super) const SLOT_HEADER: usize = 4096;
pub(super) const SLOT_JOURNAL: usize = SLOT_HEADER + HOLDINGS * ENTRY;
pub(super) const SLOT_SIZE: usize = SLOT_JOURNAL + JOURNAL_SIZE;
pub(crate) const BITMAP_WORDS: usize = HOLDINGS / 64;

/// Size classes of blocks: 64 B, 128 B, … 1 GiB. (An interpreter has no sparse memory: there all is small.)
pub(super) const CLASSES: usize = if cfg!(miri) { 16 } else { 25 };
pub(super) const SMALLEST_SHIFT: u32 = 6;
/// Each class has its own virtual region of 64 GiB. Where a class has cut all of it, puts wait as if their queue were full.
pub(super) const REGION_SHIFT: u32 = if cfg!(miri) { 22 } else { 36 };

/// Bytes of an entry.
pub(super) const ENTRY: usize = entry::WORDS * 8;
pub(super) const RING_SLOT: usize = descriptor::WORDS * 8;
/// A ring of 2^k slots lies 2^k slots behind its queue's ring base, so all sizes of one ring are disjoint.
pub(crate) const RING_MIN: u64 = 6;
pub(crate) const RING_MAX: u64 = if cfg!(miri) { 13 } else { 25 };
/// A ring this large goes back to the smallest when it runs empty, and its pages go back to the system.
pub(crate) const RING_SHRINKS_FROM: u64 = if cfg!(test) { 8 } else { 14 };
pub(super) const RINGS: usize = SLOTS + MAX_SLOTS * SLOT_SIZE;
pub(super) const RING_SPAN: usize = RING_SLOT << (RING_MAX + 1);

pub(super) const RETURNED: usize = RINGS + MAX_QUEUES * RING_SPAN;
/// Every lease of every worker fits: returning one needs no room and can't fail.
pub(crate) const RETURNED_MAX: u64 = (MAX_SLOTS * HOLDINGS) as u64;
pub(super) const RETURNED_SPAN: usize = RETURNED_MAX as usize * ENTRY;

pub(super) const DELAYED: usize = RETURNED + MAX_QUEUES * RETURNED_SPAN;
/// log2 of the items of one queue that can be delayed at once.
pub(crate) const DELAYED_SHIFT: u32 = if cfg!(miri) { 6 } else { 20 };
pub(crate) const DELAYED_MAX: u64 = 1 << DELAYED_SHIFT;
pub(super) const DELAYED_SPAN: usize = DELAYED_MAX as usize * (ENTRY + 8);

/// Items from the first open place of a window on that can have a place in it. Its words that say which are closed, with all
/// else that a transaction changes, are within [`JOURNAL_MAX`].
pub(crate) const PLACES: u64 = if cfg!(miri) { 4096 } else { 1 << 14 };

pub(super) const STACKS: usize = DELAYED + MAX_QUEUES * DELAYED_SPAN;
pub(super) const STACK_SPAN: usize = 8 << (REGION_SHIFT - SMALLEST_SHIFT);
pub(super) const STACKS_END: usize = STACKS + 2 * CLASSES * STACK_SPAN;

pub(crate) const HEAP: usize = STACKS_END.next_multiple_of(if cfg!(miri) { 1 << 20 } else { 1 << 30 });
/// Bytes of the whole arena, virtual: some 7 TiB. A file of ext4 may have 16 TiB, an address space 128 TiB.
pub(crate) const SIZE: usize = HEAP + (CLASSES << REGION_SHIFT);

/// The words at the head of the file by which an arena is known: magic, version, and the geometry.
pub(crate) const fn header() -> [u64; 8] {
    [
        MAGIC,
        VERSION,
        SIZE as u64,
        MAX_QUEUES as u64,
        MAX_SLOTS as u64,
        HOLDINGS as u64,
        HEAP as u64,
        (JOURNAL_MAX as u64) << 32 | REGION_SHIFT as u64,
    ]
}

/// The pages that every arena uses from its start: header, journal, classes.
pub(crate) const HEAD_PAGES: Area = Area { start: 0, bytes: QUEUES };
/// The words that say whose the arena is and how it was left.
pub(crate) const IDENTITY_AREA: Area = Area { start: 0, bytes: identity::END };
