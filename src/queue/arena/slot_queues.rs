//! Which queues a worker uses: an order to it, or its death, concerns the sleepers of these and no others. In a run of
//! thousands of workers, each of which ends once, that is the difference between thousands of wake-ups and millions.
//!
//! Two counts in one word, of all and of its inputs, which come first; then the numbers, four to a word. Only the supervisor writes them, before the worker is there; the counts last.
//! A supervisor killed in between leaves counts of 0: the queues are unknown, and all of them are woken.

use super::layout::{QueueAt, SlotAt, slot};
use super::memory::Memory;
use super::place::WordAt;
use crate::queue::QueueId;

const IN_WORD: usize = 4;
/// Its inputs, its outputs and two hidden ones are at most 34.
const MOST: usize = (slot::QUEUES_WORDS - 1) * IN_WORD;
/// In the word of the counts: that of the inputs stands above this bit.
const INPUTS: u32 = 32;

fn words(slot: SlotAt) -> (WordAt, impl Fn(usize) -> WordAt) {
    let words = slot + slot::QUEUES;
    (words.word(0), move |i| words.word(1 + i))
}

/// It isn't known.
pub(crate) fn clear(memory: &Memory, slot: SlotAt) {
    memory.store(words(slot).0, 0);
}

/// `inputs`: how many of them, from the first, it takes its items from.
pub(crate) fn store(memory: &Memory, slot: SlotAt, queues: &[QueueId], inputs: usize) {
    let (count, word) = words(slot);
    if queues.len() > MOST {
        return;
    }
    for (i, some) in queues.chunks(IN_WORD).enumerate() {
        let number = |(at, queue): (usize, &QueueId)| u64::from(queue.0) << (16 * at);
        memory.store(word(i), some.iter().enumerate().map(number).sum());
    }
    memory.store(count, queues.len() as u64 | (inputs.min(queues.len()) as u64) << INPUTS);
}

/// `None`: it isn't known.
pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Option<Vec<QueueAt>> {
    let count = memory.load(words(slot).0) & ((1 << INPUTS) - 1);
    first(memory, slot, Some(count as usize).filter(|count| (1..=MOST).contains(count))?)
}

/// The queues that it takes its items from; none, if it isn't known.
pub(crate) fn inputs(memory: &Memory, slot: SlotAt) -> Vec<QueueAt> {
    let inputs = (memory.load(words(slot).0) >> INPUTS) as usize;
    first(memory, slot, inputs.min(MOST)).unwrap_or_default()
}

fn first(memory: &Memory, slot: SlotAt, count: usize) -> Option<Vec<QueueAt>> {
    let (_, word) = words(slot);
    let number = |i: usize| (memory.load(word(i / IN_WORD)) >> (16 * (i % IN_WORD))) as u16;
    (0..count).map(|i| QueueAt::of(QueueId(number(i))).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Arena, SlotId};

    #[test]
    fn what_is_not_known_means_all() {
        let arena = Arena::create().unwrap();
        let (memory, slot) = (&arena.0, SlotAt::of(SlotId(0)).unwrap());
        assert_eq!(load(memory, slot), None);
        let ids = |n: u16| (0..n).map(QueueId).collect::<Vec<_>>();
        for n in [1, 4, 5, MOST as u16] {
            let of = |id: QueueId| QueueAt::of(id).unwrap();
            let n = if cfg!(miri) { n.min(8) } else { n };
            store(memory, slot, &ids(n), 1);
            assert_eq!(load(memory, slot).unwrap(), ids(n).into_iter().map(of).collect::<Vec<_>>());
            assert_eq!(inputs(memory, slot), [of(QueueId(0))]);
        }
        clear(memory, slot);
        store(memory, slot, &ids(MOST as u16 + 1), 1);
        assert_eq!((load(memory, slot), inputs(memory, slot)), (None, Vec::new()));
        store(memory, slot, &[QueueId(u16::MAX)], 0);
        assert_eq!(load(memory, slot), None, "no such queue");
    }
}
