//! Where everything lies in the arena: pure arithmetic, fixed for a version of the format.
//!
//! Nothing here depends on the pipeline: a new queue, a new worker or another capacity is a change of words in a
//! live arena. The file is sparse, so only what was touched costs memory.

use super::{Fault, QueueId, SlotId};

/// Queues of an arena.
pub const MAX_QUEUES: usize = if cfg!(miri) { 8 } else { 256 };
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

/// An item this short travels in its descriptor and needs no block.
pub(super) const INLINE: usize = 8;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"mprun\0qa");
/// Counts changes of anything in this file, and of what the words mean: another version's arena is never guessed at.
pub(super) const VERSION: u64 = 6;

pub(super) const HEADER: usize = 0;
pub(super) const LOCK: usize = 64;
/// The commit word: which journal holds a decided transaction, and of how many words; 0: none. In a line of its own, as who
/// waits for the lock keeps looking at that one.
pub(super) const DECIDED: usize = 128;
pub(super) const TAKEOVERS: usize = 192; // locks inherited from the dead: for the curious
pub(super) const REDONE: usize = 200; // transactions finished for the dead
pub(super) const STOPPED: usize = 208; // workers that are stopped now: wake-ups must not rely on one sleeper
pub(super) const OPENED: usize = 216; // slots 0 .. OPENED were ever used: the others' pages need not be looked at

pub(super) const SAFETY: usize = 224; // what has to survive a power cut: see `saving.rs`

/// Whose arena it is, and how it was left: see `identity.rs`.
pub(super) const IDENTITY: usize = 256;

/// Words of the identity, relative to [`IDENTITY`]. The upper half never changes, and the checksum covers it.
pub(super) mod identity {
    /// The boot in which it was used last: two words.
    pub const BOOT: usize = 0;
    /// 1: nobody uses it, and all of it is on the disk.
    pub const CLEAN: usize = 16;
    /// The supervisor that uses it: its pid, and when that began.
    pub const SUPERVISOR: usize = 24;
    pub const SINCE: usize = 32;
    /// That supervisor's run.
    pub const RUN: usize = 40;
    pub const CHECK: usize = 64;
    /// 1: a file on a disk, where every page must be reserved before it is written.
    pub const IN_FILE: usize = 72;
    pub const PIPELINE_LEN: usize = 80;
    pub const PIPELINE: usize = 88;
    pub const PIPELINE_MAX: usize = 256;
    pub const FILE_LEN: usize = 344;
    pub const FILE: usize = 352;
    pub const FILE_MAX: usize = 2048;
    pub const END: usize = FILE + FILE_MAX;
}

/// Words of the handshake with whoever saves the queues: see `saving.rs`. One line, which changes with every transaction,
/// but only where they are saved.
pub(super) mod sync {
    /// Changes so far.
    pub const CHANGES: usize = 2688;
    /// The last of them that is safe.
    pub const SAFE: usize = 2696;
    /// u32 futex: the saver sleeps until something changes.
    pub const ASLEEP: usize = 2704;
    /// u32 futex: somebody waits to be safe.
    pub const URGENT: usize = 2708;
    /// u32 futex: counts what was said to be safe.
    pub const BELL: usize = 2712;
}

/// The place of the queue whose next item somebody wants to see; 0: nobody. Every put reads it: a line that hardly changes.
pub(super) const TAP: usize = 3072;
/// The item that was seen: see `tap.rs`.
pub(super) const SAMPLE: usize = 3136;

/// Words of the sample, relative to [`SAMPLE`].
pub(super) mod sample {
    /// The place of its queue; 0: there is none.
    pub const QUEUE: usize = 0;
    pub const ID: usize = 8;
    pub const LEN: usize = 16;
    pub const TEXT: usize = 24;
    pub const TEXT_MAX: usize = 160;
}

/// The supervisor's journal: {offset, value} pairs. Each worker has its own, so that its lines stay in its processor's
/// cache.
pub(super) const JOURNAL: usize = 4096;
pub(super) const JOURNAL_MAX: usize = 320;
const JOURNAL_SIZE: usize = 8192;

