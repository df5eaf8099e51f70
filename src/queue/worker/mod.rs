//! What a worker does with the arena: take items, stage outputs, commit both in one step.

mod commit;
mod end;
mod fail;
mod handle;
mod in_order;
mod leases;
mod listen;
mod look;
mod origin;
mod outputs;
mod permit;
mod published;
mod put;
mod regardless;
mod shared;
mod sharing;
mod spin;
mod staging;
mod take;
mod targets;
mod turn;
mod wait;
mod whole;

pub use commit::Committed;
pub use fail::Failed;
pub use handle::{Lease, WorkerHandle};
pub use listen::{Listener, News};
pub use put::PutError;
pub use sharing::SharedQueues;
pub use staging::MAX_BLOCKS;
pub use take::Taken;
pub use wait::{QueueWaiter, Wait};
