//! The settings that a running worker takes over live, as words of its slot.

use super::layout::slot;
use super::memory::Memory;
use crate::model::Tuning;

pub(super) fn store(tuning: Tuning, memory: &Memory, slot: usize) {
    for (i, word) in tuning.to_words().into_iter().enumerate() {
        memory.store(slot + slot::TUNING + i * 8, word);
    }
}

pub(super) fn load(memory: &Memory, slot: usize) -> Tuning {
    Tuning::from_words(std::array::from_fn(|i| memory.load(slot + slot::TUNING + i * 8)))
}
