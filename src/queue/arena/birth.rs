//! The birth of a queue: a random number, made when it is first asked for, that tells the queue from all others, also from
//! one of the same name in another run or after a reload. It goes with the queue's memory, as the numbers of its items do: so
//! both together name an item as long as it is there.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | before the one store | no birth | the next who asks |
//! | after it | the birth | – |

use super::layout::{QueueAt, queue};
use super::memory::Memory;

/// What names an item: the birth of its queue, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Of an item that lies in a broker: the first half of its sequence there.
    pub birth: u64,
    /// Its number in the queue; the other half.
    pub number: u64,
}

/// Without the lock: who asks first decides, for all.
pub(crate) fn of(memory: &Memory, queue: QueueAt) -> u64 {
    match memory.load(queue + queue::BIRTH) {
        0 => {
            memory.replace(queue + queue::BIRTH, 0, fastrand::u64(1..));
            memory.load(queue + queue::BIRTH)
        }
        birth => birth,
    }
}
