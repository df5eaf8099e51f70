//! Where everything lies in the arena: pure arithmetic, fixed for a version of the format.
//!
//! Nothing here depends on the pipeline: a new queue, a new worker or another capacity is a change of words in a
//! live arena. The file is sparse, so only what was touched costs memory.

use super::fault::Fault;
use super::place::{Area, At, Field, WordAt, Words};
use crate::queue::{QueueId, SlotId, StageId};

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

/// The words by which an arena is known, see [`header`].
pub(crate) const HEADER: At<Words> = At::new(0);
pub(crate) const LOCK: At<u32> = At::new(64);
/// The commit word: which journal holds a decided transaction, and of how many words; 0: none. In a line of its own:
/// waiters for the lock keep reading the lock's line.
pub(crate) const DECIDED: WordAt = At::new(128);
/// Locks taken over from dead owners.
pub(crate) const TAKEOVERS: WordAt = At::new(192);
/// Transactions finished for dead workers.
pub(crate) const REDONE: WordAt = At::new(200);
/// Workers that are stopped now: a wake-up must not rely on one waiter.
pub(crate) const STOPPED: WordAt = At::new(208);
/// Slots `0 .. OPENED` were ever used: the others' pages need not be read.
pub(crate) const OPENED: WordAt = At::new(216);
/// What has to survive a power cut: see `transaction/checkpoint.rs`.
pub(crate) const DURABILITY: WordAt = At::new(224);
/// Queues `0 .. OPENED_QUEUES` were ever used: the others' pages need not be read.
pub(crate) const OPENED_QUEUES: WordAt = At::new(232);

/// Whose arena it is, and how it was left: see `identity.rs`. From `CHECK` on nothing ever changes, and the checksum
/// covers it.
pub(crate) mod identity {
    use super::{At, WordAt, Words};

    const START: usize = 256;
    /// The boot in which it was used last.
    pub(crate) const BOOT: [WordAt; 2] = [At::new(START), At::new(START + 8)];
    /// 1: no process uses it, and all of it is on the disk.
    pub(crate) const CLEAN: WordAt = At::new(START + 16);
    /// The supervisor that uses it: its pid, when that began, and its run.
    pub(crate) const USER: [WordAt; 3] = [At::new(START + 24), At::new(START + 32), At::new(START + 40)];
    pub(crate) const CHECK: WordAt = At::new(START + 64);
    /// 1: a file on a disk, where every page must be reserved before it is written.
    pub(crate) const IN_FILE: WordAt = At::new(START + 72);
    pub(crate) const PIPELINE_LEN: WordAt = At::new(START + 80);
    pub(crate) const PIPELINE: At<Words> = At::new(START + 88);
    pub(crate) const PIPELINE_MAX: usize = 256;
    pub(crate) const FILE_LEN: WordAt = At::new(START + 344);
    pub(crate) const FILE: At<Words> = At::new(START + 352);
    pub(crate) const FILE_MAX: usize = 2048;
    /// All that the checksum covers.
    pub(crate) const CHECKED: At<Words> = At::new(START + 72);
    pub(crate) const CHECKED_WORDS: usize = (352 + FILE_MAX - 72) / 8;
    pub(super) const END: usize = START + 352 + FILE_MAX;
}

/// The handshake with the thread that saves the queues: see `transaction/checkpoint.rs`. One line, which changes with
/// every transaction, but only where they are saved.
pub(crate) mod checkpoint {
    use super::{At, WordAt};

    /// Changes so far.
    pub(crate) const CHANGES: WordAt = At::new(2688);
    /// The last of them that is on the disk.
    pub(crate) const SAVED: WordAt = At::new(2696);
    /// Futex: the saving thread sleeps until something changes.
    pub(crate) const IDLE: At<u32> = At::new(2704);
    /// Futex: a worker waits for its change to be saved.
    pub(crate) const URGENT: At<u32> = At::new(2708);
    /// Futex: counts changes of `SAVED`.
    pub(crate) const SAVED_SEQUENCE: At<u32> = At::new(2712);
}

/// The place of the queue whose next item is to be shown; 0: none. Every put reads it: a line that hardly changes.
pub(crate) const TAP: WordAt = At::new(3072);

/// The item that was shown: see `transaction/tap.rs`.
pub(crate) mod sample {
    use super::{At, WordAt, Words};

    const START: usize = 3136;
    /// The place of its queue; 0: there is none.
    pub(crate) const QUEUE: WordAt = At::new(START);
    pub(crate) const ID: WordAt = At::new(START + 8);
    pub(crate) const LEN: WordAt = At::new(START + 16);
    pub(crate) const TEXT: At<Words> = At::new(START + 24);
    pub(crate) const TEXT_MAX: usize = 160;
    #[cfg(test)]
    pub(super) const END: usize = START + 24 + TEXT_MAX;
}

/// A journal: {offset, value} pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {}
pub(crate) type JournalAt = At<Journal>;

