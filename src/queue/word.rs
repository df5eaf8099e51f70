//! Enums that live in the arena as words.

use super::SlotId;
use super::layout::{self, slot};
use super::memory::{Arena, Memory};

/// The supervisor's standing order to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Order {
    /// Work.
    Run = 0,
    /// Work on until the input ends, without pauses.
    Drain = 1,
    /// End the item at hand, then end.
    Finish = 2,
    /// End the item at hand, then wait for another order.
    Pause = 3,
}

impl Order {
    pub(super) fn load(memory: &Memory, at: usize) -> Order {
        match memory.load(at + slot::ORDER) {
            0 => Order::Run,
            1 => Order::Drain,
            3 => Order::Pause,
            _ => Order::Finish,
        }
    }
}

impl Arena {
    /// The standing order of a slot, for what works beside the port.
    pub fn order(&self, id: SlotId) -> Order {
        layout::slot_at(id).map_or(Order::Finish, |at| Order::load(&self.0, at))
    }

    /// Leaves word of how the worker of a slot ends, from a signal handler of its own: the same as [`super::WorkerHandle::ended`],
    /// and async-signal-safe for all endings without a text.
    pub fn note_ending(&self, id: SlotId, ending: &Ending) {
        if let Ok(at) = layout::slot_at(id) {
            ending.store(&self.0, at);
        }
    }
}

/// How a worker says that it ends. A crash says nothing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Ending {
    /// A source that has no more.
    Finished,
    /// All inputs have ended and were worked off.
    InputEnded,
    /// Nobody reads what it writes.
    OutputClosed,
    /// It was told to.
    Ordered,
    /// It has served long enough; a fresh one takes over.
    Recycled,
    /// An item took longer than `item_timeout`. Stored by a signal handler.
    TimedOut,
    /// What went wrong.
    Failed(String),
    /// What went wrong, with outputs at hand that nobody can make again.
    Lost(String),
}

impl Ending {
    fn code(&self) -> u64 {
        match self {
            Ending::Finished => 1,
            Ending::InputEnded => 2,
            Ending::OutputClosed => 3,
            Ending::Ordered => 4,
            Ending::Recycled => 5,
            Ending::TimedOut => 6,
            Ending::Failed(_) => 7,
            Ending::Lost(_) => 8,
        }
    }

    /// Async-signal-safe for all without a text, which is formatted by the caller anyway.
    pub(super) fn store(&self, memory: &Memory, at: usize) {
        if let Ending::Failed(why) | Ending::Lost(why) = self {
            let text = &why.as_bytes()[..why.len().min(slot::ENDING_TEXT_MAX)];
            memory.write_text(at + slot::ENDING_TEXT, text);
            memory.store(at + slot::ENDING_LEN, text.len() as u64);
        }
        memory.store(at + slot::ENDING, self.code());
    }

    pub(super) fn load(memory: &Memory, at: usize) -> Option<Ending> {
        Some(match memory.load(at + slot::ENDING) {
            1 => Ending::Finished,
            2 => Ending::InputEnded,
            3 => Ending::OutputClosed,
            4 => Ending::Ordered,
            5 => Ending::Recycled,
            6 => Ending::TimedOut,
            7 => Ending::Failed(load_text(memory, at)),
            8 => Ending::Lost(load_text(memory, at)),
            _ => return None,
        })
    }
}

fn load_text(memory: &Memory, at: usize) -> String {
    let len = memory.load(at + slot::ENDING_LEN).min(slot::ENDING_TEXT_MAX as u64);
    let text = memory.read_text(at + slot::ENDING_TEXT, len as usize);
    String::from_utf8_lossy(&text).into_owned()
}
