//! Journals: what a transaction is about to store.

use super::block::BlockAt;
use super::head::DECIDED;
use super::parts::{
    CLASS_TABLE, HEAP, JOURNAL_MAX, JOURNAL_START, MAX_SLOTS, SLOT_JOURNAL, SLOT_SIZE, SLOTS,
};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::place::{At, WordAt};

/// A journal: {offset, value} pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {}
pub(crate) type JournalAt = At<Journal>;

/// The supervisor's journal. Each worker has its own, so that its lines stay in its processor's cache.
pub(crate) const JOURNAL: JournalAt = At::new(JOURNAL_START);

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