/// The supervisor's journal. Each worker has its own, so that its lines stay in its processor's cache.
pub(crate) const JOURNAL: JournalAt = At::new(4096);
/// A worker's largest transaction ends 512 leases, each of them in an extent of its own.
pub(crate) const JOURNAL_MAX: usize = 1000;
const JOURNAL_SIZE: usize = 16384;

impl JournalAt {
    /// Pair `i`: the place of a word's offset, and of its value.
    #[inline]
    pub(crate) fn pair(self, i: usize) -> [WordAt; 2] {
        [At::new(self.offset() + i * 16), At::new(self.offset() + i * 16 + 8)]
    }

    /// The commit word of a transaction of `n` words in this journal. Journals lie on page boundaries.
    pub(crate) fn decided(self, n: usize) -> u64 {
        (self.offset() | n) as u64
    }

    /// The journal that a commit word names, and how many words are in it.
    pub(crate) fn of_decided(word: u64) -> Result<(JournalAt, usize), Fault> {
        let (journal, n) = (word as usize & !4095, word as usize & 4095);
        let in_slots = journal.wrapping_sub(SLOTS + SLOT_JOURNAL);
        let is_workers = in_slots.is_multiple_of(SLOT_SIZE) && in_slots / SLOT_SIZE < MAX_SLOTS;
        if n > JOURNAL_MAX || journal != JOURNAL.offset() && !is_workers {
            return Err(Fault::damaged("the commit word", DECIDED, word));
        }
        Ok((At::new(journal), n))
    }
}

/// The control word that a journal names by its offset, if a transaction may change one there.
pub(crate) fn journalled_word(offset: u64, named_at: WordAt) -> Result<WordAt, Fault> {
    let is_control = (CLASS_TABLE as u64..HEAP as u64).contains(&offset) && offset.is_multiple_of(8);
    if !is_control && BlockAt::named_by(offset).class().is_err() {
        return Err(Fault::damaged("an offset in the journal", named_at, offset));
    }
    Ok(At::new(offset as usize))
}

const CLASS_TABLE: usize = JOURNAL.offset() + JOURNAL_SIZE;
const CLASS_SIZE: usize = 64;
const QUEUES: usize = CLASS_TABLE + 4096;
const QUEUE_SIZE: usize = 512;
/// Queues that get their pages together.
pub(crate) const QUEUES_OPENED_AT_ONCE: usize = if cfg!(miri) { 8 } else { 64 };

/// A queue's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {}
pub(crate) type QueueAt = At<Queue>;

/// What waiters sleep on: see `transaction/event.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {}
pub(crate) type EventAt = At<Event>;

/// Words of an event.
pub(crate) mod event {
    use super::{Event, Field};

    pub(crate) const SEQUENCE: Field<Event, u32> = Field::new(0);
    /// Not 0: there may be a waiter.
    pub(crate) const IDLE: Field<Event, u32> = Field::new(4);
}

/// Words of a queue. The first line changes with every transaction and is only touched under the lock.
pub(crate) mod queue {
    use super::{Event, Field, Queue};

