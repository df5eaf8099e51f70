//! The settings that a running worker takes over live, as words of its slot.

use super::layout::{SlotAt, slot};
use super::memory::Memory;
use crate::model::Tuning;

pub(crate) fn store(tuning: Tuning, memory: &Memory, slot: SlotAt) {
    for (i, word) in tuning.to_words().into_iter().enumerate() {
        memory.store((slot + slot::TUNING).word(i), word);
    }
}

pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Tuning {
    Tuning::from_words(std::array::from_fn(|i| memory.load((slot + slot::TUNING).word(i))))
}
