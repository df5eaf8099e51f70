//! Words of a queue. The first line changes with every transaction and is only touched under the lock.

use super::event::Event;
use crate::queue::arena::place::{At, Field};

/// A queue's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {}
pub(crate) type QueueAt = At<Queue>;

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
/// A number that no other queue ever has, also not one of this name that comes after it; 0: nothing has asked for it yet.
/// With an item's number it names the item, see `arena/birth.rs`. In the line of an event, where there is room.
pub(crate) const BIRTH: Field<Queue> = Field::new(120);
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
pub(crate) const COUNTERS: [Field<Queue>; 33] = [
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
    BIRTH,
];

/// FLAGS
pub(crate) const USED: u64 = 1;
pub(crate) const ENDED: u64 = 2;
pub(crate) const CLOSED: u64 = 4;
/// Of a shared queue: no writer will put into it again, and none of its items waits for a machine. What other machines have may
/// still come back.
pub(crate) const ALL_LEASED: u64 = 16;
/// It is no queue, but the window of a stage that keeps the order of its input.
pub(crate) const IS_WINDOW: u64 = 8;