    /// Items ever put into the ring.
    pub(crate) const TAIL: Field<Queue> = Field::new(0);
    /// Items ever taken out of the ring, to a worker or dropped.
    pub(crate) const HEAD: Field<Queue> = Field::new(8);
    /// Items of the returned stack, served before the ring.
    pub(crate) const RETURNED: Field<Queue> = Field::new(16);
    pub(crate) const DONE: Field<Queue> = Field::new(24);
    /// Bytes of blocks that belong to the queue: staged, waiting, leased.
    pub(crate) const BYTES: Field<Queue> = Field::new(32);
    /// log2 of the ring's slots.
    pub(crate) const RING: Field<Queue> = Field::new(40);
    /// Slots of the ring ever filled.
    pub(crate) const LAST_SLOT: Field<Queue> = Field::new(48);
    /// Slots of the ring ever emptied. With it, what each transaction writes lies in one line.
    pub(crate) const FIRST_SLOT: Field<Queue> = Field::new(56);
    /// Events, each in its own line.
    pub(crate) const NOT_EMPTY: Field<Queue, Event> = Field::new(64);
    pub(crate) const NOT_FULL: Field<Queue, Event> = Field::new(128);
    pub(crate) const BYTES_FREE: Field<Queue, Event> = Field::new(192);
    pub(crate) const EVENTS: [Field<Queue, Event>; 3] = [NOT_EMPTY, NOT_FULL, BYTES_FREE];
    pub(crate) const CAPACITY: Field<Queue> = Field::new(256);
    pub(crate) const MAX_BYTES: Field<Queue> = Field::new(264);
    pub(crate) const MAX_ITEM: Field<Queue> = Field::new(272);
    pub(crate) const WHEN_FULL: Field<Queue> = Field::new(280);
    pub(crate) const FLAGS: Field<Queue> = Field::new(288);
    pub(crate) const DROPPED_NEW: Field<Queue> = Field::new(296);
    /// Entries of the returned stack whose pages are reserved: no more items may be out of the ring.
    pub(crate) const RETURN_ROOM: Field<Queue> = Field::new(304);
    /// Which item the supervisor has put back last.
    pub(crate) const PUT_BACK: Field<Queue> = Field::new(312);
    pub(crate) const DEAD: Field<Queue> = Field::new(320);
    pub(crate) const DROPPED_OLD: Field<Queue> = Field::new(328);
    /// Items of the first slot's span that are gone.
    pub(crate) const SKIPPED: Field<Queue> = Field::new(336);
    /// Entries of the returned stack.
    pub(crate) const RETURNED_ENTRIES: Field<Queue> = Field::new(344);
    /// Items beyond the capacity that there is room for: delayed ones keep no new one out of a stage in which only failures
    /// are known. See `transaction/failing.rs`.
    pub(crate) const EXTRA_ROOM: Field<Queue> = Field::new(352);
    /// Items that wait for their time. This and what follows, see `transaction/delayed.rs`.
    pub(crate) const DELAYED: Field<Queue> = Field::new(384);
    /// Entries of the table of delayed items that were ever used.
    pub(crate) const DELAY_USED: Field<Queue> = Field::new(392);
    /// Its entries whose pages are reserved. Only in a file.
    pub(crate) const DELAY_ROOM: Field<Queue> = Field::new(400);
    /// Due times are this many milliseconds ahead of the clock, which was set back.
    pub(crate) const DELAY_SHIFT: Field<Queue> = Field::new(408);
    /// The longest that an item may be delayed, in milliseconds.
    pub(crate) const DELAY_MOST: Field<Queue> = Field::new(416);
    /// Of an input whose items keep their order: its window, as `QueueAt::link` has it. This and what follows, see
    /// `transaction/window.rs`.
    pub(crate) const WINDOW: Field<Queue> = Field::new(424);
    /// Of a window: the queue whose items' order it keeps.
    pub(crate) const WINDOW_OF: Field<Queue> = Field::new(432);
    /// Of a window: the number of the item whose outputs come next.
    pub(crate) const NEXT_PLACE: Field<Queue> = Field::new(440);
    /// Of a window: items that ended, and whose outputs have not all come out.
    pub(crate) const CLOSED_PLACES: Field<Queue> = Field::new(448);
    /// Of a window: the number from which on it keeps the order.
    pub(crate) const ORDERED_FROM: Field<Queue> = Field::new(456);
    /// Of a window: what its next place has published: a number of descriptors, and items of the one behind them.
    pub(crate) const MOVED: [Field<Queue>; 2] = [Field::new(464), Field::new(472)];
    /// Of a window: the output without room that it waits for, and the window that waits behind it.
    pub(crate) const HELD_UP_BY: Field<Queue> = Field::new(480);
    pub(crate) const HELD_UP_NEXT: Field<Queue> = Field::new(488);
    /// Of an output: the first window that waits for its room.
    pub(crate) const HELD_UP: Field<Queue> = Field::new(496);
    /// Of an output: items for it in windows.
    pub(crate) const PENDING: Field<Queue> = Field::new(504);
    /// Every word that a removed queue must leave behind as zero.
    pub(crate) const COUNTERS: [Field<Queue>; 32] = [
        TAIL,
        HEAD,
        RETURNED,
        DONE,
        BYTES,
        RING,
        DEAD,
        DROPPED_OLD,
        DROPPED_NEW,
        RETURN_ROOM,
        PUT_BACK,
        LAST_SLOT,
        FIRST_SLOT,
        SKIPPED,
        RETURNED_ENTRIES,
        EXTRA_ROOM,
        DELAYED,
        DELAY_USED,
        DELAY_ROOM,
        DELAY_SHIFT,
        DELAY_MOST,
        WINDOW,
        WINDOW_OF,
        NEXT_PLACE,
        CLOSED_PLACES,
        ORDERED_FROM,
        MOVED[0],
        MOVED[1],
        HELD_UP_BY,
        HELD_UP_NEXT,
        HELD_UP,
        PENDING,
    ];

    /// FLAGS
    pub(crate) const USED: u64 = 1;
    pub(crate) const ENDED: u64 = 2;
    pub(crate) const CLOSED: u64 = 4;
    /// It is no queue, but the window of a stage that keeps the order of its input.
    pub(crate) const IS_WINDOW: u64 = 8;
}

impl QueueAt {
    #[inline]
    pub(crate) fn of(q: QueueId) -> Result<QueueAt, Fault> {
        if (q.0 as usize) < MAX_QUEUES {
            Ok(QueueAt::nth(q.0))
        } else {
            Err(Fault::damaged("a queue's number", 0_u64, q.0 as u64))
        }
    }

    /// The queue of an index that is known to be one.
    #[inline]
    pub(crate) fn nth(index: u16) -> QueueAt {
        At::new(QUEUES + index as usize * QUEUE_SIZE)
    }

    /// The queues that were ever opened, if that many can be.
    pub(crate) fn opened(opened: u64) -> impl Iterator<Item = QueueAt> {
        (0..opened.min(MAX_QUEUES as u64) as u16).map(QueueAt::nth)
    }

