//! The birth of a queue: a random number, made when it is first asked for, that tells the queue from all others, also from
//! one of the same name in another run or after a reload. It goes with the queue's memory, as the numbers of its items do: so
//! both together name an item as long as it is there.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | before the one store | no birth | the next who asks |
//! | after it | the birth | – |

use super::layout::{EntryAt, QueueAt, entry, queue};
use super::memory::Memory;
use std::fmt;
use std::str::FromStr;

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

/// What names the item of an entry, whose number is `number`: nothing, if nothing has asked for the birth of its queue yet and it was no
/// dead letter before.
pub(crate) fn known(memory: &Memory, at: EntryAt, queue: QueueAt, number: u64) -> Option<Origin> {
    match memory.load(at + entry::FIRST_BIRTH) {
        0 => {
            let birth = memory.load(queue + queue::BIRTH);
            (birth != 0).then_some(Origin { birth, number })
        }
        birth => Some(Origin { birth, number: memory.load(at + entry::FIRST_NUMBER) }),
    }
}

/// As it stands in a dead letter: `BIRTH/NUMBER`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}/{}", self.birth, self.number)
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Origin, ()> {
        let (birth, number) = text.split_once('/').ok_or(())?;
        let birth = u64::from_str_radix(birth, 16).map_err(drop)?;
        Ok(Origin { birth, number: number.parse().map_err(drop)? })
    }
}