pub(super) const QUEUES: usize = 16384;
const QUEUE_SIZE: usize = 512;

/// Words of a queue. The first line changes with every transaction and is only touched under the lock.
pub(super) mod queue {
    /// Items ever put into the ring.
    pub const TAIL: usize = 0;
    /// Items ever taken out of the ring, to a worker or dropped.
    pub const HEAD: usize = 8;
    /// Items on the returned stack, served before the ring.
    pub const RETURNED: usize = 16;
    pub const DONE: usize = 24;
    /// Bytes of blocks that belong to the queue: staged, waiting, leased.
    pub const BYTES: usize = 32;
    /// log2 of the ring's slots.
    pub const RING: usize = 40;
    pub const DEAD: usize = 48;
    pub const DROPPED_OLD: usize = 56;
    /// Events: {sequence u32, idle u32}, each in its own line.
    pub const NOT_EMPTY: usize = 64;
    pub const NOT_FULL: usize = 128;
    pub const BYTES_FREE: usize = 192;
    pub const EVENTS: [usize; 3] = [NOT_EMPTY, NOT_FULL, BYTES_FREE];
    pub const CAPACITY: usize = 256;
    pub const MAX_BYTES: usize = 264;
    pub const MAX_ITEM: usize = 272;
    pub const WHEN_FULL: usize = 280;
    pub const FLAGS: usize = 288;
    pub const DROPPED_NEW: usize = 296;
    /// Entries of the returned stack whose pages are there for certain: no more items may be out of the ring.
    pub const RETURN_ROOM: usize = 304;
    /// Which item the supervisor has put back last.
    pub const PUT_BACK: usize = 312;
    /// Every word that a removed queue must leave behind as zero.
    pub const COUNTERS: [usize; 11] =
        [TAIL, HEAD, RETURNED, DONE, BYTES, RING, DEAD, DROPPED_OLD, DROPPED_NEW, RETURN_ROOM, PUT_BACK];

    /// FLAGS
    pub const USED: u64 = 1;
    pub const ENDED: u64 = 2;
    pub const CLOSED: u64 = 4;
}

/// Size classes of blocks: 64 B, 128 B, … 1 GiB. (An interpreter has no sparse memory: there all is small.)
pub(super) const CLASSES: usize = if cfg!(miri) { 16 } else { 25 };
const SMALLEST_SHIFT: u32 = 6;
/// Each class has its own virtual region: a class can never run out before the sum of all `max_bytes` does.
pub(super) const REGION_SHIFT: u32 = if cfg!(miri) { 22 } else { 34 };
const CLASS_TABLE: usize = QUEUES + MAX_QUEUES * QUEUE_SIZE;
const CLASS_SIZE: usize = 64;

/// Words of a size class.
pub(super) mod class {
    /// Free blocks whose pages are likely still there.
    pub const HOT: usize = 0;
    /// Free blocks whose pages were given back.
    pub const COLD: usize = 8;
    /// Blocks ever cut from the region.
    pub const CARVED: usize = 16;
    /// Blocks whose pages, and whose cells on the stacks, are there for certain; the next ones must be reserved first.
    /// Only in a file.
    pub const PREPARED: usize = 24;
}

/// What each queue is called, for whoever goes on with it: length, then text.
const LABELS: usize = CLASS_TABLE + 4096;
const LABEL_SIZE: usize = 512;
pub(super) const LABEL_MAX: usize = LABEL_SIZE - 8;

const SLOTS: usize = LABELS + MAX_QUEUES * LABEL_SIZE;
const SLOT_HEADER: usize = 4096;
pub(super) const ENTRY: usize = 32; // data | meta | ticket | mark
const SLOT_JOURNAL: usize = SLOT_HEADER + HOLDINGS * ENTRY;
const SLOT_SIZE: usize = SLOT_JOURNAL + JOURNAL_SIZE;
pub(super) const BITMAP_WORDS: usize = HOLDINGS / 64;