    /// The words and the labels of the queues from this one on that get their pages together.
    pub(crate) fn opened_areas(self) -> [Area; 2] {
        let label = LABELS + self.index() * LABEL_SIZE;
        [(self.offset(), QUEUE_SIZE), (label, LABEL_SIZE)]
            .map(|(start, size)| Area { start, bytes: QUEUES_OPENED_AT_ONCE * size })
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        (self.offset() - QUEUES) / QUEUE_SIZE
    }

    /// The word that names it in another queue's words, where 0 is none.
    pub(crate) fn link(self) -> u64 {
        self.index() as u64 + 1
    }

    /// The queue that such a word names.
    #[inline]
    pub(crate) fn linked(word: u64) -> Option<QueueAt> {
        let index = usize::try_from(word.checked_sub(1)?).ok().filter(|&index| index < MAX_QUEUES)?;
        Some(QueueAt::nth(index as u16))
    }

    pub(crate) fn id(self) -> QueueId {
        QueueId(self.index() as u16)
    }

    /// The place of the queue's label, its length and its text.
    pub(crate) fn label(self) -> (WordAt, At<Words>) {
        let at = LABELS + self.index() * LABEL_SIZE;
        (At::new(at), At::new(at + 8))
    }

    /// The place of one of the two notes that the holder of the queue's one item may leave: see `note.rs`.
    pub(crate) fn note(self, second: bool) -> At<Words> {
        At::new(LABELS + self.index() * LABEL_SIZE + 8 + LABEL_MAX + 8 * NOTE_WORDS * usize::from(second))
    }

    #[inline]
    fn rings(self) -> usize {
        RINGS + self.index() * RING_SPAN
    }

    /// The ring with 2^k slots.
    pub(crate) fn ring(self, k: u64) -> Area {
        let bytes = RING_SLOT << k;
        Area { start: self.rings() + bytes, bytes }
    }

    /// All that the rings up to 2^k slots take, in whole pages.
    pub(crate) fn rings_up_to(self, k: u64) -> Area {
        let bytes = (RING_SLOT << (k.min(RING_MAX) + 1)).next_multiple_of(4096);
        Area { start: self.rings(), bytes }
    }

    /// The rings that one of 2^k slots has grown through since it had 2^from: they lie one behind the other.
    pub(crate) fn rings_from(self, from: u64, k: u64) -> Area {
        let (first, last) = (self.ring(from), self.ring(k.min(RING_MAX)));
        Area { start: first.start, bytes: last.start + last.bytes - first.start }
    }

    /// Slot number `position` in the ring with 2^k slots.
    #[inline]
    pub(crate) fn ring_slot(self, k: u64, position: u64) -> DescriptorAt {
        At::new(self.rings() + (RING_SLOT << k) + (position & ((1 << k) - 1)) as usize * RING_SLOT)
    }

    /// Entry `i` of the returned stack.
    pub(crate) fn returned(self, i: u64) -> EntryAt {
        At::new(RETURNED + self.index() * RETURNED_SPAN + i as usize * ENTRY)
    }

    /// Entry `number` of the table of delayed items.
    pub(crate) fn delayed(self, number: u64) -> EntryAt {
        At::new(DELAYED + self.index() * DELAYED_SPAN + number as usize * ENTRY)
    }

    /// Cell `i` of the heap that says which of them is due next.
    pub(crate) fn due_cell(self, i: u64) -> WordAt {
        At::new(self.delayed(DELAYED_MAX).offset() + i as usize * 8)
    }

    /// Of a window: the place of the item of this number. It lies where a queue has its returned items.
    pub(crate) fn place(self, number: u64) -> EntryAt {
        self.returned(number % PLACES)
    }

    /// Of a window: the word that says whether that place is closed, as its bit `number % 64`. It lies where a queue has
    /// the heap of its delayed items.
    pub(crate) fn closed_word(self, number: u64) -> WordAt {
        self.due_cell(number % PLACES / 64)
    }

    /// All the places of a window.
    pub(crate) fn places_areas(self) -> [Area; 2] {
        let closed = Area { start: self.closed_word(0).offset(), bytes: PLACES as usize / 8 };
        [self.returned_area(0, PLACES), closed]
    }

    /// Entries `from ..` of the table of delayed items, and their cells of the heap.
    pub(crate) fn delayed_areas(self, from: u64, entries: u64) -> [Area; 2] {
        let n = entries as usize;
        [
            Area { start: self.delayed(from).offset(), bytes: n * ENTRY },
            Area { start: self.due_cell(from).offset(), bytes: n * 8 },
        ]
    }

    /// Entries `from ..` of the returned stack.
    pub(crate) fn returned_area(self, from: u64, entries: u64) -> Area {
        Area { start: self.returned(from).offset(), bytes: entries as usize * ENTRY }
    }
}

/// The two words that stand for an item or a block: see `descriptor.rs`. A ring's slot is nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {}
pub(crate) type DescriptorAt = At<Descriptor>;

/// Words of a descriptor.
pub(crate) mod descriptor {
    use super::{Descriptor, Field};

    pub(crate) const DATA: Field<Descriptor> = Field::new(0);
    pub(crate) const META: Field<Descriptor> = Field::new(8);
    pub(crate) const WORDS: usize = 2;
}

