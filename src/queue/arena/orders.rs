//! Enums that live in the arena as words.

use super::attach::Arena;
use super::layout::{SlotAt, slot};
use super::memory::Memory;
use crate::queue::SlotId;

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
    pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Order {
        match memory.load(slot + slot::ORDER) {
            0 => Order::Run,
            1 => Order::Drain,
            3 => Order::Pause,
            _ => Order::Finish,
        }
    }
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not ready yet.
    Starting,
    /// It has built its stage.
    Ready,
    /// It obeys an order to pause, and is at no item any more.
    AtRest,
}

impl Phase {
    pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Phase {
        match memory.load(slot + slot::PHASE) {
            0 => Phase::Starting,
            2 => Phase::AtRest,
            _ => Phase::Ready,
        }
    }

    pub(crate) fn store(self, memory: &Memory, slot: SlotAt) {
        memory.store(slot + slot::PHASE, self as u64);
    }
}

impl Arena {
    /// The standing order of a slot, for threads without a `WorkerHandle`.
    pub fn order(&self, id: SlotId) -> Order {
        SlotAt::of(id).map_or(Order::Finish, |slot| Order::load(&self.0, slot))
    }

    /// Notes how the worker of a slot ends, from a signal handler of its own: the same as
    /// [`WorkerHandle::ended`](crate::queue::WorkerHandle::ended), and async-signal-safe for all endings without a text.
    pub fn note_ending(&self, id: SlotId, ending: &Ending) {
        if let Ok(slot) = SlotAt::of(id) {
            ending.store(&self.0, slot);
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
    /// No stage reads its outputs any more.
    OutputClosed,
    /// By an order of the supervisor.
    Ordered,
    /// It has served long enough; a fresh one takes over.
    Recycled,
    /// No further item is to be tried, and the run to end (`halt`).
    Halted,
    /// An item took longer than `item_timeout`. Stored by a signal handler.
    TimedOut,
    /// What went wrong.
    Failed(String),
    /// What went wrong, with outputs at hand that can't be made again.
    Lost(String),
}

/// What keeps a worker from its work, in the place of the text with which it ends one day: `ENDING` is 0 as long as it is that.
///
/// The length goes first and comes last: a worker that is killed in between has said nothing.
pub(crate) fn set_obstacle(memory: &Memory, slot: SlotAt, why: &str) {
    let text = &why.as_bytes()[..why.len().min(slot::ENDING_TEXT_MAX)];
    memory.store(slot + slot::ENDING_LEN, 0);
    memory.write_text(slot + slot::ENDING_TEXT, text);
    memory.store(slot + slot::ENDING_LEN, text.len() as u64);
}

pub(crate) fn obstacle(memory: &Memory, slot: SlotAt) -> Option<String> {
    let (len, text) = (slot + slot::ENDING_LEN, slot + slot::ENDING_TEXT);
    let why = memory.read_string(len, text, slot::ENDING_TEXT_MAX);
    (memory.load(slot + slot::ENDING) == 0 && !why.is_empty()).then_some(why)
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
            Ending::Halted => 9,
        }
    }

    /// Async-signal-safe for all without a text, which is formatted by the caller anyway.
    pub(crate) fn store(&self, memory: &Memory, slot: SlotAt) {
        if let Ending::Failed(why) | Ending::Lost(why) = self {
            let text = &why.as_bytes()[..why.len().min(slot::ENDING_TEXT_MAX)];
            memory.write_text(slot + slot::ENDING_TEXT, text);
            memory.store(slot + slot::ENDING_LEN, text.len() as u64);
        }
        memory.store(slot + slot::ENDING, self.code());
    }

    pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Option<Ending> {
        let (len, text) = (slot + slot::ENDING_LEN, slot + slot::ENDING_TEXT);
        let text = || memory.read_string(len, text, slot::ENDING_TEXT_MAX);
        Some(match memory.load(slot + slot::ENDING) {
            1 => Ending::Finished,
            2 => Ending::InputEnded,
            3 => Ending::OutputClosed,
            4 => Ending::Ordered,
            5 => Ending::Recycled,
            6 => Ending::TimedOut,
            7 => Ending::Failed(text()),
            8 => Ending::Lost(text()),
            9 => Ending::Halted,
            _ => return None,
        })
    }
}
