//! Words of a worker's slot, and where its table and its journal lie.

use super::entry::EntryAt;
use super::journal::JournalAt;
use super::parts::{ENTRY, HOLDINGS, MAX_SLOTS, SLOT_HEADER, SLOT_JOURNAL, SLOT_SIZE, SLOTS};
use crate::queue::SlotId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::place::{Area, At, Field, Words};

/// A worker's words, its table of holdings and its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {}
pub(crate) type SlotAt = At<Slot>;

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
/// About how many items the program of `mode = "stream"` has in hand, whose leases have ended. Only the worker writes it.
pub(crate) const HANDED_OVER: Field<Slot> = Field::new(280);
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