/// An item outside of its ring, in a worker's table or on a returned stack: its descriptor, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {}
pub(crate) type EntryAt = At<Entry>;

/// Words of an entry.
pub(crate) mod entry {
    use super::{Descriptor, Entry, Field};

    pub(crate) const DESCRIPTOR: Field<Entry, Descriptor> = Field::new(0);
    /// The item's number in its queue.
    pub(crate) const SEQUENCE: Field<Entry> = Field::new(16);
    /// Outputs that are published already.
    pub(crate) const MARK: Field<Entry> = Field::new(24);
    /// How often it was put off, without a failure.
    pub(crate) const PUT_OFF: Field<Entry> = Field::new(32);
    /// Of a place of a window: items that it is the place of; descriptors of their outputs, and in the lowest bit whether they
    /// are in a list.
    pub(crate) const COVERED: Field<Entry> = Field::new(24);
    pub(crate) const LISTED: Field<Entry> = Field::new(32);
    /// What is known of its failures, see `transaction/failing.rs`.
    pub(crate) const FAILURES: Field<Entry> = Field::new(40);
    /// A cache line: what is not listed here is room for more.
    pub(crate) const WORDS: usize = 8;
}
const ENTRY: usize = entry::WORDS * 8;

impl From<EntryAt> for DescriptorAt {
    #[inline]
    fn from(at: EntryAt) -> DescriptorAt {
        at + entry::DESCRIPTOR
    }
}

/// Size classes of blocks: 64 B, 128 B, … 1 GiB. (An interpreter has no sparse memory: there all is small.)
const CLASSES: usize = if cfg!(miri) { 16 } else { 25 };
const SMALLEST_SHIFT: u32 = 6;
/// Each class has its own virtual region of 64 GiB. Where a class has cut all of it, puts wait as if their queue were full.
const REGION_SHIFT: u32 = if cfg!(miri) { 22 } else { 36 };

/// A size class of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(usize);

/// The free blocks of a class, on two stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FreeStack {
    /// Their pages are likely still there.
    Hot,
    /// Their pages were given back.
    Cold,
}

impl Class {
    /// The smallest class whose blocks hold `len` bytes.
    pub(crate) fn for_len(len: usize) -> Class {
        Class((len.max(1 << SMALLEST_SHIFT).next_power_of_two().trailing_zeros() - SMALLEST_SHIFT) as usize)
    }

    /// Every class, from the smallest.
    pub(crate) fn all() -> impl Iterator<Item = Class> {
        (0..CLASSES).map(Class)
    }

    /// Every class whose blocks have at least this many bytes.
    pub(crate) fn all_from(len: usize) -> impl Iterator<Item = Class> {
        (Class::for_len(len).0..CLASSES).map(Class)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// Bytes of a block.
    pub(crate) fn block_size(self) -> u64 {
        1 << (SMALLEST_SHIFT + self.0 as u32)
    }

    /// Blocks that it can ever have.
    pub(crate) fn blocks(self) -> u64 {
        1 << (REGION_SHIFT - SMALLEST_SHIFT - self.0 as u32)
    }

    fn word(self, i: usize) -> WordAt {
        At::new(CLASS_TABLE + self.0 * CLASS_SIZE + i * 8)
    }

    /// How many free blocks are on a stack.
    pub(crate) fn free(self, stack: FreeStack) -> WordAt {
        self.word(stack as usize)
    }

    /// Blocks ever cut from the region.
    pub(crate) fn carved(self) -> WordAt {
        self.word(2)
    }

    /// Blocks whose pages, and whose cells on the stacks, are reserved. Only in a file.
    pub(crate) fn prepared(self) -> WordAt {
        self.word(3)
    }

    fn cells(self, stack: FreeStack) -> At<Words> {
        At::new(STACKS + (2 * self.0 + stack as usize) * STACK_SPAN)
    }

    /// Cell `i` of the stack of free blocks.
    pub(crate) fn cell(self, stack: FreeStack, i: u64) -> WordAt {
        self.cells(stack).word(i as usize)
    }

    /// Cells `from ..` of the stack of free blocks.
    pub(crate) fn cells_area(self, stack: FreeStack, from: u64, n: u64) -> Area {
        Area { start: self.cell(stack, from).offset(), bytes: n as usize * 8 }
    }

    /// Block number `n`.
    pub(crate) fn block(self, n: u64) -> BlockAt {
        At::new(HEAP + (self.0 << REGION_SHIFT) + (n * self.block_size()) as usize)
    }

    /// Blocks `from ..`.
    pub(crate) fn blocks_area(self, from: u64, n: u64) -> Area {
        Area { start: self.block(from).offset(), bytes: (n * self.block_size()) as usize }
    }
}

/// The payload of an item, an extent, or room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {}
pub(crate) type BlockAt = At<Block>;

/// Words of a block that is an extent, see `extent.rs`.
pub(crate) mod block {
    use super::{Block, Field};