/// Words of a worker's slot.
pub(super) mod slot {
    pub const PID: usize = 0;
    pub const PHASE: usize = 8;
    pub const ENDING: usize = 16;
    pub const ENDING_LEN: usize = 24;
    pub const ORDER: usize = 32;
    /// u32 futex: counts orders and changes of tuning.
    pub const BELL: usize = 40;
    /// Which holdings are live.
    pub const BITMAP: usize = 128;
    /// Table index + 1 of the lease being worked on; 0: none.
    pub const BEGUN: usize = 256;
    /// The program that the worker has started, if any: also the number of its group.
    pub const PROGRAM: usize = 264;
    pub const TAKEN: usize = 320;
    pub const COMPLETED: usize = 328;
    pub const EMITTED: usize = 336;
    pub const BURIED: usize = 344;
    /// How far a source is, and of how much; the second is 0 if it doesn't know.
    pub const PROGRESS: [usize; 2] = [352, 360];
    /// Eight words, see `tuning.rs`.
    pub const TUNING: usize = 384;
    /// When its stage was built; 0: not yet. This and what follows, see `worker_time.rs`.
    pub const BORN: usize = 512;
    pub const WAITED: usize = 520;
    pub const WAITS: usize = 4;
    pub const ITEM_TIME_SUM: usize = 552;
    pub const ITEM_TIMES: usize = 560;
    pub const ITEM_CLASSES: usize = 25;
    pub const ENDING_TEXT: usize = 2048;
    pub const ENDING_TEXT_MAX: usize = 2048;
}

const SLOT_BYTES: usize = 16;
/// A ring of 2^k slots lies 2^k slots behind its queue's ring base, so all sizes of one ring are disjoint.
pub(super) const RING_MIN: u64 = 6;
pub(super) const RING_MAX: u64 = if cfg!(miri) { 13 } else { 25 };
/// A ring this large goes back to the smallest when it runs empty, and its pages go back to the system.
pub(super) const RING_SHRINKS_FROM: u64 = if cfg!(test) { 8 } else { 14 };
const RINGS: usize = SLOTS + MAX_SLOTS * SLOT_SIZE;
const RING_SPAN: usize = SLOT_BYTES << (RING_MAX + 1);

const RETURNED: usize = RINGS + MAX_QUEUES * RING_SPAN;
/// Every lease of every worker fits: returning one needs no room and can't fail.
pub(super) const RETURNED_MAX: u64 = (MAX_SLOTS * HOLDINGS) as u64;
const RETURNED_SPAN: usize = RETURNED_MAX as usize * ENTRY;

const STACKS: usize = RETURNED + MAX_QUEUES * RETURNED_SPAN;
const STACK_SPAN: usize = 8 << (REGION_SHIFT - SMALLEST_SHIFT);
const STACKS_END: usize = STACKS + 2 * CLASSES * STACK_SPAN;

pub(super) const HEAP: usize = STACKS_END.next_multiple_of(if cfg!(miri) { 1 << 20 } else { 1 << 30 });
/// Bytes of the whole arena, virtual.
pub(super) const SIZE: usize = HEAP + (CLASSES << REGION_SHIFT);

