//! Where everything lies in the arena: pure arithmetic, fixed for a version of the format.
//!
//! Nothing here depends on the pipeline: a new queue, a new worker or another capacity is a change of words in a
//! live arena. The file is sparse, so only what was touched costs memory.
//!
//! `parts` is the map: where each part begins, how large it is, how many there are. The other files have the words of one
//! kind of place, and what lies inside of it.

pub(crate) mod block;
pub(crate) mod checkpoint;
pub(crate) mod descriptor;
pub(crate) mod entry;
pub(crate) mod event;
mod head;
pub(crate) mod identity;
mod journal;
mod parts;
pub(crate) mod queue;
mod queue_places;
pub(crate) mod sample;
pub(crate) mod slot;
pub(crate) mod stage;
#[cfg(test)]
mod tests;

pub(crate) use block::{BlockAt, Class, FreeStack};
pub(crate) use descriptor::DescriptorAt;
pub(crate) use entry::EntryAt;
#[cfg(test)]
pub(crate) use event::Event;
pub(crate) use event::EventAt;
pub(crate) use head::{
    DECIDED, DURABILITY, HEADER, LOCK, OPENED, OPENED_QUEUES, REDONE, STOPPED, TAKEOVERS, TAP,
};
pub(crate) use journal::{JOURNAL, JournalAt, journalled_word};
pub(crate) use parts::{
    BITMAP_WORDS, DELAYED_MAX, DELAYED_SHIFT, HEAD_PAGES, HEAP, IDENTITY_AREA, INLINE, JOURNAL_MAX,
    LABEL_MAX, MAGIC, PLACES, QUEUES_OPENED_AT_ONCE, RETURNED_MAX, RING_MAX, RING_MIN, RING_SHRINKS_FROM,
    SIZE, VERSION, header,
};
pub use parts::{
    HOLDINGS, MAX_BATCH, MAX_CAPACITY, MAX_FAN, MAX_ITEM, MAX_QUEUES, MAX_SLOTS, MAX_STAGES, NOTE_WORDS,
};
pub(crate) use queue::{Queue, QueueAt};
pub(crate) use slot::SlotAt;
pub(crate) use stage::{Stage, StageAt};