    /// Items of it that have not ended.
    pub(crate) const OUTSTANDING: Field<Block> = Field::new(0);
}

impl BlockAt {
    /// The block that a word of the arena names. Not to be followed unless its class was asked for.
    #[inline]
    pub(crate) fn named_by(word: u64) -> BlockAt {
        At::new(word as usize)
    }

    /// The word that names it.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.offset() as u64
    }

    /// Its class, if a block can lie there.
    #[inline]
    pub(crate) fn class(self) -> Result<Class, Fault> {
        let class = self.offset().wrapping_sub(HEAP) >> REGION_SHIFT;
        if self.offset() < HEAP || class >= CLASSES || self.word() & (Class(class).block_size() - 1) != 0 {
            return Err(Fault::damaged("a block's place", self, class as u64));
        }
        Ok(Class(class))
    }

    /// Descriptor `i` of a block that is a list of them.
    pub(crate) fn listed(self, i: usize) -> DescriptorAt {
        At::new(self.offset() + i * RING_SLOT)
    }

    /// The bytes of a block of this class.
    pub(crate) fn area(self, class: Class) -> Area {
        Area { start: self.offset(), bytes: class.block_size() as usize }
    }
}

/// What each queue is called, for the next run: length, then text; and behind that two notes.
const LABELS: usize = QUEUES + MAX_QUEUES * QUEUE_SIZE;
const LABEL_SIZE: usize = 512;
pub(crate) const LABEL_MAX: usize = LABEL_SIZE - 8 - 2 * 8 * NOTE_WORDS;
/// Words of a note.
pub const NOTE_WORDS: usize = 16;

/// Stages that an arena has words for.
pub const MAX_STAGES: usize = if cfg!(miri) { 8 } else { 4096 };
const STAGES: usize = LABELS + MAX_QUEUES * LABEL_SIZE;
const STAGE_SIZE: usize = 256;

/// What the workers of one stage share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {}
pub(crate) type StageAt = At<Stage>;

/// Words of a stage.
pub(crate) mod stage {
    use super::{Event, Field, Stage};

    /// Items of the stage have failed since one was done. This and what follows, see `transaction/failing.rs`.
    pub(crate) const TOUCHED: Field<Stage> = Field::new(0);
    pub(crate) const EPOCH: Field<Stage> = Field::new(8);
    pub(crate) const FIRST_EPOCH: Field<Stage> = Field::new(16);
    pub(crate) const FAILED: Field<Stage> = Field::new(24);
    pub(crate) const SINCE: Field<Stage> = Field::new(32);
    pub(crate) const PROBER: Field<Stage> = Field::new(40);
    pub(crate) const NEXT_PROBE: Field<Stage> = Field::new(48);
    pub(crate) const PROBES: Field<Stage> = Field::new(56);
    pub(crate) const FORGIVEN: [Field<Stage>; 4] =
        [Field::new(64), Field::new(72), Field::new(80), Field::new(88)];
    /// Workers that may take no item sleep on this.
    pub(crate) const MAY_TAKE: Field<Stage, Event> = Field::new(96);
    /// The slot whose worker has seen the last failure, + 1: its words are in `slot::LAST_WORDS`.
    pub(crate) const LAST_SLOT: Field<Stage> = Field::new(104);
    /// See `rate.rs`.
    pub(crate) const RATE: Field<Stage> = Field::new(128);
}

impl StageAt {
    pub(crate) fn of(id: StageId) -> Result<StageAt, Fault> {
        if (id.0 as usize) < MAX_STAGES {
            Ok(At::new(STAGES + id.0 as usize * STAGE_SIZE))
        } else {
            Err(Fault::damaged("a stage's number", 0_u64, id.0 as u64))
        }
    }

    /// Its number.
    pub(crate) fn number(self) -> u64 {
        ((self.offset() - STAGES) / STAGE_SIZE) as u64
    }

    /// The stage that a slot's word names.
    pub(crate) fn named_by(word: u64) -> Option<StageAt> {
        let number = u16::try_from(word.checked_sub(1)?).ok()?;
        StageAt::of(StageId(number)).ok()
    }

    /// All its words, and no others': where the file system can't reserve room it is filled with zeros.
    pub(crate) fn area(self) -> Area {
        Area { start: self.offset(), bytes: STAGE_SIZE }
    }

    pub(crate) fn words(self) -> impl Iterator<Item = WordAt> {
        (0..STAGE_SIZE / 8).map(move |i| At::new(self.offset() + i * 8))
    }
}

const SLOTS: usize = (STAGES + MAX_STAGES * STAGE_SIZE).next_multiple_of(4096);
const SLOT_HEADER: usize = 4096;
const SLOT_JOURNAL: usize = SLOT_HEADER + HOLDINGS * ENTRY;
const SLOT_SIZE: usize = SLOT_JOURNAL + JOURNAL_SIZE;
pub(crate) const BITMAP_WORDS: usize = HOLDINGS / 64;

/// A worker's words, its table of holdings and its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {}
pub(crate) type SlotAt = At<Slot>;

/// Words of a worker's slot.
pub(crate) mod slot {
    use super::{Field, Slot, Words};