/// The words at the head of the file by which an arena is known: magic, version, and the geometry.
pub(super) const fn header() -> [u64; 8] {
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

pub(super) fn queue_at(q: QueueId) -> Result<usize, Fault> {
    if (q.0 as usize) < MAX_QUEUES {
        Ok(QUEUES + q.0 as usize * QUEUE_SIZE)
    } else {
        Err(Fault::damaged("a queue's number", 0, q.0 as u64))
    }
}

/// The label of the queue at `queue`.
pub(super) fn label_of(queue: usize) -> usize {
    LABELS + (queue - QUEUES) / QUEUE_SIZE * LABEL_SIZE
}

pub(super) fn slot_at(s: SlotId) -> Result<usize, Fault> {
    if (s.0 as usize) < MAX_SLOTS {
        Ok(SLOTS + s.0 as usize * SLOT_SIZE)
    } else {
        Err(Fault::damaged("a worker slot's number", 0, s.0 as u64))
    }
}

/// The slots that were ever opened, if that many can be.
pub(super) fn opened_slots(opened: u64) -> impl Iterator<Item = SlotId> {
    (0..opened.min(MAX_SLOTS as u64) as u16).map(SlotId)
}

/// The pages that every arena uses from its start: head, journal, queues, classes, labels.
pub(super) const fn head() -> (usize, usize) {
    (0, SLOTS)
}

/// All pages of a slot.
pub(super) fn slot_area(slot: usize) -> (usize, usize) {
    (slot, SLOT_SIZE)
}

/// Entry `i` of the table of holdings of the slot at `slot`.
pub(super) fn holding(slot: usize, i: usize) -> usize {
    debug_assert!(i < HOLDINGS);
    slot + SLOT_HEADER + i * ENTRY
}

/// The journal of the worker in the slot at `slot`.
pub(super) fn journal_of(slot: usize) -> usize {
    slot + SLOT_JOURNAL
}

/// The commit word of a transaction of `n` words in a journal. Journals lie on page boundaries.
pub(super) fn decided(journal: usize, n: usize) -> u64 {
    (journal | n) as u64
}

/// The journal that a commit word names, and how many words are in it.
pub(super) fn decided_where(word: u64) -> Result<(usize, usize), Fault> {
    let (journal, n) = (word as usize & !4095, word as usize & 4095);
    let in_slots = journal.wrapping_sub(SLOTS + SLOT_JOURNAL);
    let is_workers = in_slots.is_multiple_of(SLOT_SIZE) && in_slots / SLOT_SIZE < MAX_SLOTS;
    if n > JOURNAL_MAX || journal != JOURNAL && !is_workers {
        return Err(Fault::damaged("the commit word", DECIDED as u64, word));
    }
    Ok((journal, n))
}

pub(super) fn class_at(class: usize) -> usize {
    CLASS_TABLE + class * CLASS_SIZE
}

/// Where the ring of queue `q` with 2^k slots starts, and its bytes.
pub(super) fn ring_area(q: QueueId, k: u64) -> (usize, usize) {
    let bytes = SLOT_BYTES << k;
    (RINGS + q.0 as usize * RING_SPAN + bytes, bytes)
}

/// All that the rings of queue `q` up to 2^k slots take, in whole pages.
pub(super) fn rings_up_to(q: QueueId, k: u64) -> (usize, usize) {
    (RINGS + q.0 as usize * RING_SPAN, (SLOT_BYTES << (k.min(RING_MAX) + 1)).next_multiple_of(4096))
}

pub(super) fn ring_slot(q: QueueId, k: u64, position: u64) -> usize {
    ring_area(q, k).0 + (position & ((1 << k) - 1)) as usize * SLOT_BYTES
}

pub(super) fn returned_entry(q: QueueId, i: u64) -> usize {
    RETURNED + q.0 as usize * RETURNED_SPAN + i as usize * ENTRY
}

/// Bytes of a whole returned stack.
pub(super) fn returned_span() -> usize {
    RETURNED_SPAN
}

/// Cell `i` of the stack of hot (or cold) free blocks of a class.
pub(super) fn stack_cell(class: usize, cold: bool, i: u64) -> usize {
    STACKS + (2 * class + cold as usize) * STACK_SPAN + i as usize * 8
}

/// Blocks that a class can ever have.
pub(super) fn class_blocks(class: usize) -> u64 {
    1 << (REGION_SHIFT - SMALLEST_SHIFT - class as u32)
}

/// Bytes of a block of a class.
pub(super) fn block_size(class: usize) -> u64 {
    1 << (SMALLEST_SHIFT + class as u32)
}

/// The smallest class whose blocks hold `len` bytes.
pub(super) fn class_for(len: usize) -> usize {
    (len.max(1 << SMALLEST_SHIFT).next_power_of_two().trailing_zeros() - SMALLEST_SHIFT) as usize
}

/// Block number `n` of a class.
pub(super) fn block_at(class: usize, n: u64) -> u64 {
    (HEAP as u64) + ((class as u64) << REGION_SHIFT) + n * block_size(class)
}

/// The class of the block at `offset`, if a block can lie there.
pub(super) fn class_of_block(offset: u64) -> Result<usize, Fault> {
    let class = offset.wrapping_sub(HEAP as u64) >> REGION_SHIFT;
    if offset < HEAP as u64 || class >= CLASSES as u64 || offset & (block_size(class as usize) - 1) != 0 {
        return Err(Fault::damaged("a block's place", offset, class));
    }
    Ok(class as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_arena_follow_each_other() {
        const { assert!(DECIDED + 64 <= TAKEOVERS && TAKEOVERS < REDONE && REDONE < STOPPED) };
        const { assert!(OPENED + 8 <= SAFETY && SAFETY + 8 <= IDENTITY) };
        const { assert!(IDENTITY + identity::END <= sync::CHANGES && sync::BELL + 4 <= TAP) };
        const { assert!(IDENTITY + identity::END <= TAP && SAMPLE + sample::TEXT + sample::TEXT_MAX <= JOURNAL) };
        const { assert!(JOURNAL + JOURNAL_SIZE <= QUEUES) };
        const { assert!(JOURNAL_MAX * 16 <= JOURNAL_SIZE && JOURNAL_MAX < 4096) };
        assert!(slot_at(SlotId(MAX_SLOTS as u16 - 1)).unwrap() + SLOT_SIZE <= RINGS);
        assert!(ring_slot(QueueId(255), RING_MAX, (1 << RING_MAX) - 1) + SLOT_BYTES <= RETURNED);
        assert!(returned_entry(QueueId(255), RETURNED_MAX) <= STACKS);
        assert!(stack_cell(CLASSES - 1, true, class_blocks(0)) <= HEAP);
        assert!(block_at(CLASSES - 1, class_blocks(CLASSES - 1)) as usize <= SIZE);
    }

    #[test]
    fn a_commit_word_names_a_journal_or_is_refused() {
        let last = journal_of(slot_at(SlotId(MAX_SLOTS as u16 - 1)).unwrap());
        for journal in [JOURNAL, journal_of(slot_at(SlotId(0)).unwrap()), last] {
            assert_eq!(decided_where(decided(journal, JOURNAL_MAX)).unwrap(), (journal, JOURNAL_MAX));
            assert!(decided_where(decided(journal, JOURNAL_MAX) + 1).is_err());
            assert!(decided_where(decided(journal + 4096, 2)).is_err());
        }
        assert!(decided_where(2).is_err() && decided_where(decided(last + SLOT_SIZE, 2)).is_err());
        assert!(decided_where(u64::MAX).is_err());
    }

    #[test]
    fn rings_of_one_queue_do_not_overlap() {
        for k in RING_MIN..RING_MAX {
            let (at, bytes) = ring_area(QueueId(3), k);
            assert!(at + bytes <= ring_area(QueueId(3), k + 1).0);
        }
    }

    #[test]
    fn blocks_are_known_by_their_place() {
        for class in 0..CLASSES {
            let last = class_blocks(class) - 1;
            assert_eq!(class_of_block(block_at(class, last)).unwrap(), class);
            assert!(block_at(class, last) as usize + (block_size(class) as usize) <= SIZE);
        }
        assert!(class_of_block(0).is_err() && class_of_block(HEAP as u64 + 1).is_err());
        assert!(class_of_block(SIZE as u64).is_err() && class_of_block(u64::MAX).is_err());
        assert_eq!([class_for(0), class_for(64), class_for(65), class_for(1 << 30)], [0, 0, 1, 24]);
    }
}
