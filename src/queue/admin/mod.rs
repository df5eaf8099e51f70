//! What the supervisor does with the arena: queues come and go, workers get orders, the dead are released.

mod append;
mod audit;
mod failing;
mod order;
mod put_back;
mod queues;
mod release;
mod slots;
mod windows;

pub use failing::Failing;
pub use order::{NextItem, WindowState};
pub use put_back::PutBack;
pub use queues::QueueAdmin;
pub use release::{DeadLetterCandidate, Death, FailureAttribution, Released};
pub use slots::SlotReport;