    pub(crate) const PID: Field<Slot> = Field::new(0);
    pub(crate) const PHASE: Field<Slot> = Field::new(8);
    pub(crate) const ENDING: Field<Slot> = Field::new(16);
    pub(crate) const ENDING_LEN: Field<Slot> = Field::new(24);
    pub(crate) const ORDER: Field<Slot> = Field::new(32);
    /// Futex: counts orders and changes of tuning.
    pub(crate) const ORDER_SEQUENCE: Field<Slot, u32> = Field::new(40);
    /// Which holdings are live.
    pub(crate) const BITMAP: Field<Slot, Words> = Field::new(128);
    /// The lease being worked on: its entry of the table + 1, and above 16 bits its place in its extent; 0: none.
    pub(crate) const BEGUN: Field<Slot> = Field::new(256);
    /// The program that the worker has started, if any: also the number of its group.
    pub(crate) const PROGRAM: Field<Slot> = Field::new(264);
    pub(crate) const TAKEN: Field<Slot> = Field::new(320);
    pub(crate) const COMPLETED: Field<Slot> = Field::new(328);
    pub(crate) const EMITTED: Field<Slot> = Field::new(336);
    pub(crate) const DEAD: Field<Slot> = Field::new(344);
    /// How far a source is, and of how much; the second is 0 if it doesn't know.
    pub(crate) const PROGRESS: [Field<Slot>; 2] = [Field::new(352), Field::new(360)];
    /// When its stage was built; 0: not yet. This and what follows, see `worker_time.rs`.
    pub(crate) const BORN: Field<Slot> = Field::new(512);
    pub(crate) const WAITED: Field<Slot, Words> = Field::new(520);
    pub(crate) const WAITS: usize = 4;
    pub(crate) const ITEM_TIME_SUM: Field<Slot> = Field::new(552);
    pub(crate) const ITEM_TIMES: Field<Slot, Words> = Field::new(560);
    pub(crate) const ITEM_CLASSES: usize = 25;
    /// The queues that its worker uses, see `slot_queues.rs`.
    pub(crate) const QUEUES: Field<Slot, Words> = Field::new(896);
    pub(crate) const QUEUES_WORDS: usize = 16;
    /// The number of its stage + 1; 0: none, or not known.
    pub(crate) const STAGE: Field<Slot> = Field::new(272);
    /// 16 words, see `tuning.rs`.
    pub(crate) const TUNING: Field<Slot, Words> = Field::new(1024);
    /// Why its last item failed.
    pub(crate) const LAST_WORDS_LEN: Field<Slot> = Field::new(1152);
    pub(crate) const LAST_WORDS: Field<Slot, Words> = Field::new(1160);
    pub(crate) const LAST_WORDS_MAX: usize = 504;
    pub(crate) const ENDING_TEXT: Field<Slot, Words> = Field::new(2048);
    pub(crate) const ENDING_TEXT_MAX: usize = 2048;
}

impl SlotAt {
    pub(crate) fn of(id: SlotId) -> Result<SlotAt, Fault> {
        if (id.0 as usize) < MAX_SLOTS {
            Ok(At::new(SLOTS + id.0 as usize * SLOT_SIZE))
        } else {
            Err(Fault::damaged("a worker slot's number", 0_u64, id.0 as u64))
        }
    }

    /// The slots that were ever opened, if that many can be.
    pub(crate) fn opened(opened: u64) -> impl Iterator<Item = SlotAt> {
        (0..opened.min(MAX_SLOTS as u64) as usize).map(|i| At::new(SLOTS + i * SLOT_SIZE))
    }

    pub(crate) fn id(self) -> SlotId {
        SlotId(((self.offset() - SLOTS) / SLOT_SIZE) as u16)
    }

    /// All its pages.
    pub(crate) fn area(self) -> Area {
        Area { start: self.offset(), bytes: SLOT_SIZE }
    }

    /// Entry `i` of the table of holdings.
    #[inline]
    pub(crate) fn entry(self, i: u16) -> EntryAt {
        debug_assert!((i as usize) < HOLDINGS);
        At::new(self.offset() + SLOT_HEADER + i as usize * ENTRY)
    }

    pub(crate) fn journal(self) -> JournalAt {
        At::new(self.offset() + SLOT_JOURNAL)
    }
}

const RING_SLOT: usize = descriptor::WORDS * 8;
/// A ring of 2^k slots lies 2^k slots behind its queue's ring base, so all sizes of one ring are disjoint.
pub(crate) const RING_MIN: u64 = 6;
pub(crate) const RING_MAX: u64 = if cfg!(miri) { 13 } else { 25 };
/// A ring this large goes back to the smallest when it runs empty, and its pages go back to the system.
pub(crate) const RING_SHRINKS_FROM: u64 = if cfg!(test) { 8 } else { 14 };
const RINGS: usize = SLOTS + MAX_SLOTS * SLOT_SIZE;
const RING_SPAN: usize = RING_SLOT << (RING_MAX + 1);

const RETURNED: usize = RINGS + MAX_QUEUES * RING_SPAN;
/// Every lease of every worker fits: returning one needs no room and can't fail.
pub(crate) const RETURNED_MAX: u64 = (MAX_SLOTS * HOLDINGS) as u64;
const RETURNED_SPAN: usize = RETURNED_MAX as usize * ENTRY;

