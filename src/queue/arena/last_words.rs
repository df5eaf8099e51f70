//! Why the last item of a worker has failed, in its slot: for those who look at a stage that is failing.
//!
//! The length goes first and comes last: a worker that is killed in between has said nothing.

use super::layout::{SlotAt, slot};
use super::memory::Memory;

pub(crate) fn store(memory: &Memory, slot: SlotAt, why: &str) {
    let words = &why.as_bytes()[..why.len().min(slot::LAST_WORDS_MAX)];
    memory.store(slot + slot::LAST_WORDS_LEN, 0);
    memory.write_text(slot + slot::LAST_WORDS, words);
    memory.store(slot + slot::LAST_WORDS_LEN, words.len() as u64);
}

pub(crate) fn load(memory: &Memory, slot: SlotAt) -> String {
    memory.read_string(slot + slot::LAST_WORDS_LEN, slot + slot::LAST_WORDS, slot::LAST_WORDS_MAX)
}
