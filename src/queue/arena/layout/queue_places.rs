//! Where the parts of a queue lie: its words, its label, its rings, what was returned, what is delayed.

use super::descriptor::DescriptorAt;
use super::entry::EntryAt;
use super::parts::{
    DELAYED, DELAYED_MAX, DELAYED_SPAN, ENTRY, LABEL_MAX, LABEL_SIZE, LABELS, MAX_QUEUES, NOTE_WORDS, PLACES,
    QUEUE_SIZE, QUEUES, QUEUES_OPENED_AT_ONCE, RETURNED, RETURNED_SPAN, RING_MAX, RING_SLOT, RING_SPAN,
    RINGS,
};
use super::queue::QueueAt;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::place::{Area, At, WordAt, Words};

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