const DELAYED: usize = RETURNED + MAX_QUEUES * RETURNED_SPAN;
/// log2 of the items of one queue that can be delayed at once.
pub(crate) const DELAYED_SHIFT: u32 = if cfg!(miri) { 6 } else { 20 };
pub(crate) const DELAYED_MAX: u64 = 1 << DELAYED_SHIFT;
const DELAYED_SPAN: usize = DELAYED_MAX as usize * (ENTRY + 8);

/// Items from the first open place of a window on that can have a place in it. Its words that say which are closed, with all
/// else that a transaction changes, are within [`JOURNAL_MAX`].
pub(crate) const PLACES: u64 = if cfg!(miri) { 4096 } else { 1 << 14 };

const STACKS: usize = DELAYED + MAX_QUEUES * DELAYED_SPAN;
const STACK_SPAN: usize = 8 << (REGION_SHIFT - SMALLEST_SHIFT);
const STACKS_END: usize = STACKS + 2 * CLASSES * STACK_SPAN;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn last_slot() -> SlotAt {
        SlotAt::of(SlotId(MAX_SLOTS as u16 - 1)).unwrap()
    }

    #[test]
    fn the_parts_of_the_arena_follow_each_other() {
        let line = |words: &[WordAt]| words.windows(2).all(|pair| pair[0].offset() + 8 <= pair[1].offset());
        assert!(DECIDED.offset() + 64 <= TAKEOVERS.offset());
        assert!(line(&[TAKEOVERS, REDONE, STOPPED, OPENED, DURABILITY, OPENED_QUEUES, identity::BOOT[0]]));
        const { assert!(identity::END <= checkpoint::CHANGES.offset()) };
        const { assert!(checkpoint::SAVED_SEQUENCE.offset() + 4 <= TAP.offset()) };
        const { assert!(sample::END <= JOURNAL.offset() && JOURNAL.offset() + JOURNAL_SIZE <= CLASS_TABLE) };
        const { assert!(JOURNAL_MAX * 16 <= JOURNAL_SIZE && JOURNAL_MAX < 4096) };
        let last = QueueAt::of(QueueId(MAX_QUEUES as u16 - 1)).unwrap();
        assert!(last_slot().offset() + SLOT_SIZE <= RINGS);
        assert!(last.ring_slot(RING_MAX, (1 << RING_MAX) - 1).offset() + RING_SLOT <= RETURNED);
        assert!(last.returned(RETURNED_MAX).offset() <= DELAYED);
        assert!(last.due_cell(DELAYED_MAX).offset() <= STACKS);
        let (smallest, largest) = (Class::for_len(0), Class(CLASSES - 1));
        assert!(largest.cell(FreeStack::Cold, smallest.blocks()).offset() <= HEAP);
        assert!(largest.block(largest.blocks()).offset() <= SIZE);
    }

    #[cfg(not(miri))]
    #[test]
    fn the_arena_fits_into_a_file_of_ext4_and_an_address_space() {
        const { assert!(SIZE < 15 << 40, "ext4 with blocks of 4 KiB: 16 TiB") };
        const {
            assert!(
                (1_u64 << REGION_SHIFT) / (64 << 20) >= 1000,
                "a class serves a thousand queues of the default bounds"
            )
        };
    }

    #[test]
    fn a_commit_word_names_a_journal_or_is_refused() {
        let last = last_slot().journal();
        for journal in [JOURNAL, SlotAt::of(SlotId(0)).unwrap().journal(), last] {
            let decided = journal.decided(JOURNAL_MAX);
            assert_eq!(JournalAt::of_decided(decided).unwrap(), (journal, JOURNAL_MAX));
            assert!(JournalAt::of_decided(decided + 1).is_err());
            assert!(JournalAt::of_decided(journal.decided(2) + 4096).is_err());
        }
        assert!(JournalAt::of_decided(2).is_err());
        assert!(JournalAt::of_decided(last.decided(2) + SLOT_SIZE as u64).is_err());
        assert!(JournalAt::of_decided(u64::MAX).is_err());
    }

    #[test]
    fn rings_of_one_queue_do_not_overlap() {
        let queue = QueueAt::of(QueueId(3)).unwrap();
        for k in RING_MIN..RING_MAX {
            let area = queue.ring(k);
            assert!(area.start + area.bytes <= queue.ring(k + 1).start);
        }
    }

    #[test]
    fn blocks_are_known_by_their_place() {
        for class in Class::all() {
            let last = class.block(class.blocks() - 1);
            assert_eq!(last.class().unwrap(), class);
            assert!(last.offset() + class.block_size() as usize <= SIZE);
        }
        let is_none = |word| BlockAt::named_by(word).class().is_err();
        assert!([0, HEAP as u64 + 1, SIZE as u64, u64::MAX].into_iter().all(is_none));
        assert_eq!([0, 64, 65, 1 << 30].map(|len| Class::for_len(len).index()), [0, 0, 1, 24]);
    }
}
